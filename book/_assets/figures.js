// Each interactive figure can fill the screen, for a lecture room. It moves into a modal dialog, in which the keyboard
// stays; where the browser can, it takes the screen as well. Escape leads back.
(() => {
  const ICON = '<svg viewBox="0 0 12 12" aria-hidden="true"><path d="M1 4V1h3M8 1h3v3M11 8v3H8M4 11H1V8"/></svg>';
  const button = (text) => {
    const made = document.createElement("button");
    [made.type, made.className, made.innerHTML] = ["button", "fl-whole", `${ICON}${text}`];
    return made;
  };
  const prepare = (figure, k, { length }) => {
    const holder = figure.parentElement;
    const [enter, leave] = [button("Full screen"), button("Leave full screen")];
    if (length > 1) enter.setAttribute("aria-label", `Full screen, figure ${k + 1} of ${length}`);
    const dialog = document.createElement("dialog");
    dialog.className = "fl-screen";
    dialog.setAttribute("aria-label", "Figure on the full screen");
    dialog.append(leave);
    holder.append(enter, dialog);
    enter.addEventListener("click", async () => {
      const place = document.createElement("div"); // keeps the height of the figure in the text
      place.style.height = `${figure.offsetHeight}px`;
      await document.documentElement.requestFullscreen?.().catch(() => {});
      figure.replaceWith(place);
      dialog.prepend(figure);
      dialog.showModal();
      dialog.addEventListener("close", () => {
        place.replaceWith(figure);
        if (document.fullscreenElement) document.exitFullscreen();
        enter.focus();
      }, { once: true });
    });
    leave.addEventListener("click", () => dialog.close());
    document.addEventListener("fullscreenchange", () => {
      if (!document.fullscreenElement && dialog.open) dialog.close();
    });
  };
  addEventListener("DOMContentLoaded", () => [...document.querySelectorAll("article .output > .fl-figure")].forEach(prepare));
})();
