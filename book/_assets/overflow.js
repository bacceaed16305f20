// What scrolls sideways says on which side it goes on. book.js finds it, and gives it a place in the order of Tab.
(() => {
  const mark = (node) => {
    const rest = node.scrollWidth - node.clientWidth;
    const [left, right] = [node.scrollLeft > 2, node.scrollLeft < rest - 2];
    return () => {
      if (node.tabIndex === 0 && (left || right)) node.dataset.more = left && right ? "both" : left ? "left" : "right";
      else delete node.dataset.more;
    };
  };
  // All are measured before any is changed, or each would be laid out again.
  const look = () => {
    const nodes = document.querySelectorAll("article [data-more], article :is(.math, .drawing, pre, .sig, table, div)[tabindex='0']");
    for (const change of [...nodes].map(mark)) change();
  };
  new MutationObserver(() => {
    if (document.documentElement.dataset.measured) look();
  }).observe(document.documentElement, { attributeFilter: ["data-measured"] });
  document.addEventListener("scroll", ({ target }) => {
    if (target.nodeType === 1 && target.closest("article") && (target.dataset.more || target.tabIndex === 0)) mark(target)();
  }, { capture: true, passive: true });
})();
