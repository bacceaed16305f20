// The heterogeneity explorer: one ES module for a live kernel (anywidget) and for the page.
// It shows what the library computed; total variation is computed again here and must agree.

/** Half the sum of |p_c - q_c|. */
export function totalVariation(p, q) {
  return 0.5 * p.reduce((sum, value, c) => sum + Math.abs(value - q[c]), 0);
}

/** Label laws of the clients, of the pool, and the distances between them.
 *  counts: [m][classes]; weights: "size" (n_i / n) or "equal" (1 / m). */
export function labelDistances(counts, weights = "size") {
  const sizes = counts.map((row) => row.reduce((a, b) => a + b, 0));
  const all = sizes.reduce((a, b) => a + b, 0);
  const p = sizes.map((n) => (weights === "size" ? n / all : 1 / counts.length));
  const laws = counts.map((row, i) => row.map((n) => n / sizes[i]));
  const pool = laws[0].map((_, c) => laws.reduce((sum, law, i) => sum + p[i] * law[c], 0));
  const each = laws.map((law) => totalVariation(law, pool));
  return { sizes, laws, pool, each, mean: each.reduce((sum, tv, i) => sum + p[i] * tv, 0) };
}

const KINDS = {
  iid: { name: "iid", color: "#009E73", shape: "circle" },
  dirichlet: { name: "Dirichlet", color: "#0072B2", shape: "circle", slider: "concentration α", symbol: "α" },
  "two groups": { name: "two groups", color: "#D55E00", shape: "square", slider: "samples a class a", symbol: "a" },
  natural: { name: "natural", color: "#CC79A7", shape: "diamond" },
};
const METRICS = ["tv", "w1", "gamma", "accuracy"];
const short = (value) => (value !== 0 && Math.abs(value) < 0.01 ? value.toExponential(1) : String(Number(value.toPrecision(3))));
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const written = { tv: (v) => fixed(v), w1: short, gamma: short, accuracy: percent };

/** "γ_G" as γ with a lowered G. */
function subscripted(text) {
  return text.split(/(_\w)/).map((part) => (part.startsWith("_") ? node("sub", {}, part.slice(1)) : part));
}

function marker(shape, size) {
  if (shape === "square") return `M${-size},${-size}h${2 * size}v${2 * size}h${-2 * size}z`;
  if (shape === "diamond") return `M0,${-1.35 * size}L${1.35 * size},0L0,${1.35 * size}L${-1.35 * size},0z`;
  return `M${-size},0a${size},${size} 0 1,0 ${2 * size},0a${size},${size} 0 1,0 ${-2 * size},0`;
}

/** Black or white, whichever reads better on the color. */
function inkOn(color) {
  const [r, g, b] = [1, 3, 5].map((at) => (parseInt(color.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.2 ? "#000" : "#fff";
}

function ticksOf(low, high, count) {
  const step = [0.02, 0.05, 0.1, 0.2, 0.5].find((size) => (high - low) / size <= count) ?? 1;
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9; k++) ticks.push(k * step);
  return ticks;
}

function say(setting) {
  const { name, symbol } = KINDS[setting.kind];
  return setting.label || (setting.value === null ? name : `${name}, ${symbol ?? "value"} = ${setting.value}`);
}

/** The settings by task, the largest group first: other classes are another task, with accuracies on another scale. */
export function tasksOf(settings) {
  const task = ({ classes }) => classes.join("|");
  const groups = [...new Set(settings.map(task))].map((key) => settings.filter((setting) => task(setting) === key));
  return groups.sort((a, b) => b.length - a.length);
}

/** The class that most samples of all clients have, and the accuracy of whoever always says it. */
export function commonest({ counts, classes }) {
  const votes = classes.map((_, c) => counts.reduce((sum, row) => sum + row[c], 0));
  const most = Math.max(...votes);
  return { name: classes[votes.indexOf(most)], share: most / votes.reduce((a, b) => a + b, 0) };
}

/** What a reader should see, in words: shown above the figure and read out on every change. */
export function sentence(settings, index, options) {
  const setting = settings[index];
  const { laws, mean } = labelDistances(setting.counts, options.weights);
  const lone = laws.filter((law) => Math.max(...law) >= 0.5).length;
  const same = (other) => other.kind === "iid" && String(other.classes) === String(setting.classes);
  const base = setting.kind === "iid" ? undefined : settings.find(same);
  const after = options.rounds ? ` after ${options.rounds} rounds` : "";
  const points = base ? 100 * (base.accuracy - setting.accuracy) : 0;
  const gap = base ? `, ${Math.abs(points).toFixed(1)} points ${points >= 0 ? "below" : "above"} the iid split` : "";
  const alone = tasksOf(settings)[0].includes(setting) ? "" : ` on a task of their own, where always saying “${commonest(setting).name}” gives ${percent(commonest(setting).share)}`;
  const half = setting.classes.length > 2 ? `${lone || "none"} of ${laws.length} clients ${lone === 1 ? "holds" : "hold"} at least half of their samples in one class; ` : "";
  return [`${say(setting)}:`, ` ${half}the labels of a client are on average ${fixed(mean)} away from the pool in total variation. FedAvg reaches ${percent(setting.accuracy)}${after}${gap}${alone}.`];
}

// ---------------------------------------------------------------- what the clients hold

function clientText(setting, facts, i) {
  const shares = setting.classes.map((name, c) => [name, setting.counts[i][c]]).filter(([, n]) => n > 0);
  const head = `${setting.clients[i] ?? `client ${i + 1}`}: ${facts.sizes[i]} ${facts.sizes[i] === 1 ? "sample" : "samples"}`;
  return { head, tv: `TV to the pool ${fixed(facts.each[i])}`, list: shares.map(([name, n]) => `${name}: ${n}`).join(", ") };
}

function drawClients(view, setting, facts, width, colors, most) {
  const named = Math.max(0, ...setting.clients.map((name) => name.length));
  const [left, right, top] = [Math.max(34, 6.3 * named + 8), width < 420 ? 62 : 84, 40];
  const [bars, rowHeight] = [width - left - right - 10, Math.max(15, Math.min(28, 330 / setting.counts.length))];
  const height = top + Math.max(15, Math.min(28, 330 / most)) * most + 8;
  const tv = (value) => width - right + value * (right - 26);
  const svg = node("svg:svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Labels of each client, one row a client; arrow keys move between the rows" });
  const text = (x, y, words, extra = {}) => node("svg:text", { x, y, ...extra }, words);
  const row = (law, y, thick, label) => {
    const group = node("svg:g", {});
    let at = left;
    law.forEach((share, c) => {
      const wide = share * bars;
      if (wide > 0.2) {
        group.append(node("svg:rect", { class: "fl-seg", x: at, y, width: Math.max(wide - 1, 0.5), height: thick, fill: colors[c], "data-c": c }));
        const name = setting.classes[c];
        if (wide > 7 * name.length + 5 && thick > 10) {
          group.append(text(at + (wide - 1) / 2, y + thick / 2, name, { class: "fl-in", fill: inkOn(colors[c]), "aria-hidden": "true" }));
        }
      }
      at += wide;
    });
    group.append(text(left - 6, y + thick / 2, label, { class: "fl-name" }));
    return group;
  };
  svg.append(text(left, 9, "share of each class", { class: "fl-head" }), text(width, 9, "TV to pool", { class: "fl-head fl-end" }), row(facts.pool, 16, 16, "pool"));
  facts.laws.forEach((law, i) => {
    const y = top + i * rowHeight;
    const words = clientText(setting, facts, i);
    const group = row(law, y, rowHeight - 3, setting.clients[i] ?? String(i + 1));
    group.append(
      node("svg:rect", { class: "fl-tv", x: tv(0), y: y + (rowHeight - 3) / 2 - 2.5, width: Math.max(tv(facts.each[i]) - tv(0), 1), height: 5 }),
      text(width, y + (rowHeight - 3) / 2, fixed(facts.each[i]).replace(/^0/, ""), { class: "fl-num" }),
    );
    group.prepend(node("svg:rect", { class: "fl-hit", x: 0, y: y - 1.5, width, height: rowHeight, rx: 3 }));
    const attributes = { class: "fl-row", role: "img", tabindex: i === 0 ? 0 : -1, "data-i": i, "aria-label": `${words.head}, ${words.tv}; ${words.list}`, "data-lm-suppress-shortcuts": "true" };
    for (const [name, value] of Object.entries(attributes)) group.setAttribute(name, value);
    svg.append(group);
  });
  const bottom = top + setting.counts.length * rowHeight;
  svg.append(node("svg:line", { class: "fl-mean", x1: tv(facts.mean), x2: tv(facts.mean), y1: top - 6, y2: bottom - 3 }),
    text(width, 24, `mean ${fixed(facts.mean).replace(/^0/, "")}`, { class: "fl-num fl-strong" }));
  view.replaceChildren(svg);
}

/** One tooltip for all rows, by pointer, focus or touch; Escape closes it. */
function tooltips(panel, current) {
  const tip = node("div", { class: "fl-tip", "aria-hidden": "true", hidden: true });
  const close = () => { tip.hidden = true; };
  const open = (row) => {
    const { setting, facts } = current();
    const words = clientText(setting, facts, Number(row.dataset.i));
    tip.replaceChildren(node("b", {}, words.head), node("span", {}, words.tv), node("span", {}, words.list));
    tip.style.background = groundOf(panel);
    tip.hidden = false;
    const [box, at] = [panel.getBoundingClientRect(), row.getBoundingClientRect()];
    const under = at.bottom - box.top + 4;
    tip.style.top = `${under + tip.offsetHeight > box.height + 40 ? at.top - box.top - tip.offsetHeight - 4 : under}px`;
  };
  const rowOf = (event) => event.target.closest?.(".fl-row");
  panel.append(tip);
  panel.addEventListener("pointerover", (event) => { const row = rowOf(event); if (row) open(row); else close(); });
  panel.addEventListener("pointerleave", close);
  panel.addEventListener("focusin", (event) => { const row = rowOf(event); if (row) open(row); });
  panel.addEventListener("focusout", close);
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    const row = rowOf(event);
    const rows = [...panel.querySelectorAll(".fl-row")];
    const move = { ArrowDown: 1, ArrowUp: -1, Home: -rows.length, End: rows.length }[event.key];
    if (!row || !move) return;
    event.preventDefault();
    const next = rows[Math.min(rows.length - 1, Math.max(0, rows.indexOf(row) + move))];
    rows.forEach((other) => other.setAttribute("tabindex", other === next ? 0 : -1));
    next.focus();
  });
  return close;
}

// ---------------------------------------------------------------- accuracy against distance

/** One area a task: TV across for the first, a narrow axis of its own for each other. */
function areasOf(settings, width, height) {
  const [first, ...others] = tasksOf(settings);
  const [top, bottom, slim] = [22, height - 40, 84];
  const area = (own, values, left, right, across) => {
    const [low, high] = [Math.floor(20 * (Math.min(...values) - 0.012)) / 20, Math.min(1, Math.ceil(20 * (Math.max(...values) + 0.012)) / 20)];
    return { own, low, high, left, right, top, bottom, x: across(left, right), y: (a) => top + ((high - a) / (high - low)) * (bottom - top) };
  };
  const seen = (own) => own.flatMap((s) => [s.accuracy, s.lo ?? s.accuracy, s.hi ?? s.accuracy]);
  const far = Math.min(1, Math.ceil(10 * Math.max(...first.map((s) => s.tv)) + 0.3) / 10);
  const main = area(first, seen(first), 44, width - 14 - slim * others.length, (left, right) => ({ tv }) => left + (tv / far) * (right - left));
  const rest = others.map((own, k) => area(own, [...seen(own), commonest(own[0]).share, 0.55, 0.95], main.right + slim * k + 42, main.right + slim * (k + 1),
    (left, right) => (setting) => left + ((own.indexOf(setting) + 0.5) / own.length) * (right - left)));
  return { far, all: [main, ...rest], of: (setting) => [main, ...rest].find(({ own }) => own.includes(setting)) };
}

function drawChart(view, settings, index, width) {
  const height = Math.max(220, Math.min(290, 0.72 * width));
  const { far, all, of } = areasOf(settings, width, height);
  const svg = node("svg:svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "FedAvg's accuracy against the total variation between clients and pool, one mark a setting; another task has an axis of its own" });
  const [now, at] = [settings[index], (setting) => [of(setting).x(setting), of(setting).y(setting.accuracy)]];
  for (const { own, low, high, left, right, bottom, x, y } of all) {
    for (const a of ticksOf(low, high, 6)) {
      svg.append(node("svg:line", { class: "fl-grid", x1: left, x2: right, y1: y(a), y2: y(a) }),
        node("svg:text", { class: "fl-num", x: left - 6, y: y(a) }, `${Math.round(100 * a)}`));
    }
    svg.append(node("svg:line", { class: "fl-axis", x1: left, x2: right, y1: bottom, y2: bottom }));
    if (own === all[0].own) {
      for (const tv of ticksOf(0, far, right - left < 200 ? 4 : 6)) svg.append(node("svg:text", { class: "fl-tick", x: x({ tv }), y: bottom + 14 }, short(tv)));
      continue;
    }
    const guess = y(commonest(own[0]).share);
    svg.append(node("svg:text", { class: "fl-head fl-end fl-task", x: right, y: 9 }, own.length > 1 ? own[0].kind : say(own[0])),
      node("svg:line", { class: "fl-guess", x1: left, x2: right, y1: guess, y2: guess }, node("svg:title", {}, `always “${commonest(own[0]).name}”`)));
    for (const setting of own) svg.append(node("svg:text", { class: "fl-tick", x: x(setting), y: bottom + 14 }, short(Number(fixed(setting.tv)))));
  }
  svg.append(node("svg:text", { class: "fl-head", x: 0, y: 9 }, "accuracy, %"),
    node("svg:text", { class: "fl-head fl-end", x: width - 14, y: height - 5 }, "TV: distance of the clients’ labels to the pool →"));
  for (const [kind, look] of Object.entries(KINDS)) {
    const own = settings.filter((setting) => setting.kind === kind).sort((a, b) => a.value - b.value);
    const group = node("svg:g", { class: kind === now.kind ? "fl-series" : "fl-series fl-faint", style: `--kind:${look.color}` });
    const span = (o) => node("svg:line", { class: "fl-span", x1: of(o).x(o), x2: of(o).x(o), y1: of(o).y(o.lo), y2: of(o).y(o.hi) });
    if (own.length > 1 && own[0].value !== null) group.append(node("svg:polyline", { points: own.map((o) => at(o).join()).join(" ") }));
    group.append(...own.filter((o) => o.lo !== null && o.hi !== null).map(span));
    group.append(...own.map((o) => node("svg:path", { d: marker(look.shape, 4), transform: `translate(${at(o)})` }, node("svg:title", {}, say(o)))));
    svg.append(group);
  }
  const [x, y] = at(now);
  svg.append(node("svg:path", { class: "fl-cross", d: `M${of(now).left},${y}H${x}V${of(now).bottom}` }));
  view.replaceChildren(svg);
  return { svg, x, y };
}

/** The highlighted mark: a slider over all settings, by TV; it can also be dragged. */
function handle(settings, index, place) {
  const order = byDistance(settings);
  const look = KINDS[settings[index].kind];
  const made = node("svg:g", {
    class: "fl-handle", role: "slider", tabindex: 0, transform: `translate(${place.x},${place.y})`, style: `--kind:${look.color}`,
    "aria-label": "Setting on the chart, from alike to different clients", "aria-orientation": "horizontal", "data-lm-suppress-shortcuts": "true",
  }, node("svg:circle", { r: 22, class: "fl-hit" }), node("svg:circle", { r: 11, class: "fl-ring" }), node("svg:path", { d: marker(look.shape, 6) }));
  const values = { min: 0, max: order.length - 1, now: order.indexOf(index), text: `${say(settings[index])}, TV ${fixed(settings[index].tv)}, accuracy ${percent(settings[index].accuracy)}` };
  for (const [name, value] of Object.entries(values)) made.setAttribute(`aria-value${name}`, value);
  return made;
}

const byDistance = (settings) => settings.map((_, i) => i).sort((a, b) => settings[a].tv - settings[b].tv || a - b);

function chartEvents(panel, read, choose) {
  const pick = (event) => {
    const svg = panel.querySelector("svg");
    const [box, { settings }] = [svg.getBoundingClientRect(), read()];
    const { width, height } = svg.viewBox.baseVal;
    const { of } = areasOf(settings, width, height);
    const [x, y] = [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
    const gap = (setting) => Math.hypot(of(setting).x(setting) - x, of(setting).y(setting.accuracy) - y);
    choose(settings.reduce((best, setting, i) => (gap(setting) < gap(settings[best]) ? i : best), 0));
  };
  dragged(panel, (event, first) => {
    pick(event);
    if (first) panel.querySelector(".fl-handle").focus({ preventScroll: true });
  });
  panel.addEventListener("keydown", (event) => {
    const { settings, index } = read();
    const order = byDistance(settings);
    const move = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -order.length, End: order.length }[event.key];
    if (!move) return;
    event.preventDefault();
    choose(order[Math.min(order.length - 1, Math.max(0, order.indexOf(index) + move))]);
  });
}

// ---------------------------------------------------------------- controls and read-outs

function controls(settings, choose) {
  const group = `fl-${Math.random().toString(36).slice(2)}`;
  const last = {};
  const kinds = Object.keys(KINDS).filter((kind) => settings.some((setting) => setting.kind === kind));
  const own = (kind) => settings.map((_, i) => i).filter((i) => settings[i].kind === kind).sort((a, b) => settings[a].value - settings[b].value);
  const radios = kinds.map((kind) => node("input", { type: "radio", name: group, value: kind, autocomplete: "off", "data-lm-suppress-shortcuts": "true" }));
  const pills = kinds.map((kind, k) => node("label", { class: "fl-pill", style: `--kind:${KINDS[kind].color}` }, radios[k],
    node("svg:svg", { viewBox: "-7 -7 14 14", "aria-hidden": "true" }, node("svg:path", { d: marker(KINDS[kind].shape, 4.5) })), KINDS[kind].name));
  const range = node("input", { type: "range", min: 0, step: 1, autocomplete: "off", "data-lm-suppress-shortcuts": "true" });
  const [name, value] = [node("span"), node("output", { "aria-live": "off" })];
  const slider = node("label", { class: "fl-control" }, name, range, value);
  radios.forEach((radio) => radio.addEventListener("change", () => choose(last[radio.value] ?? own(radio.value)[0])));
  range.addEventListener("input", () => choose(own(radios.find((radio) => radio.checked).value)[Number(range.value)]));
  const update = (index) => {
    const { kind, value: shown } = settings[index];
    const mine = own(kind);
    last[kind] = index;
    radios.forEach((radio) => { radio.checked = radio.value === kind; });
    slider.classList.toggle("fl-off", mine.length < 2);
    range.disabled = mine.length < 2;
    range.max = mine.length - 1;
    range.value = mine.indexOf(index);
    name.textContent = KINDS[kind].slider ?? "which";
    value.textContent = shown === null ? say(settings[index]) : String(shown);
    range.setAttribute("aria-label", name.textContent);
    range.setAttribute("aria-valuetext", value.textContent);
  };
  return { el: node("div", { class: "fl-top" }, node("fieldset", {}, node("legend", {}, "How the data are split"), ...pills), slider), update };
}

function readouts(settings, options) {
  const [first] = tasksOf(settings);
  const rows = METRICS.map((metric) => {
    const values = settings.map((setting) => setting[metric]);
    const compared = settings.map((setting) => metric === "tv" || first.includes(setting)); // TV has one scale for all tasks
    const on = values.filter((_, i) => compared[i]);
    const [low, high] = [Math.min(...on), Math.max(...on)];
    const place = (value) => `${(100 * (value - low)) / (high - low || 1)}%`;
    const ticks = values.map((value, i) => (compared[i] ? node("i", { style: `left:${place(value)}` }) : null));
    const [fill, number] = [node("b"), node("span", { class: "fl-value", "data-metric": metric })];
    const track = node("div", { class: "fl-track", "aria-hidden": "true" }, fill, ...ticks);
    const el = node("div", { class: "fl-out" }, node("span", {}, ...subscripted(options.names[metric])), number, track);
    const update = (index) => {
      number.textContent = written[metric](values[index]);
      track.classList.toggle("fl-off", !compared[index]);
      fill.style.width = compared[index] ? place(values[index]) : 0;
      ticks.forEach((tick, i) => tick?.classList.toggle("fl-now", i === index));
    };
    return { el, update };
  });
  return { el: node("div", { class: "fl-outs" }, ...rows.map((row) => row.el)), update: (index) => rows.forEach((row) => row.update(index)) };
}

// ---------------------------------------------------------------- the whole

function build(model, el) {
  const [settings, options] = [model.get("settings"), model.get("options")];
  const read = () => ({ settings, index: model.get("index") });
  const choose = (index) => { if (index !== model.get("index")) { model.set("index", index); model.save_changes(); } };
  const facts = settings.map((setting) => labelDistances(setting.counts, options.weights));
  const current = () => ({ setting: settings[model.get("index")], facts: facts[model.get("index")] });
  const most = Math.max(...settings.map((setting) => setting.counts.length));
  const [top, outs] = [controls(settings, choose), readouts(settings, options)];
  const words = node("p", { class: "fl-say", role: "status", "aria-live": "polite" });
  const [bars, chart] = [node("div", { class: "fl-draw" }), node("div", { class: "fl-draw fl-chart" })];
  const left = node("div", { class: "fl-panel" }, node("p", { class: "fl-title" }, "What each client holds"), bars);
  const right = node("div", { class: "fl-panel" }, node("p", { class: "fl-title" }, "What it costs"), chart, outs.el);
  const root = node("div", { class: "fl-hero fl-het" }, top.el, words, node("div", { class: "fl-panels" }, left, right));
  const closeTip = tooltips(left, current);
  chartEvents(chart, read, choose);
  const update = () => {
    const index = model.get("index");
    const focused = chart.contains(document.activeElement);
    const [head, rest] = sentence(settings, index, options);
    words.replaceChildren(node("b", {}, head), rest);
    root.dataset.tv = facts[index].mean;
    top.update(index);
    outs.update(index);
    closeTip();
    drawClients(bars, settings[index], facts[index], bars.clientWidth || 420, options.colors, most);
    const place = drawChart(chart, settings, index, chart.clientWidth || 360);
    const mark = handle(settings, index, place);
    place.svg.append(mark);
    if (focused) mark.focus({ preventScroll: true });
  };
  el.replaceChildren(root);
  return { root, update };
}

function render({ model, el }) {
  let shown = build(model, el);
  const rebuild = () => { shown = build(model, el); shown.update(); };
  const stop = follow(model, el, ["index"], () => shown.update());
  model.on("change:settings", rebuild);
  return () => { stop(); model.off("change:settings", rebuild); };
}

export default { render };
