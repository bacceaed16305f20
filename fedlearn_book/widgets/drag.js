// A picture that is there already, moved by mouse, thumb and keys.

const toPixels = ([low, high, from, to], v) => from + ((v - low) / (high - low)) * (to - from);
const toValue = ([low, high, from, to], px) => Math.min(high, Math.max(low, low + ((px - from) / (to - from)) * (high - low)));
const put = (el, attributes) => Object.entries(attributes).forEach(([name, value]) => el.setAttribute(name, value));

/** A handle over the view that keys move, and that a thumb finds; place(x, y) puts it there, in pixels of the drawing. */
function handle(view, label) {
  const el = node("div", { class: "fl-handle", role: "slider", tabindex: 0, "aria-label": label, "data-lm-suppress-shortcuts": "true" });
  view.append(el);
  const { width, height } = view.querySelector("svg").viewBox.baseVal;
  const place = (x, y) => Object.assign(el.style, { left: `${(100 * x) / width}%`, top: `${(100 * y) / height}%` });
  return { el, place };
}

/** Call pick(x, y) in pixels of the drawing. A thumb that scrolls the page moves nothing: it must take the handle, go sideways or tap. */
function pointed(view, pick) {
  const svg = view.querySelector("svg");
  const at = (event) => {
    const box = svg.getBoundingClientRect();
    const { width, height } = svg.viewBox.baseVal;
    pick(((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height);
  };
  let from = null; // where a thumb came down beside the handle: it has not said yet what it wants
  view.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    view.setPointerCapture(event.pointerId);
    view.querySelector("[role=slider]").focus({ preventScroll: true });
    from = event.pointerType === "touch" && !event.target.closest(".fl-handle") ? event : null;
    if (event.pointerType !== "touch") { event.preventDefault(); at(event); }
  });
  view.addEventListener("pointermove", (event) => {
    if (!view.hasPointerCapture(event.pointerId)) return;
    if (from && Math.abs(event.clientX - from.clientX) <= Math.abs(event.clientY - from.clientY)) return;
    from = null;
    at(event);
  });
  view.addEventListener("click", (event) => { if (event.pointerType === "touch") at(event); });
}

/** What a figure does while it is printed: on paper stands what the page began with. */
function onPaper(restart, resume) {
  addEventListener("beforeprint", restart);
  addEventListener("afterprint", resume);
}
