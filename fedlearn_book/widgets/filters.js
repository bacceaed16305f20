// Filters entering: a recorded run, moment by moment. One byte a pixel; the support is exact.

const bytes = (text) => Int8Array.from(atob(text), (c) => c.charCodeAt(0));

/** The numbers of one filter at one moment: its pixels, or its norm alone. */
export function filterAt({ data, shape, scale, inside }, k, g) {
  const size = shape[0] * shape[1];
  const from = (k * inside[0].length + g) * size;
  return Array.from((typeof data === "string" ? bytes(data) : data).slice(from, from + size), (q) => (q / 127) * scale);
}

/** The moment since when a filter has been in the support without a break; null if it is out. */
export function inSince(inside, k, g) {
  if (inside[k][g] !== "1") return null;
  while (k > 0 && inside[k - 1][g] === "1") k--;
  return k;
}

/** The moments at which at least one filter of a layer comes in. */
export const entrances = (inside) => inside.map((_, k) => k).filter((k) => [...inside[k]].some((_, g) => inSince(inside, k, g) === k));

const percent = (v) => `${fixed(100 * v, 1)}\u00a0%`;
const counted = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
const COLORS = ["var(--soft)", "var(--in)", "#E69F00"];
const HUES = ["#0072B2", "#E69F00", "#CC79A7", "#56B4E9", "#D55E00", "#7B4EA3", "#8C564B", "#7F7F7F"].map((hue) => `color-mix(in oklab,${hue} 85%,currentColor)`);

export function sentence(layer, { time, label, curves }, k) {
  const inside = [...layer.inside[k]];
  const count = inside.filter((bit) => bit === "1").length;
  const fresh = inside.map((_, g) => g).filter((g) => k > 0 && inSince(layer.inside, k, g) === k);
  const gone = k > 0 ? inside.map((_, g) => g).filter((g) => layer.inside[k - 1][g] === "1" && inside[g] === "0") : [];
  const says = (list, verb) => (list.length ? ` ${list.length > 4 ? `${list.length} of them` : `Filter${list.length > 1 ? "s" : ""} ${list.map((g) => g + 1).join(", ")}`} just ${verb}.` : "");
  return [`${label} ${written(time[k])}:`, ` ${count} of ${inside.length} filters of ${layer.name} are in the support.${says(fresh, "entered")}${says(gone, "left")} Accuracy: ${curves.map(([name, row]) => `${name} ${percent(row[k])}`).join(", ")}.`];
}

function tile(layer, pixels, k, g, time) {
  const [h, w] = layer.shape;
  const since = inSince(layer.inside, k, g);
  const values = pixels(k, g);
  const drawn = h * w > 1
    ? values.map((v, at) => node("svg:rect", { x: at % w, y: Math.floor(at / w), width: 1, height: 1, style: `fill:color-mix(in oklab,var(--${v < 0 ? "minus" : "plus"}) ${(100 * (Math.abs(v) / layer.scale) ** 0.7).toFixed(0)}%,transparent)` }))
    : [node("svg:rect", { class: "fl-bar", x: 0.25, y: 1 - values[0] / layer.scale, width: 0.5, height: values[0] / layer.scale })];
  const norm = Math.hypot(...values);
  const count = layer.inside[0].length;
  const state = since === null ? "out" : since === 0 ? "in" : `${count > 6 ? "" : "since "}${written(time[since])}`;
  const says = `filter ${g + 1}: ${since === null ? "out of the support" : since === 0 ? "in from the start" : `in since ${written(time[since])}`}, norm ${fixed(norm)}`;
  const svg = node("svg:svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": says }, node("svg:title", {}, says), ...drawn);
  return node("div", { class: since === null ? "fl-tile" : "fl-tile fl-in" }, svg, count <= 24 ? node("span", { "aria-hidden": "true" }, state) : null);
}

function sharesOf({ parts, time }) {
  const cells = {};
  const rows = parts.map(({ name }, i) => {
    cells[name] = [node("td", { "data-count": name }), node("td", { "data-share": name })];
    return node("tr", {}, node("th", { scope: "row" }, node("i", { style: `--tone:${HUES[i % HUES.length]}` }), name), ...cells[name]);
  });
  const head = node("tr", {}, ...["layer", "in the support", "share"].map((text) => node("th", { scope: "col" }, text)));
  const update = (k) => parts.forEach(({ name, unit, in: counts, all }) => {
    cells[name][0].textContent = `${counted(counts[k])} of ${counted(all)} ${unit}`;
    cells[name][1].textContent = percent(counts[k] / all);
  });
  const curves = parts.map(({ name, in: counts, all }, i) => curveOf(name, counts.map((n) => n / all), time, HUES[i % HUES.length]));
  return { el: node("table", {}, node("thead", {}, head), node("tbody", {}, ...rows)), update, curves };
}

const nearest = (time, t) => time.reduce((best, at, k) => (Math.abs(at - t) < Math.abs(time[best] - t) ? k : best), 0);

function curveOf(name, row, time, tone) {
  const value = (t) => row[nearest(time, t)];
  return { name, kind: "", tone, points: row.map((v, k) => [time[k], v]), value, says: (t) => `${name}: ${percent(value(t))}` };
}

function render({ model, el }) {
  const [layers, options] = [model.get("layers"), model.get("options")];
  const { time, label, curves } = options;
  const set = (name, value) => { model.set(name, value); model.save_changes(); };
  const data = layers.map((layer) => ({ ...layer, data: bytes(layer.data) }));
  const clock = slider(label, time.map((_, k) => k), 0, (k) => written(time[k]), (k) => set("index", k));
  clock.el.querySelector("input").addEventListener("keydown", (event) => {
    if (!event.key.startsWith("Page")) return;
    event.preventDefault();
    const at = entrances(layers[model.get("layer")].inside);
    const to = event.key === "PageUp" ? at.find((k) => k > model.get("index")) : at.findLast((k) => k < model.get("index"));
    if (to !== undefined) set("index", to);
  });
  const select = node("select", { autocomplete: "off", "data-lm-suppress-shortcuts": "true" }, ...layers.map(({ name }, i) => node("option", { value: i }, name)));
  select.addEventListener("change", () => set("layer", Number(select.value)));
  const words = node("p", { class: "fl-say", role: "status", "aria-live": "polite" });
  const tiles = node("div", { class: "fl-tiles" });
  const title = node("p", { class: "fl-title" });
  const legend = curves.map((_, i) => node("span", { class: "fl-legend", "data-curve": i }));
  const [views, charts] = [[node("div", { class: "fl-draw fl-time" }), node("div", { class: "fl-draw fl-time" })], []];
  views.forEach((view, i) => chartPointer(view, () => charts[i], (t) => set("index", nearest(time, t))));
  const table = sharesOf(options);
  const key = node("p", { class: "fl-key" });
  el.replaceChildren(node("div", { class: "fl-hero fl-filters" },
    node("div", { class: "fl-top" }, clock.el, node("label", { class: "fl-pick" }, node("span", {}, "layer"), select)), words,
    node("div", { class: "fl-panels" }, node("div", {}, title, tiles), node("div", {}, node("p", { class: "fl-title" }, "Test accuracy, %", ...legend), views[0]),
      node("div", {}, node("p", { class: "fl-title" }, "Layer by layer"), table.el), node("div", {}, node("p", { class: "fl-title" }, "Share of each layer in the support, %"), views[1])), key));

  const accuracy = curves.map(([name, row], i) => curveOf(name, row, time, COLORS[i]));
  const whole = (v) => String(Math.round(100 * v));
  let made = "";
  const redraw = (layer) => {
    const rug = entrances(layer.inside).map((k) => ({ t: time[k], kind: "fl-enters" }));
    views.forEach((view, i) => {
      const width = view.clientWidth || 340;
      const name = i ? "Share of each layer in the support against time" : "Test accuracy against time; ticks where a filter of the layer enters";
      charts[i] = timeChart(view, {
        width, height: Math.max(160, Math.min(215, 0.56 * width)), x: { span: [time[0], time.at(-1)] }, y: { span: [0, 1], show: whole },
        xName: label, name, curves: i ? table.curves : accuracy, rug, right: 12,
      });
    });
  };
  const update = () => {
    const k = model.get("index");
    const layer = data[model.get("layer")];
    const tag = `${model.get("layer")}/${views.map((view) => view.clientWidth)}`;
    if (made !== tag) redraw(layer);
    made = tag;
    charts.forEach((chart) => chart.mark([{ t: time[k] }], chart.curves.map((c) => ({ t: time[k], v: c.value(time[k]), kind: "", tone: c.tone }))));
    const count = layer.inside[0].length;
    const columns = count <= 6 ? Math.min(count, 3) : count <= 24 ? 6 : Math.ceil(Math.sqrt(1.6 * count));
    tiles.style.gridTemplateColumns = `repeat(${columns},minmax(0,1fr))`;
    tiles.replaceChildren(...Array.from({ length: count }, (_, g) => tile(layer, (at, f) => filterAt(layer, at, f), k, g, time)));
    title.textContent = `${layer.name}: ${layer.shape[0] * layer.shape[1] > 1 ? "its filters" : "the norms of its filters"}`;
    legend.forEach((span, i) => span.replaceChildren(node("i", { style: `--tone:${COLORS[i]}` }), `${curves[i][0]} ${percent(curves[i][1][k])}`));
    key.textContent = `Green: in the support, under it since when. Pale, dashed: not in it. ${layer.shape[0] * layer.shape[1] > 1 ? "Orange weights are positive, purple ones negative, stronger is larger" : "The bars are norms"}, on one scale for the whole run. Ticks on the time axis: a filter of this layer comes in. On the slider, Page up and Page down jump from one to the next.`;
    clock.update(k);
    select.value = model.get("layer");
    table.update(k);
    const [head, rest] = sentence(layer, options, k);
    words.replaceChildren(node("b", {}, head), rest);
  };
  return follow(model, el, ["index", "layer"], update);
}

export default { render };
