// The meta-gradient landscape: f and F in the plane, and the directions that descend F.
// Everything is computed here from closed forms; the tests hold it against the library.

const plus = (a, x, y) => [a * x[0] + y[0], a * x[1] + y[1]];
const size = (x) => Math.hypot(x[0], x[1]);
const times = (M, x) => [M[0][0] * x[0] + M[0][1] * x[1], M[1][0] * x[0] + M[1][1] * x[1]];
const logCosh = (x) => Math.abs(x) + Math.log1p(Math.exp(-2 * Math.abs(x))) - Math.LN2;

/** f_i(w) = u'Au/2 + bend (log cosh u_1 + log cosh u_2) with u = w - center. */
function lossAt({ A, center, bend }, w) {
  const u = plus(-1, center, w);
  const pulled = times(A, u);
  return (u[0] * pulled[0] + u[1] * pulled[1]) / 2 + bend * (logCosh(u[0]) + logCosh(u[1]));
}

function slopeAt({ A, center, bend }, w) {
  const u = plus(-1, center, w);
  return plus(bend, [Math.tanh(u[0]), Math.tanh(u[1])], times(A, u));
}

function curved({ A, center, bend }, w, v) {
  const u = plus(-1, center, w);
  const flat = (x, y) => bend * (1 - Math.tanh(x) ** 2) * y;
  return plus(1, [flat(u[0], v[0]), flat(u[1], v[1])], times(A, v));
}

/** Values and directions at w: f, F, plain = grad f, exact = grad F, fo, hf, and the clients' steps. */
export function directions(clients, w, alpha, delta) {
  const sum = { f: 0, F: 0, plain: [0, 0], exact: [0, 0], fo: [0, 0], hf: [0, 0], steps: [] };
  for (const client of clients) {
    const slope = slopeAt(client, w);
    const moved = plus(-alpha, slope, w);
    const g = slopeAt(client, moved);
    const ahead = slopeAt(client, plus(delta, g, w));
    const gap = plus(-1, slopeAt(client, plus(-delta, g, w)), ahead);
    sum.steps.push(moved);
    sum.f += client.p * lossAt(client, w);
    sum.F += client.p * lossAt(client, moved);
    sum.plain = plus(client.p, slope, sum.plain);
    sum.fo = plus(client.p, g, sum.fo);
    sum.exact = plus(client.p, plus(-alpha, curved(client, w, g), g), sum.exact);
    sum.hf = plus(client.p, plus(-alpha / (2 * delta), gap, g), sum.hf);
  }
  return sum;
}

/** Angle in degrees and relative error of a direction against the exact one. */
export function compare(found, exact) {
  const [a, b] = [size(found), size(exact)];
  const error = size(plus(-1, exact, found)) / b;
  if (a < 1e-3 * b || b < 1e-9) return { angle: NaN, error };
  const cross = found[0] * exact[1] - found[1] * exact[0];
  const along = found[0] * exact[0] + found[1] * exact[1];
  return { angle: (Math.atan2(Math.abs(cross), along) * 180) / Math.PI, error };
}

/** Where a direction is zero, near w: Newton's method, the slope of the direction from differences. */
export function standstill(clients, w, alpha, name = "exact") {
  const slope = (v) => directions(clients, v, alpha, 1)[name];
  for (let k = 0; k < 12; k++) {
    const [g, h] = [slope(w), 1e-5];
    const column = (e) => plus(-1, slope(plus(-h, e, w)), slope(plus(h, e, w))).map((x) => x / (2 * h));
    const [a, b] = [column([1, 0]), column([0, 1])];
    const det = a[0] * b[1] - a[1] * b[0];
    if (Math.abs(det) < 1e-12) break;
    w = plus(-1, [(b[1] * g[0] - b[0] * g[1]) / det, (a[0] * g[1] - a[1] * g[0]) / det], w);
  }
  return w;
}

// ---------------------------------------------------------------- drawing

const GRID = 56;
const LOOKS = {
  plain: { name: "∇f, no meta-gradient", color: "var(--truth)" },
  exact: { name: "∇F, exact", color: "var(--exact)", kind: "fl-below" },
  fo: { name: "first order (FO)", color: "var(--fo)" },
  hf: { name: "Hessian-free (HF)", color: "var(--hf)", kind: "fl-dash" },
};

/** Values on a grid over the box, row by row from below. */
function gridOf([x0, x1, y0, y1], value) {
  const at = (k, low, high) => low + (k / GRID) * (high - low);
  const rows = Array.from({ length: GRID + 1 }, (_, j) =>
    Array.from({ length: GRID + 1 }, (_, i) => value([at(i, x0, x1), at(j, y0, y1)])));
  return rows;
}

/** Marching squares: the line of one level as an SVG path in grid units. */
function levelPath(rows, level) {
  let path = "";
  for (let j = 0; j < GRID; j++) {
    for (let i = 0; i < GRID; i++) {
      const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
      const values = corners.map(([x, y]) => rows[y][x] - level);
      const cuts = [];
      for (let k = 0; k < 4; k++) {
        const [a, b] = [values[k], values[(k + 1) % 4]];
        if (a < 0 === b < 0) continue;
        const [[x, y], [u, v]] = [corners[k], corners[(k + 1) % 4]];
        const t = a / (a - b);
        cuts.push(`${(x + t * (u - x)).toFixed(2)},${(y + t * (v - y)).toFixed(2)}`);
      }
      for (let k = 0; k + 1 < cuts.length; k += 2) path += `M${cuts[k]}L${cuts[k + 1]}`;
    }
  }
  return path;
}

function contours(rows, side) {
  const all = rows.flat();
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const scale = `translate(0,${side}) scale(${side / GRID},${-side / GRID})`;
  const group = node("svg:g", { class: "fl-levels", transform: scale });
  for (let k = 1; k <= 12; k++) {
    group.append(node("svg:path", { d: levelPath(rows, low + (high - low) * (k / 13) ** 2.4) }));
  }
  return group;
}

function arrow([x, y], [u, v], color, extra = "") {
  const length = Math.hypot(u - x, v - y);
  if (length < 3) return null;
  const [c, s] = [(u - x) / length, (v - y) / length];
  const head = Math.min(extra === "fl-below" ? 13 : 8, length);
  const wing = (k) => `${u - head * c + k * head * s},${v - head * s - k * head * c}`;
  return node("svg:path", { class: `fl-arrow ${extra}`, style: `--tone:${color}`, d: `M${x},${y}L${u},${v}M${wing(0.5)}L${u},${v}L${wing(-0.5)}` });
}

function panel(view, kind, now, side) {
  const { clients, box, w, best, found } = now;
  const [x0, x1, y0, y1] = box;
  const place = ([x, y]) => [((x - x0) / (x1 - x0)) * side, ((y1 - y) / (y1 - y0)) * side];
  const [px, py] = place(w);
  const longest = Math.max(...Object.keys(LOOKS).map((name) => size(found[name])), 1e-9);
  const reach = (0.3 * side) / longest;
  const svg = node("svg:svg", { viewBox: `0 0 ${side} ${side}`, role: "group", "aria-label": kind === "f" ? "Level lines of f, the loss before a step" : "Level lines of F, the loss after a step" });
  svg.append(node("svg:rect", { class: "fl-frame-line", width: side, height: side, rx: 4 }), view.levels);
  const inside = node("svg:svg", { width: side, height: side, viewBox: `0 0 ${side} ${side}` });
  clients.forEach((client, i) => {
    const [x, y] = place(client.center);
    if (kind === "F") inside.append(...[arrow([px, py], place(found.steps[i]), "var(--client)", "fl-thin")].filter(Boolean));
    inside.append(node("svg:circle", { class: "fl-client", cx: x, cy: y, r: 4 }), node("svg:text", { x: x + 7, y: y - 7 }, `w${"₁₂₃₄"[i]}`));
  });
  const [fx, fy] = place(best.f);
  const [sx, sy] = place(best.F);
  const [ox, oy] = place(best.fo);
  inside.append(node("svg:path", { class: "fl-cross", d: `M${fx - 5},${fy - 5}l10,10m0,-10l-10,10` }), node("svg:circle", { class: "fl-star", cx: sx, cy: sy, r: 5.5 }));
  if (Math.max(Math.abs(ox - side / 2), Math.abs(oy - side / 2)) < side / 2) inside.append(node("svg:circle", { class: "fl-ring", cx: ox, cy: oy, r: 7 }));
  const shown = kind === "f" ? ["plain"] : ["exact", "fo", "hf"]; // the exact one lies below, and is thick
  for (const name of shown) {
    const d = found[name];
    const line = arrow([px, py], [px - reach * d[0], py + reach * d[1]], LOOKS[name].color, LOOKS[name].kind);
    if (line) inside.append(line);
  }
  svg.append(inside);
  const handle = node("svg:g", { class: "fl-point fl-free", transform: `translate(${px},${py})` }, node("svg:circle", { class: "fl-hit", r: 20 }), node("svg:circle", { class: "fl-dot", r: 6 }));
  if (kind === "F") {
    const words = { role: "slider", tabindex: 0, "aria-label": "Point w: arrow keys move it, left and right along the first parameter, up and down along the second", "aria-valuemin": x0, "aria-valuemax": x1, "aria-valuenow": fixed(w[0]), "aria-valuetext": `w = (${fixed(w[0])}, ${fixed(w[1])})`, "data-lm-suppress-shortcuts": "true" };
    for (const [name, value] of Object.entries(words)) handle.setAttribute(name, value);
  }
  svg.append(handle);
  view.el.replaceChildren(svg);
}

// ---------------------------------------------------------------- words and controls

const degrees = ({ angle }) => (Number.isNaN(angle) ? "–" : `${angle < 0.95 && angle >= 0.05 ? fixed(angle, 1) : Math.round(angle)}°`);
const share = ({ error }) => (error < 0.0005 ? "< 0.1 %" : error > 20 ? "> 2000 %" : `${fixed(100 * error, error < 0.1 ? 1 : 0)} %`);

export function sentence({ w, alpha, found }) {
  const flat = size(found.exact) < 1e-3;
  const fo = compare(found.fo, found.exact);
  const rest = flat
    ? "Here ∇F is nearly zero: no start nearby is better for clients who take one step."
    : `FO points ${degrees(fo)} away from the exact direction and is ${share(fo)} off.`;
  return `At w = (${fixed(w[0])}, ${fixed(w[1])}) with α = ${fixed(alpha)}: the loss is ${fixed(found.f, 3)} before and ${fixed(found.F, 3)} after each client’s step. ${rest}`;
}

function readout() {
  const cells = {};
  const rows = Object.entries(LOOKS).map(([name, { name: words, color, kind }]) => {
    cells[name] = [node("td", { "data-angle": name }), node("td", { "data-error": name })];
    return node("tr", {}, node("th", { scope: "row" }, node("i", { style: `--tone:${color}`, class: kind }), words), ...cells[name]);
  });
  const head = node("tr", {}, ...["direction", "angle to ∇F", "relative error"].map((text) => node("th", { scope: "col" }, text)));
  const update = (found) => {
    for (const name of Object.keys(LOOKS)) {
      const gap = compare(found[name], found.exact);
      const zero = size(found.exact) < 1e-9;
      cells[name][0].textContent = name === "exact" || zero ? "–" : degrees(gap);
      cells[name][1].textContent = name === "exact" || zero ? "–" : share(gap);
    }
  };
  return { el: node("table", {}, node("thead", {}, head), node("tbody", {}, ...rows)), update };
}

function render({ model, el }) {
  const [clients, options] = [model.get("clients"), model.get("options")];
  const { box, alphas, deltas } = options;
  const set = (name, value) => { model.set(name, value); model.save_changes(); };
  const clip = ([x, y]) => [Math.min(box[1], Math.max(box[0], x)), Math.min(box[3], Math.max(box[2], y))].map((v) => Number(v.toFixed(4)));
  const alpha = slider("step α of a client", alphas, 0, (v) => fixed(v), (v) => set("alpha", v));
  const delta = slider("δ of HF", deltas, 0, (v) => String(v), (v) => set("delta", v));
  const words = node("p", { class: "fl-say", role: "status", "aria-live": "polite" });
  const views = { f: { el: node("div", { class: "fl-draw" }) }, F: { el: node("div", { class: "fl-draw" }) } };
  const titles = { f: "f: the loss before a step", F: "F: the loss after a step" };
  const panels = Object.keys(views).map((kind) => node("div", {}, node("p", { class: "fl-title" }, titles[kind]), views[kind].el));
  const table = readout();
  const key = node("p", { class: "fl-key" }, "✕ minimizer of f, ● minimizer of F, ○ where FO stands still, if that is on the map. Orange arrows: where the clients’ steps lead from w. The others: the directions of the table, turned downhill; the longest has a fixed length. ∇F is broad, so that it is seen where HF lies on it.");
  el.replaceChildren(node("div", { class: "fl-hero fl-land" }, node("div", { class: "fl-top" }, alpha.el, delta.el), words, node("div", { class: "fl-panels" }, ...panels), table.el, key));
  const [made, best] = [{}, {}];

  const lowest = (rows) => {
    const value = Math.min(...rows.flat());
    const j = rows.findIndex((row) => row.includes(value));
    const i = rows[j].indexOf(value);
    return [box[0] + (i / GRID) * (box[1] - box[0]), box[2] + (j / GRID) * (box[3] - box[2])];
  };
  const update = () => {
    const now = { clients, box, w: model.get("w"), alpha: model.get("alpha"), delta: model.get("delta") };
    const side = Math.max(220, views.F.el.clientWidth || 330);
    for (const [kind, a] of [["f", 0], ["F", now.alpha]]) { // the maps change with α only
      const tag = `${a}/${side}`;
      if (made[kind] === tag) continue;
      const rows = gridOf(box, (w) => directions(clients, w, a, 1).F);
      if (kind === "F") best.fo = standstill(clients, lowest(rows), a, "fo");
      [made[kind], best[kind], views[kind].levels] = [tag, standstill(clients, lowest(rows), a), contours(rows, side)];
    }
    now.best = best;
    now.found = directions(clients, now.w, now.alpha, now.delta);
    const focused = el.contains(document.activeElement) && document.activeElement.getAttribute("role") === "slider";
    for (const kind of Object.keys(views)) panel(views[kind], kind, now, side);
    if (focused) el.querySelector("[role=slider]").focus({ preventScroll: true });
    alpha.update(now.alpha);
    delta.update(now.delta);
    table.update(now.found);
    words.textContent = sentence(now);
  };
  for (const { el: view } of Object.values(views)) {
    dragged(view, (event, first) => {
      const at = view.querySelector("svg").getBoundingClientRect();
      set("w", clip([box[0] + ((event.clientX - at.left) / at.width) * (box[1] - box[0]), box[3] - ((event.clientY - at.top) / at.height) * (box[3] - box[2])]));
      if (first) el.querySelector("[role=slider]").focus({ preventScroll: true });
    });
  }
  el.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!move || event.target.getAttribute("role") !== "slider") return;
    event.preventDefault();
    set("w", clip(plus(event.shiftKey ? 0.25 : 0.05, move, model.get("w"))));
  });
  return follow(model, el, ["w", "alpha", "delta"], update);
}

export default { render };
