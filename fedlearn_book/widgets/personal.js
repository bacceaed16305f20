// From one to everybody's own: the models in use are piecewise constant in t, the accounts V piecewise linear,
// the LASSO's shared model is linear in 1/t. All are evaluated here from knots; the tests hold that against the library.
// A cell is a number of a client: cell = client · d + number.

/** A row "index, value, index, value, …" as `size` numbers. */
function dense(row, size) {
  const all = Array(size).fill(0);
  for (let k = 0; k < row.length; k += 2) all[row[k]] = row[k + 1];
  return all;
}

/** At time t: the shared w, deviations, accounts V and wishes by cell, test errors by client. */
export function pathAt({ t: times, w, delta, pull, square, error }, t) {
  const [size, d] = [square.length, w[0].length];
  const k = times.filter((knot) => knot <= t).length - 1;
  const V = Array(size).fill(0);
  for (let s = 0; s <= k; s++) dense(pull[s], size).forEach((slope, c) => { V[c] += ((s < k ? times[s + 1] : t) - times[s]) * slope; });
  const [own, slope] = [dense(delta[k], size), dense(pull[k], size)];
  const wish = own.map((v, c) => w[k][c % d] + v + (square[c] > 0 ? slope[c] / square[c] : 0));
  return { k, w: w[k], delta: own, V, wish, error: error[k] };
}

/** The shared model of the LASSO with λ = 1/t; the pooled one at t = 0. */
export function lassoAt({ lam, lasso }, t) {
  const weight = Math.max(t > 0 ? 1 / t : Infinity, lam.at(-1));
  if (weight >= lam[0]) return lasso[0];
  const k = lam.filter((v) => v > weight).length;
  const s = (lam[k - 1] - weight) / (lam[k - 1] - lam[k]);
  return lasso[k - 1].map((v, j) => v + s * (lasso[k][j] - v));
}

const inside = (row) => row.filter((_, k) => k % 2 === 0);

/** What happens after knot k: when, which cells become personal and which are shared again; null after the last. */
export function nextAt({ t, delta }, k) {
  if (k + 1 >= t.length) return null;
  const [now, then] = [inside(delta[k]), inside(delta[k + 1])];
  return { t: t[k + 1], enter: then.filter((c) => !now.includes(c)), leave: now.filter((c) => !then.includes(c)) };
}

// ---------------------------------------------------------------- words

const time = (t) => (t === 0 ? "0" : t < 1 ? fixed(t, 3) : t < 10 ? fixed(t) : t < 1000 ? fixed(t, 1) : fixed(t, 0));
const three = (v) => minus(fixed(v, Math.abs(v) < 10 ? 3 : Math.abs(v) < 1000 ? 1 : 0));
const signed = (v) => (v > 0 ? "+" : "") + minus(fixed(v, Math.abs(v) < 0.095 ? 3 : Math.abs(v) < 10 ? 2 : 0));
const average = (row) => row.reduce((sum, v) => sum + v, 0) / row.length;

/** Whose number a cell is, in words. */
function called(cell, { names, numbers }) {
  return `${names[Math.floor(cell / numbers.length)]}’s ${numbers[cell % numbers.length]}`;
}

export function upcoming(setting, k, options) {
  const next = nextAt(setting, k);
  if (!next) return setting.pull[k].length ? "Nothing else happens on this axis." : "Nothing else happens: everybody has a model of their own.";
  const said = (cells, how) => (cells.length ? [`${called(cells[0], options)}${cells.length > 1 ? ` and ${cells.length - 1} more` : ""}${how}`] : []);
  return `Next: ${[...said(next.enter, ""), ...said(next.leave, " shared again")].join(", ")} at t = ${time(next.t)}.`;
}

/** What the shared value of number j is, said by who still shares it. */
function made(delta, j, { names, numbers }) {
  const who = names.filter((_, i) => !delta[i * numbers.length + j]);
  if (who.length === names.length) return `the mean of what all ${who.length} want`;
  if (who.length > 1) return `a trimmed mean: of what the ${who.length} who share it want`;
  return `the weighted median of the numbers in use${who.length ? `, ${who[0]}’s` : ""}`;
}

export function sentence({ t, now, j, setting }, options) {
  const gone = now.delta.filter((v) => v !== 0).length;
  const count = `${gone || "none"} of ${now.delta.length} numbers ${gone === 1 ? "is" : "are"} personal`;
  return [`t = ${time(t)}:`, ` ${count}. ${upcoming(setting, now.k, options)} The shared ${options.numbers[j]}, ${three(now.w[j])}, is ${made(now.delta, j, options)}. Test error, mean over clients: ${fixed(average(now.error), 3)}; all sharing: ${fixed(average(setting.error[0]), 3)}.`];
}

/** What a client that is dragged away does to the number that it shares: before and after, under three methods. */
export function dragging({ cell, step, mean, lasso, path }, options) {
  const went = ([from, to]) => `from ${three(from)} to ${three(to)}`;
  return `With ${called(cell, options)} ${step} further the plain mean goes ${went(mean)}, the LASSO ${went(lasso)}, the path ${went(path)}.`;
}

// ---------------------------------------------------------------- the figure

/** A time axis whose logarithms begin at `low`; 0 lies left of it, a share `first` of the whole away. */
export function clockAxis([low, high, first]) {
  const room = Math.log(high / low);
  return {
    share: (t) => (t < low ? (first * t) / low : first + ((1 - first) * Math.log(t / low)) / room),
    back: (s) => (s <= first ? (low * Math.max(s, 0)) / first : low * Math.exp((room * (Math.min(s, 1) - first)) / (1 - first))),
  };
}

const svgOf = (width, height, label) => node("svg:svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
const label = (x, y, text, kind, tone) => node("svg:text", { x, y, class: kind, style: tone && `fill:${tone}` }, text);
const stroke = (x1, y1, x2, y2, kind, tone) => node("svg:line", { x1, y1, x2, y2, class: kind, style: tone && `--tone:${tone}` });

/** When cells become personal: a lane a client. */
function drawClock(view, width, setting, options, t, j) {
  const { names, numbers, axis: ends } = options;
  const [lane, top, left, right] = [15, 4, options.left, width - 12];
  const bottom = top + lane * names.length;
  const axis = clockAxis(ends);
  const at = (v) => left + axis.share(v) * (right - left);
  const svg = svgOf(width, bottom + 32, "When which number of which client becomes personal: a dot on the client’s lane, on an axis of time");
  names.forEach((name, i) => {
    const y = top + lane * (i + 0.5);
    svg.append(label(left - 8, y + 4, name, "fl-num", options.inks[i]), stroke(left, y, right, y, "fl-grid"));
  });
  const marks = ticks({ low: ends[0], high: ends[1], log: true }, 6);
  for (const v of [0, ...marks]) svg.append(stroke(at(v), bottom, at(v), bottom + 4, "fl-tickline"), label(at(v), bottom + 15, v < 1e6 ? String(v) : written(v), "fl-tick"));
  svg.append(stroke(left, bottom, right, bottom, "fl-axis"), label(right, bottom + 29, "path time t →", "fl-head fl-end"));
  setting.delta.forEach((_, k) => {
    const { enter, leave } = k ? nextAt(setting, k - 1) : { enter: [], leave: [] };
    for (const cell of leave) {
      const y = top + lane * (Math.floor(cell / numbers.length) + 0.5);
      svg.append(stroke(at(setting.t[k]), y - 5, at(setting.t[k]), y + 5, "fl-back", options.tones[Math.floor(cell / numbers.length)]));
    }
    for (const cell of enter) {
      const i = Math.floor(cell / numbers.length);
      const dot = node("svg:circle", { cx: at(setting.t[k]), cy: top + lane * (i + 0.5), r: cell % numbers.length === j ? 5 : 3.5, class: `fl-event ${setting.t[k] <= t ? "" : "fl-later"} ${cell % numbers.length === j ? "fl-chosen" : ""}`, style: `--tone:${options.tones[i]}` });
      dot.append(node("svg:title", {}, `${called(cell, options)}, t = ${time(setting.t[k])}`));
      svg.append(dot);
    }
  });
  svg.append(stroke(at(t), top, at(t), bottom, "fl-cursor"));
  view.replaceChildren(svg);
  return (event) => {
    const box = svg.getBoundingClientRect();
    return axis.back((((event.clientX - box.left) / box.width) * width - left) / (right - left));
  };
}

/** A gauge for each client and number: it fills with |V|, and lets its owner go when it is full. */
function gaugesOf({ names, numbers, inks, tones }, choose) {
  const cells = [];
  const head = node("tr", {}, node("td"), ...names.map((name, i) => node("th", { scope: "col" }, node("span", { style: `color:${inks[i]}` }, name))));
  const rows = numbers.map((number, j) => {
    const row = node("tr", {}, node("th", { scope: "row" }, number), ...names.map((_, i) => {
      const [fill, said] = [node("i"), node("span", { class: "fl-said" })];
      const cell = node("td", { "data-cell": i * numbers.length + j, style: `--tone:${tones[i]}` }, node("span", { class: "fl-track" }, fill), said);
      cells[i * numbers.length + j] = { cell, fill, said };
      return cell;
    }));
    row.addEventListener("click", () => choose(j));
    return row;
  });
  const word = Math.max(...names.flatMap((name) => name.split(" ")).map((part) => part.length));
  const update = ({ V, delta }, next, j, width) => {
    const room = (width - 100) / names.length; // pixels a client
    const tight = room < 52;
    head.classList.toggle("fl-upright", room < 6 * word);
    cells.forEach(({ cell, fill, said }, c) => {
      const full = Math.min(1, Math.abs(V[c]));
      fill.style.width = `${(100 * (delta[c] ? 1 : full)).toFixed(1)}%`;
      const [gone, percent] = [signed(delta[c]), String(Math.floor(100 * full + 1e-6))];
      said.textContent = delta[c] ? (tight ? gone[0] : gone) : tight ? percent : `${percent}\u2009%`;
      cell.title = `${called(c, { names, numbers })}: ${delta[c] ? `personal, ${gone}` : `${percent} %`}`;
      cell.classList.toggle("fl-own", delta[c] !== 0);
      cell.classList.toggle("fl-next", next !== null && next.enter.includes(c));
    });
    rows.forEach((row, k) => row.classList.toggle("fl-chosen", k === j));
  };
  return { el: node("table", { class: "fl-gauges" }, node("thead", {}, head), node("tbody", {}, ...rows)), update };
}

/** A mark on an axis, or an arrow at its end for what lies beyond. */
function markOf(axis, v, y, shape, kind, tone) {
  const style = `--tone:${tone}`;
  const side = v > axis.high ? 1 : v < axis.low ? -1 : 0;
  const x = side ? (side > 0 ? axis.to : axis.from) : axis.at(v);
  if (side) return node("svg:path", { class: "fl-dot", style, d: `M${x} ${y}l${-9 * side} -5v10z` });
  if (shape === "circle") return node("svg:circle", { class: kind, style, cx: x, cy: y, r: 5 });
  const r = shape === "diamond" ? 3.5 : 4.5;
  return node("svg:rect", { class: kind, style, x: x - r, y: y - r, width: 2 * r, height: 2 * r, transform: shape === "diamond" && `rotate(45 ${x} ${y})` });
}

/** The models in use for number j, the shared one among them, and three ways to share. */
function drawModels(view, width, now, others, options, j) {
  const { names, numbers, inks, tones, left } = options;
  const [row, top, right] = [options.row, 6, width - 52];
  const below = top + row * names.length + 8;
  const bottom = below + row * 3;
  const sx = axis(...options.spans[j], left, right);
  const svg = svgOf(width, bottom + 34, `Models in use for ${numbers[j]}, client by client, and what a mean, the LASSO and the path share`);
  for (const v of ticks(sx, 4)) svg.append(stroke(sx.at(v), top, sx.at(v), bottom, "fl-grid"), label(sx.at(v), bottom + 14, written(v), "fl-tick"));
  svg.append(stroke(left, bottom, right, bottom, "fl-axis"), label(right, bottom + 30, `${numbers[j]} →`, "fl-head fl-end"));
  const clip = (v) => Math.min(Math.max(v, sx.low), sx.high);
  const w = sx.at(clip(now.w[j]));
  svg.append(stroke(w, top, w, bottom, "fl-shared"));
  names.forEach((name, i) => {
    const [cell, y] = [i * numbers.length + j, top + row * (i + 0.5)];
    const own = now.delta[cell] !== 0;
    const u = now.w[j] + now.delta[cell];
    svg.append(label(left - 8, y + 4, name, "fl-num", inks[i]), label(width - 2, y + 4, three(u), `fl-num ${own ? "fl-strong" : "fl-head"}`),
      stroke(w, y, sx.at(clip(own ? u : now.wish[cell])), y, own ? "fl-apart" : "fl-wish", tones[i]));
    if (!own && clip(now.wish[cell]) === now.wish[cell]) svg.append(markOf(sx, now.wish[cell], y, "diamond", "fl-ring", tones[i]));
    svg.append(markOf(sx, u, y, "circle", own ? "fl-dot" : "fl-ring", tones[i]));
  });
  others.forEach(({ name, value, tone }, k) => {
    const y = below + row * (k + 0.5);
    svg.append(label(left - 8, y + 4, name, "fl-num"), label(width - 2, y + 4, three(value), "fl-num fl-strong"), markOf(sx, value, y, "square", "fl-dot", tone));
  });
  view.replaceChildren(svg);
}

/** Test errors client by client: bars now, a stroke where all shared. */
function drawErrors(view, width, now, first, options) {
  const { names, inks, tones, left, worst } = options;
  const [row, top, right] = [22, 4, width - 52];
  const bottom = top + row * names.length;
  const sx = axis(0, 1.05 * worst, left, right);
  const svg = svgOf(width, bottom + 20, "Test error client by client, now and when all shared one model");
  for (const v of ticks(sx, 4)) svg.append(stroke(sx.at(v), top, sx.at(v), bottom, "fl-grid"), label(sx.at(v), bottom + 14, written(v), "fl-tick"));
  names.forEach((name, i) => {
    const [y, end] = [top + row * i, sx.at(Math.min(now[i], sx.high))];
    svg.append(label(left - 8, y + row / 2 + 4, name, "fl-num", inks[i]), label(width - 2, y + row / 2 + 4, three(now[i]), "fl-num fl-strong"),
      node("svg:rect", { class: "fl-bar", style: `--tone:${tones[i]}`, x: left, y: y + 5, width: end - left, height: row - 10 }));
    if (now[i] > sx.high) svg.append(node("svg:path", { class: "fl-dot", style: `--tone:${tones[i]}`, d: `M${right + 9} ${y + row / 2}l-9 -8v16z` }));
    if (first[i] <= sx.high) svg.append(stroke(sx.at(first[i]), y + 1, sx.at(first[i]), y + row - 1, "fl-first"));
  });
  view.replaceChildren(svg);
}

function render({ model, el }) {
  const [settings, given] = [model.get("settings"), model.get("options")];
  const mixed = (share) => given.tones.map((tone) => `color-mix(in oklab,${tone} ${share}%,currentColor)`); // shapes, and darker words
  const longest = Math.max(...given.names.map((name) => name.length), 13);
  const options = { ...given, tones: mixed(80), inks: mixed(36), left: Math.min(112, 14 + 6.3 * longest) };
  const { slider: [word, shown], names, numbers, far } = options;
  const set = (name, value) => { model.set(name, value); model.save_changes(); };
  const move = (t) => set("t", Number(Math.min(options.axis[1], Math.max(0, t)).toPrecision(9)));
  const here = () => settings[model.get("setting")][model.get("far")];
  const clockwork = clockAxis(options.axis);
  const spots = Array.from({ length: 401 }, (_, k) => clockwork.back(k / 400));
  spots[400] = options.axis[1];
  const clock = slider("path time t", spots, 0, time, move);
  clock.el.classList.add("fl-wide");
  clock.el.querySelector("input").addEventListener("keydown", (event) => {
    if (!event.key.startsWith("Page")) return;
    event.preventDefault();
    const to = { PageUp: here().t.find((t) => t > model.get("t")), PageDown: here().t.findLast((t) => t < model.get("t")) }[event.key];
    if (to !== undefined && to <= options.axis[1]) move(to);
  });
  const steps = slider(word, shown.map((_, k) => k), 0, (k) => shown[k], (k) => set("setting", k));
  const cell = far.client * numbers.length + far.number;
  const away = slider(`${called(cell, options)} moved by`, far.steps.map((_, k) => k), 0, (k) => far.steps[k], (k) => set("far", k));
  away.el.classList.add("fl-away");
  const select = node("select", { autocomplete: "off", "data-lm-suppress-shortcuts": "true" }, ...numbers.map((name, j) => node("option", { value: j }, name)));
  select.addEventListener("change", () => set("number", Number(select.value)));
  const words = node("p", { class: "fl-say", role: "status", "aria-live": "polite" });
  const note = node("p", { class: "fl-far", role: "status", "aria-live": "polite" });
  const gauges = gaugesOf(options, (j) => set("number", j));
  const views = { clock: node("div", { class: "fl-draw fl-time" }), models: node("div", { class: "fl-draw fl-rest" }), errors: node("div", { class: "fl-draw fl-rest" }) };
  let timeOf = () => 0;
  dragged(views.clock, (event) => move(timeOf(event)));
  const title = node("p", { class: "fl-title" });
  const panel = (head, ...parts) => node("div", { class: "fl-panel" }, head, ...parts);
  const headed = (text) => node("p", { class: "fl-title" }, text);
  const key = node("p", { class: "fl-key" }, "Gauges: the account |V| of each number; full, its owner goes, by the amount under it. Rings share, discs are personal, diamonds: what a client who shares would choose for this number, its other numbers as they are; the shared number is the mean of these, with weights pᵢ times the mean square of the column, and the plain mean is that at t = 0. Errors are mean squares on test rows. An arrow: beyond the axis. On the lanes a dot is a number that becomes personal, large the one shown below, and a stroke one that is shared again. Drag there; on the time slider, Page up and Page down jump from event to event.");
  el.replaceChildren(node("div", { class: "fl-hero fl-personal" },
    node("div", { class: "fl-top" }, clock.el, steps.el, far.steps.length > 1 ? away.el : null, node("label", { class: "fl-pick" }, node("span", {}, "number shown"), select)), words,
    panel(headed("Who leaves when"), views.clock),
    node("div", { class: "fl-panels" },
      node("div", {}, panel(headed("Accounts |V|, full at 100\u2009%"), gauges.el), panel(headed("Test error: now, and (stroke) all sharing"), views.errors)),
      panel(title, views.models, note)), key));

  const update = () => {
    el.firstChild.style.setProperty("--ground", groundOf(el));
    options.row = el.clientWidth > 560 ? 30 : 24;
    const [t, j, setting] = [model.get("t"), model.get("number"), here()];
    const [now, lasso] = [pathAt(setting, t), lassoAt(setting, t)];
    const near = settings[model.get("setting")][0];
    note.textContent = model.get("far") === 0 ? "" : dragging({
      cell, step: far.steps[model.get("far")],
      mean: [near.w[0][far.number], setting.w[0][far.number]],
      lasso: [lassoAt(near, t)[far.number], lasso[far.number]],
      path: [pathAt(near, t).w[far.number], now.w[far.number]],
    }, options);
    const others = [{ name: "plain mean", value: setting.w[0][j], tone: "var(--soft)" }, { name: "LASSO, λ = 1/t", value: lasso[j], tone: "var(--lasso)" }, { name: "path", value: now.w[j], tone: "var(--shared)" }];
    timeOf = drawClock(views.clock, views.clock.clientWidth || 340, setting, options, t, j);
    drawModels(views.models, views.models.clientWidth || 340, now, others, options, j);
    drawErrors(views.errors, views.errors.clientWidth || 340, now.error, setting.error[0], options);
    gauges.update(now, nextAt(setting, now.k), j, views.errors.clientWidth || 340);
    title.textContent = `The ${numbers[j]} in use, client by client`;
    clock.update(t);
    steps.update(model.get("setting"));
    away.update(model.get("far"));
    select.value = j;
    const [head, rest] = sentence({ t, now, j, setting }, options);
    words.replaceChildren(node("b", {}, head), rest);
  };
  return follow(model, el, ["t", "setting", "far", "number"], update);
}

export default { render };
