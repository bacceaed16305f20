// Curves over time, with a cursor that is dragged and names for whoever points at a curve.

/** Map numbers to pixels and back, on a linear or a logarithmic axis. */
function axis(low, high, from, to, log = false) {
  const [f, g] = log ? [Math.log, Math.exp] : [(v) => v, (v) => v];
  const [a, b] = [f(low), f(high)];
  return {
    low, high, from, to, log,
    at: (v) => from + ((f(v) - a) / (b - a)) * (to - from),
    back: (px) => g(a + ((Math.min(Math.max(px, Math.min(from, to)), Math.max(from, to)) - from) / (to - from)) * (b - a)),
  };
}

/** Round numbers between the ends of an axis: 1, 2 and 5 times powers of ten. */
function ticks({ low, high, log }, count) {
  const made = [];
  if (log) {
    const steps = Math.log10(high / low) > 2.5 ? [1] : [1, 2, 5];
    for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++) {
      made.push(...steps.map((s) => s * 10 ** e).filter((v) => v >= low && v <= high));
    }
    return made;
  }
  const rough = 10 ** Math.floor(Math.log10((high - low) / count));
  const step = rough * [1, 2, 5, 10].find((s) => (high - low) / (rough * s) <= count);
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) made.push(k * step);
  return made;
}

const minus = (text) => text.replace("-", "−");
const written = (v) => minus(v === 0 ? "0" : Math.abs(v) < 1e-3 || Math.abs(v) >= 1e4 ? v.toExponential(0) : String(Number(v.toPrecision(3))));

/** Labels at the right ends of curves, pushed apart so that none covers another. */
function spread(labels, low, high, gap = 12) {
  const sorted = [...labels].sort((a, b) => a.y - b.y);
  let above = low - gap;
  for (const label of sorted) above = label.y = Math.max(label.y, above + gap);
  let below = high + gap;
  for (const label of sorted.reverse()) below = label.y = Math.min(label.y, below - gap);
  return sorted;
}

/** Draw axes, rules and curves into a view; `chart.mark` puts cursors and dots on top, again and again.
 *  curves: { name, points [[t, v]], kind (class), tone (color), end (label), value(t) for the pointer }. */
function timeChart(view, { width, height, x, y, xName, name, rules = [], curves = [], rug = [], right = 30, yTicks = 5 }) {
  const [left, top, bottom] = [34, 8, 30];
  const [sx, sy] = [axis(...x.span, left, width - right, x.log), axis(...y.span, height - bottom, top, y.log)];
  const svg = node("svg:svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name });
  const clip = node("svg:svg", { x: left, y: top, width: sx.to - left, height: sy.from - top, viewBox: `${left} ${top} ${sx.to - left} ${sy.from - top}` });
  for (const v of ticks(sy, yTicks)) {
    svg.append(node("svg:line", { class: "fl-grid", x1: left, x2: sx.to, y1: sy.at(v), y2: sy.at(v) }),
      node("svg:text", { class: "fl-num", x: left - 5, y: sy.at(v) + 4 }, y.show ? y.show(v) : written(v)));
  }
  const many = ticks(sx, 6);
  const crowded = (sx.to - left) / many.length < 26;
  many.forEach((v, k) => {
    svg.append(node("svg:line", { class: "fl-tickline", x1: sx.at(v), x2: sx.at(v), y1: sy.from, y2: sy.from + 4 }));
    if (!(crowded && k % 2)) svg.append(node("svg:text", { class: "fl-tick", x: sx.at(v), y: sy.from + 14 }, written(v)));
  });
  svg.append(node("svg:line", { class: "fl-axis", x1: left, x2: sx.to, y1: sy.from, y2: sy.from }),
    node("svg:text", { class: "fl-head fl-end", x: sx.to, y: height - 4 }, `${xName} →`), clip);
  for (const v of rules) clip.append(node("svg:line", { class: "fl-rule", x1: left, x2: sx.to, y1: sy.at(v), y2: sy.at(v) }));
  for (const { t, kind } of rug) clip.append(node("svg:line", { class: `fl-rug ${kind}`, x1: sx.at(t), x2: sx.at(t), y1: sy.from - 9, y2: sy.from }));
  const place = ([t, v]) => `${sx.at(t).toFixed(1)},${sy.at(v).toFixed(1)}`;
  const lines = curves.map((curve) => node("svg:polyline", { class: `fl-curve ${curve.kind}`, style: curve.tone && `--tone:${curve.tone}`, points: curve.points.map(place).join(" ") }));
  clip.append(...lines);
  const ends = curves.filter((c) => c.end).map((c) => ({ text: c.end, y: sy.at(c.points.at(-1)[1]), tone: c.tone }));
  for (const end of spread(ends, top + 4, sy.from - 4)) svg.append(node("svg:text", { class: "fl-name", x: sx.to + 4, y: end.y + 4, style: end.tone && `fill:${end.tone}` }, end.text));
  const over = node("svg:g", {});
  clip.append(over);
  view.querySelector("svg")?.remove();
  view.prepend(svg);
  const mark = (cursors, dots) => over.replaceChildren(
    ...cursors.map(({ t, kind = "" }) => node("svg:line", { class: `fl-cursor ${kind}`, x1: sx.at(t), x2: sx.at(t), y1: top, y2: sy.from })),
    ...dots.map(({ t, v, kind, tone }) => node("svg:circle", { class: `fl-dot ${kind}`, style: tone && `--tone:${tone}`, cx: sx.at(t), cy: sy.at(v), r: 3.5 })));
  return { svg, sx, sy, width, curves, lines, mark };
}

/** Let the reader drag the time on a view and point at curves; read() is the chart that it shows now. */
function chartPointer(view, read, pick) {
  const tip = node("div", { class: "fl-tip", "aria-hidden": "true", hidden: true });
  view.append(tip);
  const inside = (event) => {
    const box = view.querySelector("svg").getBoundingClientRect();
    const scale = read().width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  const close = () => {
    tip.hidden = true;
    for (const line of read().lines) line.classList.remove("fl-pointed");
  };
  dragged(view, (event) => { close(); pick(read().sx.back(inside(event)[0])); });
  view.addEventListener("pointerleave", close);
  view.addEventListener("pointermove", (event) => {
    if (view.hasPointerCapture(event.pointerId) || event.pointerType === "touch") return;
    const [px, py] = inside(event);
    const { sx, sy, curves, lines, width } = read();
    const t = sx.back(px);
    const far = curves.map((curve) => Math.abs(sy.at(curve.value(t)) - py));
    const k = far.indexOf(Math.min(...far));
    close();
    if (!(far[k] < 12)) return;
    lines[k].classList.add("fl-pointed");
    tip.textContent = curves[k].says ? curves[k].says(t) : `${curves[k].name}: ${minus(fixed(curves[k].value(t)))}`;
    tip.style.background = groundOf(view);
    tip.hidden = false;
    const half = tip.offsetWidth / 2;
    const scale = view.clientWidth / width;
    tip.style.left = `${Math.min(Math.max(px * scale, half), view.clientWidth - half) - half}px`;
    tip.style.top = `${py * scale - tip.offsetHeight - 12}px`;
  });
}
