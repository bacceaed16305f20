// Makes the content of each slide as large as fits, then hands over to reveal.js.
(() => {
  const LEAST = 0.5; // how far the content of a slide may shrink, and how far it may grow
  const MOST = { figure: 2.2, live: 2.2, code: 1.4, table: 1.3, list: 1.1, proof: 1.1, result: 1.15, quiz: 1.1 };
  const overflows = (node) => node.scrollWidth > node.clientWidth + 1;
  const sized = (article) =>
    [...article.querySelectorAll("svg.fl-broad, svg.fl-wide, figure > img, .fl-frame")]
      .filter((node) => node.checkVisibility());

  // Whether the content fits at a size: neither higher nor wider than its room, no drawing smaller than it was made.
  const fits = (slide, size) => {
    const room = slide.querySelector(".room"), article = room.firstElementChild;
    article.style.zoom = size;
    const [inner, outer] = [article.getBoundingClientRect(), room.getBoundingClientRect()];
    if (!outer.height || inner.height > outer.height + 0.5) return false;
    const wide = [...article.querySelectorAll("pre, table, div.math, .result, .fl-figure, article > div")];
    if (wide.some(overflows)) return false;
    for (const node of article.querySelectorAll("pre, table, math")) {
      if (node.getBoundingClientRect().right > outer.right + 0.5) return false;
    }
    if (size <= 1) return true;
    const scale = outer.width / room.offsetWidth;
    return sized(article).every((node) => {
      const made = Number(node.getAttribute("width")) || node.naturalWidth || 0;
      return node.getBoundingClientRect().width / scale / size >= Math.min(made, 740) - 1;
    });
  };

  // A live figure draws itself anew, a frame later, when its room changes.
  const frame = () => new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); setTimeout(done, 200); });
  const holds = async (slide, size) => {
    if (slide.dataset.kind !== "live") return fits(slide, size);
    fits(slide, size);
    await frame();
    return fits(slide, size);
  };

  const fit = async (slide) => {
    let [low, high] = [LEAST, MOST[slide.dataset.kind] ?? 1];
    if (slide.dataset.kind === "code") {
      slide.classList.toggle("wraps", !fits(slide, 1));
      low = 1; // a listing keeps its 18 pixels; what a slide holds is ruled in rules.py
    }
    if (!(await holds(slide, high))) {
      while (high - low > 0.02) {
        const middle = (low + high) / 2;
        if (await holds(slide, middle)) low = middle;
        else high = middle;
      }
      slide.dataset.fits = String(await holds(slide, low));
    } else slide.dataset.fits = "true";
    slide.dataset.size = slide.querySelector("article").style.zoom;
  };

  const start = async () => {
    await Promise.allSettled([...document.fonts].map((font) => font.load()));
    await Promise.allSettled([...document.images].map((image) => image.decode()));
    const slides = [...document.querySelectorAll("section.slide")];
    const shown = document.head.appendChild(document.createElement("style"));
    shown.textContent = `.reveal .slides section:not(.slide) { display: block !important }
      .reveal .slides section.slide { display: none !important }
      .reveal .slides section.slide.measured { display: block !important; position: absolute; top: 0; left: 0 }`;
    for (const slide of slides) {
      slide.classList.add("measured");
      await fit(slide);
      slide.classList.remove("measured");
    }
    shown.remove();
    // What a figure says gets longer when it is moved.
    for (const slide of document.querySelectorAll("section.live")) {
      slide.addEventListener("input", () => fits(slide, Number(slide.dataset.size)) || fit(slide));
    }
    // Arrows and a clicker turn pages, also right after a figure was moved with the mouse. Who moves it by keys goes on.
    addEventListener("pointerup", () => document.activeElement.closest("section.live input")?.blur());
    const turns = (event) => {
      if (!["PageUp", "PageDown"].includes(event.key)) return;
      event.preventDefault();
      document.activeElement.blur();
    };
    addEventListener("keydown", turns, { capture: true });
    const dark = () => {
      const { dataset } = document.documentElement;
      dataset.theme = dataset.theme === "dark" ? "light" : "dark";
    };
    await Reveal.initialize({
      width: 1280, height: 720, margin: 0, center: false, hash: true, slideNumber: "h.v", transition: "none",
      backgroundTransition: "none", controlsTutorial: false, keyboard: { 33: "left", 34: "right", 68: dark }, plugins: [RevealNotes],
    });
    document.documentElement.dataset.ready = "";
  };
  addEventListener("DOMContentLoaded", start);
})();
