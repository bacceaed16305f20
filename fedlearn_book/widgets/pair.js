// Two hospitals on a line: where averaging ends, and where to start. Everything is a formula.

const mean = (weights, values) => weights.reduce((sum, m, i) => sum + m * values[i], 0) / weights.reduce((sum, m) => sum + m, 0);

/** The part of its way to its wish that each hospital goes in tau steps. */
export const pulls = ({ a, lr }, tau) => a.map((strength) => 1 - (1 - lr * strength) ** tau);

/** Where averaging stands still. */
export const settled = (state, tau) => mean(pulls(state, tau), state.r);

/** Where one step of size alpha leads each hospital from w, and the mean loss there. */
export const stepped = ({ a, r }, w, alpha) => a.map((strength, i) => w - alpha * strength * (w - r[i]));
export const lossAt = ({ a, r }, own) => own.reduce((sum, v, i) => sum + (a[i] * (v - r[i]) ** 2) / 2, 0) / a.length;

/** The start that is best after a step: hospital i has the say a (1 - alpha a)². */
export const bestStart = ({ a, r }, alpha) => mean(a.map((strength) => strength * (1 - alpha * strength) ** 2), r);

const strong = (text) => node("b", {}, text);
const all = (view, kind) => [...view.querySelectorAll(kind)];

function setUpAverage(half, state) {
  const { a, r, taus, axes } = state;
  const [view, say, one] = [half.querySelector(".fl-view"), half.querySelector(".fl-say"), (kind) => view.querySelector(kind)];
  const [lines, ends, names] = [".fl-reply", ".fl-end", ".fl-reply-name"].map((kind) => all(view, kind));
  let tau = state.tau;
  const x = (w) => toPixels(axes.x, w);
  const clock = slider("local steps", taus, taus.indexOf(tau), String, (chosen) => draw((tau = chosen)));
  half.querySelector(".fl-controls").append(clock.el);
  const draw = (tau) => {
    const w = settled(state, tau);
    pulls(state, tau).forEach((m, i) => {
      const to = w + m * (r[i] - w);
      put(lines[i], { x1: x(w), x2: x(to) });
      put(ends[i], { cx: x(to) });
      put(names[i], { x: x(to) });
    });
    put(one("circle.fl-shared"), { cx: x(w) });
    put(one(".fl-shared-name"), { x: x(w) });
    say.replaceChildren("With ", strong(`${tau} local step${tau === 1 ? "" : "s"}`), " the average settles at ", strong(w.toFixed(3)), `. Best for both together is ${settled(state, 1).toFixed(3)}.`);
    clock.update(tau);
  };
  draw(tau);
  onPaper(() => draw(state.tau), () => draw(tau));
}

function setUpStart(half, state) {
  const { alphas, axes } = state;
  const [view, say, one] = [half.querySelector(".fl-view"), half.querySelector(".fl-say"), (kind) => view.querySelector(kind)];
  const [steps, owns] = [all(view, ".fl-step"), all(view, "circle.fl-own:not(.fl-at-after)")];
  const { el, place } = handle(view, "Shared start: arrow keys move it");
  const now = { w: state.w, alpha: state.alpha };
  const [x, y] = ["x", "y"].map((name) => (v) => toPixels(axes[name], v));
  const size = slider("size of the step α", alphas, 0, (v) => v.toFixed(2), (chosen) => { now.alpha = chosen; draw(now); });
  half.querySelector(".fl-controls").append(size.el);
  const draw = ({ w, alpha }) => {
    const own = stepped(state, w, alpha);
    const [before, after, best] = [lossAt(state, [w, w]), lossAt(state, own), bestStart(state, alpha)];
    const least = lossAt(state, stepped(state, best, alpha));
    own.forEach((to, i) => {
      put(steps[i], { x1: x(w), x2: x(to) });
      put(owns[i], { cx: x(to) });
    });
    const points = Array.from({ length: 65 }, (_, k) => axes.x[0] + (k / 64) * (axes.x[1] - axes.x[0])).map((v) => [v, y(lossAt(state, stepped(state, v, alpha)))]);
    put(one(".fl-after"), { points: points.filter(([, v]) => v > 4).map(([v, h]) => `${x(v).toFixed(1)},${h.toFixed(1)}`).join(" ") });
    put(one(".fl-best"), { d: `M${x(best)},${axes.y[2] - 3}l-6,-11h12z` });
    put(one(".fl-best-name"), { x: x(best) });
    put(one(".fl-drop"), { x1: x(w), x2: x(w), y1: Math.max(4, y(before)) });
    put(one(".fl-at-before"), { cx: x(w), cy: Math.max(4, y(before)) });
    put(one(".fl-at-after"), { cx: x(w), cy: Math.max(4, y(after)) });
    put(one("circle.fl-shared"), { cx: x(w) });
    place(x(w), axes.y[2]);
    say.replaceChildren("From ", strong(w.toFixed(2)), ` the mean loss is ${before.toFixed(3)} before and `, strong(after.toFixed(3)), ` after one step each. The best start, ${best.toFixed(2)}, has ${least.toFixed(3)}.`);
    put(el, { "aria-valuemin": axes.x[0], "aria-valuemax": axes.x[1], "aria-valuenow": w.toFixed(2), "aria-valuetext": `start ${w.toFixed(2)}: mean loss ${before.toFixed(3)} before and ${after.toFixed(3)} after one step each` });
    size.update(alpha);
  };
  const go = (w) => { now.w = Math.min(axes.x[1], Math.max(axes.x[0], w)); draw(now); };
  pointed(view, (px) => go(toValue(axes.x, px)));
  el.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: now.w - 0.02, ArrowDown: now.w - 0.02, ArrowRight: now.w + 0.02, ArrowUp: now.w + 0.02, Home: axes.x[0], End: axes.x[1] }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    go(to);
  });
  draw(now);
  onPaper(() => draw(state), () => draw(now));
}

function render(el, state) {
  const setUp = { average: setUpAverage, start: setUpStart };
  for (const kind of Object.keys(state)) setUp[kind](el.querySelector(`[data-half=${kind}]`), state[kind]);
}
