// What the theme leaves open. No request leaves the site.
(() => {
  // The theme calls its colors "auto" until the whole page is there, which would then be drawn a second time.
  const { dataset } = document.documentElement;
  if (dataset.theme === "auto") dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";

  // From a server the fonts are asked for at once. From a folder they come inside a style sheet: a browser may refuse
  // to read font files there.
  const fonts = new URL("fonts/", document.currentScript.src);
  if (location.protocol === "file:") {
    document.write(`<link rel="stylesheet" href="${new URL("inline.css", fonts)}">`);
  } else {
    for (const name of ["pagella-regular", "pagella-bold", "pagella-italic", "pagella-math", "dejavusans", "dejavusans-bold"]) {
      const href = new URL(`${name}.woff2`, fonts);
      document.write(`<link rel="preload" as="font" type="font/woff2" crossorigin href="${href}">`);
    }
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
    else document.documentElement.dataset.measured = "all";
  };
  const look = (root) => {
    if (!waiting.size) idle(work);
    delete document.documentElement.dataset.measured;
    for (const node of root.querySelectorAll(wide)) waiting.add(node);
    if (!waiting.size) document.documentElement.dataset.measured = "all";
  };
  const article = () => document.querySelector("article") ?? document.body;
  addEventListener("load", () => {
    follow();
    look(article());
  });
  addEventListener("resize", () => look(article()));
  document.addEventListener("toggle", (event) => look(event.target), true);
})();
