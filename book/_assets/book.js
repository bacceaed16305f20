// What the theme leaves open. No request leaves the site.
(() => {
  // The theme calls its colors "auto" until the whole page is there, which would then be drawn a second time.
  const root = document.documentElement;
  const { dataset } = root;
  if (dataset.theme === "auto") dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";

  // The fonts of first.css are here, but a browser reads them a moment later: until then nothing is drawn, or it would
  // be drawn with other letters and move. Those are the faces that are for some characters only.
  const draw = () => root.classList.remove("reads-fonts");
  root.classList.add("reads-fonts");
  setTimeout(draw, 1000);
  const first = [...document.fonts].filter((face) => face.unicodeRange !== "U+0-10FFFF");
  Promise.allSettled(first.map((face) => face.load())).then(draw);

  // From a folder all other characters come inside a style sheet: a browser may refuse to read font files there.
  if (location.protocol === "file:") {
    document.write(`<link rel="stylesheet" href="${new URL("fonts/inline.css", document.currentScript.src)}">`);
  }

  // A link into a fold opens it.
  const open = (node) => {
    for (let at = node; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  };
  const follow = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    open(target);
    for (const inner of target.querySelectorAll(":scope > details.hide")) inner.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", follow);

  // What scrolls sideways must be reachable by keyboard. Thousands of formulas, tables and listings are looked at in
  // idle moments, a few at a time: all are measured before any is changed, or each would be laid out again.
  const wide = "span.math, div.math, .drawing, pre, dt.sig, table, .pst-scrollable-table-container, .cell_output";
  const waiting = new Set();
  const measured = (node) => {
    if (!node.matches("span.math")) {
      const scrolls = node.scrollWidth > node.clientWidth && getComputedStyle(node).overflowX !== "visible";
      return () => {
        if (scrolls) node.tabIndex = 0;
        else if (node.tabIndex === 0) node.removeAttribute("tabindex");
      };
    }
    // A formula in a line that is wider than its paragraph gets a line, and a scroll box, of its own.
    const room = node.closest("p, li, dd, td, summary, div").clientWidth;
    const scrolls = room > 0 && node.querySelector("math").getBoundingClientRect().width > room;
    return () => {
      node.classList.toggle("wide", scrolls);
      if (scrolls) node.tabIndex = 0;
      else node.removeAttribute("tabindex");
    };
  };
  // A browser that draws no frames knows no idle moment: after half a second it takes ten milliseconds all the same.
  const later = (work) => setTimeout(() => work({ didTimeout: true }), 20);
  const idle = window.requestIdleCallback ? (work) => requestIdleCallback(work, { timeout: 500 }) : later;
  const work = (deadline) => {
    const changes = [];
    const end = performance.now() + 10;
    for (const node of waiting) {
      changes.push(measured(node));
      waiting.delete(node);
      if ((deadline.didTimeout ? end - performance.now() : deadline.timeRemaining() - 3) < 0) break;
    }
    for (const change of changes) change();
    if (waiting.size) idle(work);
    else dataset.measured = "all";
  };
  const look = (root) => {
    if (!waiting.size) idle(work);
    delete dataset.measured;
    for (const node of root.querySelectorAll(wide)) waiting.add(node);
    if (!waiting.size) dataset.measured = "all";
  };
  const article = () => document.querySelector("article") ?? document.body;
  addEventListener("load", () => {
    follow();
    look(article());
  });
  addEventListener("resize", () => look(article()));
  document.addEventListener("toggle", (event) => look(event.target), true);
})();
