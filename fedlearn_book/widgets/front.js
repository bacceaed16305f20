// The first page's figure. The picture is there already; this moves it, by mouse, thumb and keys.

const sigmoid = (z) => 1 / (1 + Math.exp(-z));
const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
const sum = (values) => values.reduce((a, b) => a + b, 0);

/** Mean log loss of two log odds w at a hospital with counts [group][healthy, sick]. */
export function lossAt(counts, w) {
  return sum(counts.map(([healthy, sick], g) => healthy * softplus(w[g]) + sick * softplus(-w[g]))) / sum(counts.flat());
}

/** Where one gradient step of size alpha on that loss leads. */
export function stepFrom(counts, w, alpha) {
  const n = sum(counts.flat());
  return w.map((z, g) => z - (alpha * (sum(counts[g]) * sigmoid(z) - counts[g][1])) / n);
}

/** Which row of the path holds at time t: -1 before the first knot. */
export const rowAt = (knots, t) => knots.filter((knot) => knot <= t).length - 1;

const percent = (z) => `${Math.round(100 * sigmoid(z))} %`;
const bold = (text) => node("b", {}, text);

function setUpStart(half, state) {
  const { counts, names, axes, alpha } = state;
  const [view, say] = [half.querySelector(".fl-view"), half.querySelector(".fl-say")];
  const [steps, owns, gaps] = [".fl-step", ".fl-own", ".fl-gap"].map((kind) => view.querySelectorAll(kind));
  const [dot, name] = [view.querySelector("circle.fl-shared"), view.querySelector(".fl-shared-name")];
  const { el, place } = handle(view, "Shared start: left and right arrow keys change the first risk, up and down the second");
  let w = state.w;
  const px = ([a, b]) => [toPixels(axes.x, a), toPixels(axes.y, b)];
  const draw = (w) => {
    const [x, y] = px(w);
    const own = counts.map((each) => stepFrom(each, w, alpha));
    own.forEach((to, i) => {
      const [u, v] = px(to);
      steps[i].setAttribute("d", `M${x},${y}L${u},${v}`);
      put(owns[i], { cx: u, cy: v });
      put(gaps[i], { x1: u, y1: v });
    });
    put(dot, { cx: x, cy: y });
    put(name, { x: Math.min(330, Math.max(72, x)), y: y < 34 ? y + 29 : y - 20 });
    place(x, y);
    const mean = (at) => (sum(counts.map((each, i) => lossAt(each, at(i)))) / counts.length).toFixed(3);
    const [before, after] = [mean(() => w), mean((i) => own[i])];
    say.replaceChildren("Mean loss ", bold(before), " with one model for all, ", bold(after), " after one step each. Lower is better; a coin toss has 0.693.");
    const words = { "aria-valuemin": axes.x[0], "aria-valuemax": axes.x[1], "aria-valuenow": w[0].toFixed(2),
      "aria-valuetext": `risk ${percent(w[0])} without and ${percent(w[1])} with pain on exertion; mean loss ${before} before and ${after} after one step each of ${names.length} hospitals` };
    put(el, words);
  };
  const move = (x, y) => draw(w = [toValue(axes.x, x), toValue(axes.y, y)]);
  pointed(view, move);
  el.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const [x, y] = px(w);
    const far = event.shiftKey ? 20 : 5;
    move(x + far * way[0], y + far * way[1]);
  });
  draw(w);
  onPaper(() => draw(state.w), () => draw(w));
}

function setUpPath(half, state) {
  const { t: knots, rows, explained, span, axes, many } = state;
  const [view, say] = [half.querySelector(".fl-view"), half.querySelector(".fl-say")];
  const [until, now, dots] = [view.querySelector("clipPath rect"), view.querySelector(".fl-now"), view.querySelector(".fl-dots")];
  const { el, place } = handle(view, "Time: arrow keys move it, Page up and Page down go from entry to entry");
  el.classList.add("fl-clock");
  let time = state.now;
  const draw = (t) => {
    const [k, x] = [rowAt(knots, t), toPixels(axes.x, Math.log(t))];
    const row = rows[k] ?? Array(many).fill(0);
    put(until, { width: x });
    put(now, { x1: x, x2: x });
    dots.replaceChildren(...row.flatMap((value, j) => (value ? [node("svg:circle", { class: `fl-c${j}`, cx: x, cy: toPixels(axes.y, value), r: 4 })] : [])));
    view.querySelectorAll(".fl-name").forEach((name) => name.classList.toggle("fl-in", row[Number(name.getAttribute("class").match(/fl-c(\d+)/)[1])] !== 0));
    place(x, axes.y[2] + 6);
    const count = row.filter((value) => value).length;
    const part = k < 0 ? 0 : 100 * explained[k];
    const [head, rest] = [`${count || "None"} of ${many} measurements ${count === 1 ? "is" : "are"} in.`, `${count === 1 ? "It explains" : "They explain"} ${part.toFixed(part > 99 ? 1 : 0)} % of what all ${many} explain together.`];
    say.replaceChildren(bold(head), ` ${k < 0 ? "The model says the same of everybody." : rest}`);
    const words = { "aria-valuemin": span[0], "aria-valuemax": span[1], "aria-valuenow": t.toFixed(2), "aria-valuetext": `time ${t.toFixed(1)}: ${say.textContent}` };
    put(el, words);
  };
  const go = (t) => draw(time = Math.min(span[1], Math.max(span[0], t)));
  const slide = (x) => go(Math.exp(toValue(axes.x, x)));
  pointed(view, slide);
  el.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -4, ArrowDown: -4, ArrowRight: 4, ArrowUp: 4 }[event.key];
    const to = { Home: span[0], End: span[1], PageUp: knots.find((t) => t > time) ?? span[1], PageDown: knots.findLast((t) => t < time) ?? span[0] }[event.key];
    if (!by && to === undefined) return;
    event.preventDefault();
    if (by) slide(toPixels(axes.x, Math.log(time)) + by);
    else go(to);
  });
  draw(time);
  onPaper(() => draw(state.now), () => draw(time));
}

function render(el, state) {
  const setUp = { start: setUpStart, path: setUpPath };
  for (const kind of Object.keys(state)) setUp[kind](el.querySelector(`[data-half=${kind}]`), state[kind]);
}
