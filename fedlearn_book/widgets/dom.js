// What the figures of the page share: making elements, writing numbers, hearing the reader.
const SVG = "http://www.w3.org/2000/svg";

function node(tag, attributes = {}, ...children) {
  const made = tag.startsWith("svg:")
    ? document.createElementNS(SVG, tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const fixed = (value, digits = 2) => value.toFixed(digits);

/** A labeled range input over a list of values; update(value) shows the one that is nearest. */
function slider(label, values, start, show, choose) {
  const input = node("input", { type: "range", min: 0, max: values.length - 1, step: 1, value: start, "aria-label": label, autocomplete: "off", "data-lm-suppress-shortcuts": "true" });
  const output = node("output", { "aria-live": "off" });
  input.addEventListener("input", () => choose(values[Number(input.value)]));
  const update = (value) => {
    const at = values.reduce((best, v, k) => (Math.abs(v - value) < Math.abs(values[best] - value) ? k : best), 0);
    [input.value, output.textContent] = [at, show(value)];
    input.setAttribute("aria-valuetext", show(value));
  };
  return { el: node("label", { class: "fl-control" }, node("span", {}, label), input, output), update };
}

/** Call pick(event, first) while the pointer is down on the view, also when it leaves it.
 *  A finger may want to scroll: it moves the figure by a tap, or once it has gone 8 pixels across; from a handle that
 *  moves both ways (class fl-free) at once, and the page stays. */
function dragged(view, pick) {
  let waiting = null; // where a finger came down that has not moved the figure yet
  const free = (event) => event.target.closest(".fl-free") !== null;
  view.addEventListener("touchstart", (event) => { if (free(event)) event.preventDefault(); }, { passive: false });
  view.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    view.setPointerCapture(event.pointerId);
    event.preventDefault();
    waiting = event.pointerType === "touch" ? { from: event.clientX, gap: free(event) ? 0 : 8 } : null;
    if (!waiting) pick(event, true);
  });
  view.addEventListener("pointermove", (event) => {
    if (!view.hasPointerCapture(event.pointerId) || (waiting && Math.abs(event.clientX - waiting.from) < waiting.gap)) return;
    pick(event, waiting !== null);
    waiting = null;
  });
  view.addEventListener("pointerup", (event) => {
    if (waiting) pick(event, true);
    waiting = null;
  });
}

/** Update now, when a named value changes and when the width does; returns how to stop. */
function follow(model, el, names, update) {
  let width = el.clientWidth;
  const watch = new ResizeObserver(() => { if (el.clientWidth !== width) { width = el.clientWidth; update(); } });
  update();
  watch.observe(el);
  names.forEach((name) => model.on(`change:${name}`, update));
  return () => { watch.disconnect(); names.forEach((name) => model.off(`change:${name}`, update)); };
}

/** The background that the figure stands on, for things that must cover what is below them. */
function groundOf(el) {
  for (let at = el; at; at = at.parentElement) {
    const color = getComputedStyle(at).backgroundColor;
    if (!/^rgba\(.*, 0\)$|^transparent$/.test(color)) return color;
  }
  return "#fff";
}
