// The regularization path explorer: ISS is piecewise constant in t, the LASSO linear in 1/t.
// Both are evaluated here from their knots; the tests hold that against the library.

/** A row "index, value, index, value, …" as p numbers. */
function dense(row, p) {
  const beta = Array(p).fill(0);
  for (let k = 0; k < row.length; k += 2) beta[row[k]] = row[k + 1];
  return beta;
}

const indices = (row) => row.filter((_, k) => k % 2 === 0);
const same = (a, b) => a.length === b.length && a.every((j) => b.includes(j));

/** How many of increasing times have passed at t. */
const passed = (times, t) => times.filter((knot) => knot <= t).length;

/** The coefficients of ISS at time t, who is in, and the prediction error. */
export function issAt({ t: times, iss, issError, lassoError }, p, t) {
  const k = passed(times, t) - 1;
  return k < 0 ? { beta: Array(p).fill(0), inside: [], error: lassoError[0] } : { beta: dense(iss[k], p), inside: indices(iss[k]), error: issError[k] };
}

/** The same for the LASSO at the weight lam. */
export function lassoAt({ lam: weights, lasso, lassoError, bend }, p, lam) {
  lam = Math.max(lam, weights.at(-1));
  if (lam >= weights[0]) return { beta: Array(p).fill(0), inside: [], error: lassoError[0] };
  const k = weights.filter((weight) => weight > lam).length - 1;
  const s = (weights[k] - lam) / (weights[k] - weights[k + 1]);
  const [before, after] = [dense(lasso[k], p), dense(lasso[k + 1], p)];
  return {
    beta: before.map((v, j) => v + s * (after[j] - v)),
    inside: [...new Set([...indices(lasso[k]), ...indices(lasso[k + 1])])],
    error: (1 - s) * lassoError[k] + s * lassoError[k + 1] - s * (1 - s) * bend[k],
  };
}

/** The smallest weight (but 0.999 of its piece) at which the LASSO has the support of ISS at t; null if none. */
export function sameSupport(setting, p, t) {
  const { inside } = issAt(setting, p, t);
  const { lam, lasso } = setting;
  if (!inside.length) return lam[0];
  for (let k = lam.length - 2; k >= 0; k--) {
    if (same([...new Set([...indices(lasso[k]), ...indices(lasso[k + 1])])], inside)) return lam[k] + 0.999 * (lam[k + 1] - lam[k]);
  }
  return null;
}

// ---------------------------------------------------------------- words

const three = (v) => (v === 0 ? "0" : Math.abs(v) < 0.001 ? "< 0.001" : v < 0.1 ? fixed(v, 3) : fixed(v));
const time = (t) => (t < 1 ? fixed(t, 3) : t < 10 ? fixed(t) : fixed(t, 1));
const list = (js, names) => (js.length > 6 ? `${js.slice(0, 5).map((j) => names[j]).join(", ")} and ${js.length - 5} more` : js.map((j) => names[j]).join(", ")) || "none";

/** Mean distance of the true coefficients that are in from the truth. */
const bias = (beta, on) => on.reduce((sum, [j, v]) => sum + Math.abs(beta[j] - v), 0) / on.length;

export function sentence({ t, iss, lasso, matched, compare }, { names, truth }) {
  const real = truth.map((v, j) => [j, v]).filter(([, v]) => v !== 0);
  const [missing, wrong] = [real.filter(([j]) => !iss.inside.includes(j)), iss.inside.filter((j) => !truth[j])];
  const found = real.filter(([j]) => iss.inside.includes(j));
  const who = !iss.inside.length ? "nothing is in yet" : !missing.length && !wrong.length ? "ISS has exactly the true support"
    : `ISS ${missing.length ? `misses ${list(missing.map(([j]) => j), names)}` : "has the true support"}${wrong.length ? `${missing.length ? " and has" : " and"} ${wrong.length} false ${wrong.length === 1 ? "coefficient" : "coefficients"}` : ""}`;
  const beside = compare === "time" ? "LASSO at λ = 1/t" : matched ? "LASSO with the same support" : "LASSO has this support at no λ; at λ = 1/t it";
  const gaps = found.length ? ` The true coefficients in it are off by ${three(bias(iss.beta, found))} on average; ${compare === "support" && !matched ? `${beside} is` : `for the ${beside} it is`} ${three(bias(lasso.beta, found))}.` : "";
  return [`t = ${time(t)}:`, ` ${who}.${gaps}`];
}

// ---------------------------------------------------------------- the figure

const METHODS = { iss: { name: "ISS", tone: "var(--iss)" }, lasso: { name: "LASSO", tone: "var(--lasso)" } };

/** The curves of one method over time: steps for ISS, and the LASSO's pieces sampled, for 1/t bends them. */
function curvesOf(setting, method, { names, truth, span }) {
  const p = truth.length;
  const at = method === "iss" ? (t) => issAt(setting, p, t) : (t) => lassoAt(setting, p, 1 / t);
  const stops = [span[0]];
  if (method === "iss") setting.t.forEach((t) => stops.push(t * (1 - 1e-9), t));
  else setting.lam.forEach((lam, k) => {
    const [t, next] = [1 / lam, 1 / (setting.lam[k + 1] ?? lam)];
    const steps = Math.max(1, Math.ceil(Math.log(next / t) / 0.06));
    for (let i = 0; i < steps; i++) stops.push(t * (next / t) ** (i / steps));
  });
  stops.push(span[1]);
  const rows = stops.map((t) => at(t).beta);
  return names.map((name, j) => ({
    name: `${METHODS[method].name} ${name}`, j,
    points: stops.map((t, k) => [t, rows[k][j]]).filter((_, k) => truth[j] || rows[k][j] || rows[k - 1]?.[j] || rows[k + 1]?.[j]),
    kind: truth[j] ? "" : "fl-false",
    tone: truth[j] ? METHODS[method].tone : undefined,
    end: truth[j] ? name : undefined,
    value: (t) => at(t).beta[j] || (truth[j] ? 0 : Infinity), // nobody points at what is out
    says: (t) => `${name}: ${METHODS[method].name} ${minus(fixed(at(t).beta[j], 3))}, truth ${written(truth[j])}`,
  })).sort((a, b) => (a.kind === "") - (b.kind === ""));
}

function errorsOf(setting, { truth, span }) {
  const p = truth.length;
  const [low, high] = [1e-4, 1.3].map((part) => part * setting.lassoError[0]);
  const shown = (e) => Math.max(e, low);
  const stops = Array.from({ length: 201 }, (_, k) => span[0] * (span[1] / span[0]) ** (k / 200));
  const steps = [span[0], ...setting.t.flatMap((t) => [t * (1 - 1e-9), t]), span[1]];
  const made = (method, times, at) => ({
    name: METHODS[method].name, kind: "", tone: METHODS[method].tone, points: times.map((t) => [t, shown(at(t).error)]), end: METHODS[method].name,
    value: (t) => shown(at(t).error), says: (t) => `${METHODS[method].name}: prediction error ${three(at(t).error)}`,
  });
  return { y: { span: [low, high], log: true }, shown, curves: [made("iss", steps, (t) => issAt(setting, p, t)), made("lasso", stops, (t) => lassoAt(setting, p, 1 / t))] };
}

function readout({ names, truth }) {
  const real = truth.map((_, j) => j).filter((j) => truth[j]);
  const cells = {};
  const row = (key, head, true_) => {
    cells[key] = ["iss", "lasso"].map((method) => node("td", { "data-cell": `${method}-${key}` }));
    return node("tr", {}, node("th", { scope: "row" }, head), node("td", {}, true_), ...cells[key]);
  };
  const rows = [...real.map((j) => row(j, names[j], written(truth[j]))), row("false", "false ones in", "none"), row("error", "prediction error", "0")];
  const head = node("tr", {}, node("th", { scope: "col" }, "coefficient"), node("th", { scope: "col" }, "truth"),
    ...Object.values(METHODS).map(({ name, tone }) => node("th", { scope: "col" }, node("i", { style: `--tone:${tone}` }), name)));
  const update = (now) => ["iss", "lasso"].forEach((method, k) => {
    const { beta, inside, error } = now[method];
    for (const j of real) {
      cells[j][k].textContent = inside.includes(j) ? minus(fixed(beta[j], 3)) : "out";
      cells[j][k].classList.toggle("fl-out", !inside.includes(j));
    }
    cells.false[k].textContent = list(inside.filter((j) => !truth[j]).sort((a, b) => a - b), names);
    cells.error[k].textContent = three(error);
  });
  return { el: node("table", {}, node("thead", {}, head), node("tbody", {}, ...rows)), update };
}

function render({ model, el }) {
  const [settings, options] = [model.get("settings"), model.get("options")];
  const { grid, truth, span } = options;
  const p = truth.length;
  const set = (name, value) => { model.set(name, value); model.save_changes(); };
  const move = (t) => set("t", Number(Math.min(span[1], Math.max(span[0], t)).toPrecision(9)));
  const index = () => grid.reduce((sum, [, values], k) => sum * values.length + model.get("where")[k], 0);
  const spots = Array.from({ length: 401 }, (_, k) => span[0] * (span[1] / span[0]) ** (k / 400));
  spots[400] = span[1];
  const clock = slider("time t", spots, 0, time, move);
  const sliders = grid.map(([name, values], k) => slider(name, values.map((_, i) => i), 0, (i) => values[i], (i) => set("where", model.get("where").with(k, i))));
  const group = `fl-${Math.random().toString(36).slice(2)}`;
  const choices = { support: "the same support", time: "λ = 1/t" };
  const radios = Object.keys(choices).map((value) => node("input", { type: "radio", name: group, value, autocomplete: "off", "data-lm-suppress-shortcuts": "true" }));
  radios.forEach((radio) => radio.addEventListener("change", () => set("compare", radio.value)));
  const field = node("fieldset", { class: "fl-choice" }, node("legend", {}, "LASSO at"), ...radios.map((radio) => node("label", {}, radio, choices[radio.value])));
  clock.el.querySelector("input").addEventListener("keydown", (event) => {
    const times = settings[index()].t;
    const to = { PageUp: times.find((t) => t > model.get("t")), PageDown: times.findLast((t) => t < model.get("t")) }[event.key];
    if (!event.key.startsWith("Page")) return;
    event.preventDefault();
    if (to !== undefined && to <= span[1]) move(to);
  });

  const words = node("p", { class: "fl-say", role: "status", "aria-live": "polite" });
  const titles = { iss: "ISS: steps in time", lasso: "LASSO: t = 1/λ", error: "Prediction error ‖X(β − β*)‖²/n" };
  const [views, notes, charts] = [{}, {}, {}];
  const panels = Object.keys(titles).map((kind) => {
    views[kind] = node("div", { class: "fl-draw fl-time" });
    notes[kind] = node("span", { class: "fl-note" });
    chartPointer(views[kind], () => charts[kind], move);
    return node("div", { class: `fl-panel fl-panel-${kind}` }, node("p", { class: "fl-title" }, titles[kind], notes[kind]), views[kind]);
  });
  const table = readout(options);
  const key = node("p", { class: "fl-key" }, "Dashed: the true values. Thin gray: coefficients whose true value is 0. Drag in any panel; with the keyboard on the time slider, Page up and Page down jump from knot to knot.");
  el.replaceChildren(node("div", { class: "fl-hero fl-paths" }, node("div", { class: "fl-top" }, clock.el, ...sliders.map((s) => s.el), field), words,
    node("div", { class: "fl-panels" }, panels[0], panels[1]), node("div", { class: "fl-panels" }, panels[2], table.el), key));

  const values = truth.filter((v) => v !== 0).concat(0);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const y = { span: [low - 0.22 * (high - low), high + 0.22 * (high - low)] };
  let made = "";
  const redraw = (setting) => {
    const x = { span, log: true };
    for (const method of ["iss", "lasso"]) {
      const width = views[method].clientWidth || 340;
      const name = `Coefficients of ${METHODS[method].name} against time, on a logarithmic axis; the table below says what they are`;
      charts[method] = timeChart(views[method], { width, height: Math.max(190, Math.min(250, 0.68 * width)), x, y, xName: "t", name, rules: values, curves: curvesOf(setting, method, options) });
    }
    const width = views.error.clientWidth || 340;
    const errors = errorsOf(setting, options);
    charts.error = timeChart(views.error, { width, height: Math.max(170, Math.min(220, 0.6 * width)), x, xName: "t", right: 44, name: "Prediction error of both methods against time, both axes logarithmic", ...errors });
    charts.error.shown = errors.shown;
  };
  const update = () => {
    const [t, compare, setting] = [model.get("t"), model.get("compare"), settings[index()]];
    const tag = `${index()}/${views.iss.clientWidth}/${views.error.clientWidth}`;
    if (made !== tag) redraw(setting);
    made = tag;
    const weight = compare === "support" ? sameSupport(setting, p, t) : 1 / t;
    const lam = weight ?? 1 / t;
    const now = { t, compare, lam, matched: weight !== null, iss: issAt(setting, p, t), lasso: lassoAt(setting, p, lam) };
    const beside = Math.min(1 / lam, span[1]);
    for (const [method, s] of [["iss", t], ["lasso", beside]]) {
      const { beta, inside } = now[method];
      charts[method].mark([{ t: s }], inside.map((j) => ({ t: s, v: beta[j], kind: truth[j] ? "" : "fl-false", tone: truth[j] ? METHODS[method].tone : undefined })));
    }
    const { shown } = charts.error;
    charts.error.mark([{ t }, ...(beside === t ? [] : [{ t: beside, kind: "fl-beside" }])], [{ t, v: shown(now.iss.error), kind: "", tone: "var(--iss)" }, { t: beside, v: shown(now.lasso.error), kind: "", tone: "var(--lasso)" }]);
    notes.lasso.textContent = `, λ = ${three(lam)}${compare === "support" ? (now.matched ? " (same support)" : " (no λ has the same support)") : ""}`;
    clock.update(t);
    sliders.forEach((s, k) => s.update(model.get("where")[k]));
    radios.forEach((radio) => { radio.checked = radio.value === compare; });
    table.update(now);
    const [head, rest] = sentence(now, options);
    words.replaceChildren(node("b", {}, head), rest);
  };
  return follow(model, el, ["t", "where", "compare"], update);
}

export default { render };
