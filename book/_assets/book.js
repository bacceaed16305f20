// Three small things the theme leaves open. No request leaves the page.
(() => {
  // Search: from a folder, the browser refuses to read other pages; show results without excerpts.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  // A link into a fold opens it, and printing opens all of them.
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
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("article details:not([open])")];
    for (const fold of closed) fold.open = true;
  });
  addEventListener("afterprint", () => {
    for (const fold of closed) fold.open = false;
  });

  // What scrolls sideways must be reachable by keyboard; a fold that opens may hold such things.
  const reachable = () => {
    // A formula in a line that is wider than its paragraph gets a line, and a scroll box, of its own.
    for (const formula of document.querySelectorAll("article span.math")) {
      const set = formula.querySelector("mjx-container");
      const room = formula.closest("p, li, dd, td, summary, div").clientWidth;
      if (set && room) formula.classList.toggle("wide", set.getBoundingClientRect().width > room);
    }
    const wide = "span.math.wide, mjx-container[display], div.math, .drawing, pre, table, .pst-scrollable-table-container, .cell_output";
    for (const node of document.querySelectorAll(`article :is(${wide})`)) {
      const scrolls = node.scrollWidth > node.clientWidth && getComputedStyle(node).overflowX !== "visible";
      if (scrolls) node.tabIndex = 0;
      else if (node.tabIndex === 0) node.removeAttribute("tabindex");
    }
  };
  addEventListener("load", () => {
    follow();
    reachable();
    window.MathJax?.startup?.promise?.then(reachable);
  });
  let planned = false; // many folds that open at once ask for one look
  const soon = () => {
    if (planned) return;
    planned = true;
    requestAnimationFrame(() => { planned = false; reachable(); });
  };
  addEventListener("resize", soon);
  document.addEventListener("toggle", soon, true);
})();
