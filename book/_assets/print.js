// Before a page is printed, all that is folded opens and the paper turns white; afterwards it is as it was.
(() => {
  const root = document.documentElement;
  let closed = [], theme = root.dataset.theme;
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("article details:not([open])")];
    for (const fold of closed) fold.open = true;
    theme = root.dataset.theme;
    root.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    for (const fold of closed) fold.open = false;
    root.dataset.theme = theme;
  });
})();
