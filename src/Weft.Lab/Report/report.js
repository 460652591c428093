"use strict";
// Draws the page from the JSON in #data. Text goes in by textContent only, so no name in the data is ever read as markup.

const report = JSON.parse(document.getElementById("data").textContent);
const { models, baselines } = report;
const many = report.seeds > 1;

// ---- words and numbers -------------------------------------------------------------------------------------------------

const thin = "\u202f", none = "–";
const finite = x => typeof x === "number" && Number.isFinite(x);
const grouped = (x, digits = 0) => x.toFixed(digits).replace(/\B(?=(\d{3})+(?!\d))/g, (m, _, at, s) => s.lastIndexOf(".", at) >= 0 ? "" : thin);
const whole = x => finite(x) ? grouped(x) : none;
const bits = x => finite(x) ? x.toFixed(3) : none;
const figure = x => !finite(x) ? none : x === 0 ? "0" : x >= 100 ? grouped(Number(x.toPrecision(3))) : String(Number(x.toPrecision(3)));
const scaled = (x, units) => {
  if (!finite(x)) return none;
  let i = 0;
  while (i < units.length - 1 && Math.abs(x) >= 999.5) { x /= 1000; i++; }
  return figure(x) + (units[i] && thin + units[i]);
};
const bytes = x => scaled(x, ["bytes", "kB", "MB", "GB", "TB"]);
const rate = x => scaled(x, ["", "k", "M", "G"]);
const seconds = x => !finite(x) ? none : x < 100 ? figure(x) + thin + "s" : Math.floor(x / 60) + thin + "min " + Math.round(x % 60) + thin + "s";
const power = x => {
  if (!finite(x) || x <= 0) return finite(x) ? "0" : none;
  const e = Math.floor(Math.log10(x) + 1e-9), digits = String(e).replace(/\d/g, d => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d]).replace("-", "⁻");
  const m = Number((x / 10 ** e).toPrecision(3));
  return m === 1 ? "10" + digits : m + thin + "×" + thin + "10" + digits;
};
const tokens = n => n >= 1024 && n % 1024 === 0 ? n / 1024 + "k" : whole(n);
const count = (n, word) => whole(n) + " " + word + (n === 1 ? "" : "s");

// ---- page elements -----------------------------------------------------------------------------------------------------

const byId = id => document.getElementById(id);
function make(tag, content, className) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...[content ?? []].flat());
  return e;
}
function definitions(list, entries) {
  for (const [term, text, className] of entries) list.append(make("div", [make("dt", term), make("dd", text)], className));
}
function table(caption, head, rows) {
  const cell = (c, i) => { const e = make(i ? "td" : "th", c); if (!i) e.scope = "row"; return e; };
  const th = h => { const e = make("th", h); e.scope = "col"; return e; };
  return make("table", [...caption ? [make("caption", caption)] : [], make("thead", make("tr", head.map(th))), make("tbody", rows.map(r => make("tr", r.map(cell))))]);
}
function scrolling(t, name) {
  const box = make("div", t, "scroll");
  box.tabIndex = 0; box.setAttribute("role", "region"); box.setAttribute("aria-label", name);
  return box;
}

// ---- how a model looks: colour and symbol repeat with different periods, so that they tell 30 models apart --------------

const symbols = ["circle", "rect", "triangle", "diamond", "path://M0,4 L4,0 L8,4 L12,0 L16,4 L12,8 L16,12 L12,16 L8,12 L4,16 L0,12 L4,8 Z"];
const shapes = { circle: "M8,6a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z", rect: "M8.5,1.5h9v9h-9Z", triangle: "M13,1L18.5,11H7.5Z", diamond: "M13,0L18.5,6L13,12L7.5,6Z" };
const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colourOf = i => { const all = style("--series").split(/\s+/); return all[i % all.length]; };
function swatch(i) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 26 12"); svg.setAttribute("class", "swatch"); svg.setAttribute("aria-hidden", "true");
  for (const d of ["M0,6H26", shapes[symbols[i % symbols.length]] ?? "M8,1L18,11M18,1L8,11"]) {
    const path = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "path"));
    path.setAttribute("d", d); path.setAttribute("stroke-width", 2); path.dataset.model = i;
  }
  return svg;
}
function paintSwatches() {
  for (const path of document.querySelectorAll(".swatch path")) {
    const colour = colourOf(path.dataset.model);
    path.setAttribute("stroke", colour); path.setAttribute("fill", colour);
  }
}

// ---- text and tables ---------------------------------------------------------------------------------------------------

function measuredContexts() {
  const decoding = models.filter(m => m.decode.length);
  const sets = decoding.map(m => m.decode.filter(d => d.measured).map(d => d.context));
  return sets.length ? sets.reduce((a, b) => a.filter(c => b.includes(c))).sort((a, b) => a - b) : [];
}
const mean = xs => xs.length ? xs.reduce((a, b) => a + b, 0) / xs.length : NaN;
const gain = (m, chosen) => mean(m.recall.filter(chosen).map(r => r.first - r.second).filter(finite));

function writeText() {
  const c = report.corpus, names = new Intl.ListFormat("en-GB").format(models.map(m => m.name));
  byId("title").textContent = models.length > 1 ? `Which model suits ${c.name}?` : `${models[0]?.name ?? "No model"} on ${c.name}`;
  byId("setting").textContent = `${names}: ${models.length > 1 ? "each " : ""}trained on ${bytes(c.train_bytes)} with ${report.budget.matched === "bytes" ? "the same amount of data" : `${power(report.budget.flops)} floating-point operations`}`
    + `${report.budget.text ? ` (budget “${report.budget.text}”)` : ""}, ${count(report.seeds, "seed")}${models.length > 1 ? " each" : ""}, and measured on ${bytes(c.held_out_bytes)} of text that no model had seen.`;
  definitions(byId("findings"), report.findings.map((text, i) => {
    const at = text.indexOf(": ");
    return [at > 0 ? text.slice(0, at) : "", at > 0 ? text.slice(at + 2) : text, i < 3 ? "lead" : ""];
  }));
  const longest = Math.max(0, ...models.flatMap(m => m.decode.filter(d => d.measured).map(d => d.context)));
  definitions(byId("method"), [
    ["Equal budget", report.budget.matched === "bytes" ? `Every model reads the same number of training bytes. What that costs differs: the table's FLOPs are counted from each layer's shapes.` : `Every model trains until its counted floating-point operations, forward and backward, reach ${power(report.budget.flops)}. They are counted from each layer's shapes, not timed, so that a faster machine or kernel changes the seconds and not the result.`],
    ["Held-out text", `${whole(c.held_out_bytes)} of the corpus's ${whole(c.bytes)} bytes are kept out of training; every bits/byte here is measured on them, the points along the learning curves (not the last ones) on a sample from all over them. The models read raw bytes, ${whole(report.context)} at a time in training, so one token is one byte. The compressors get the same held-out text and nothing else.`],
    ["Seeds", many ? `${whole(report.seeds)} runs per model from different random starts; figures are means, “±” is half the distance between the best and the worst run.` : "One run per model: how much another random start would change is not known."],
    ["Decoding", `One sequence, one token after another; the speed is that of the median token. Before the timing the state is filled with made-up content as long as the context shown, which costs a step the same time as text does${longest ? `. The longest context timed is ${tokens(longest)} tokens; past what was timed, the time of a token is computed as growing with the bytes of state it reads` : ""}. State bytes are exact at every context: they follow from the state's shapes.`],
    ["Recall", `Held-out passages stand in other held-out text twice, the copies starting the given number of bytes apart, and the bits/byte of the second is compared with that of the first. Distances of ${whole(report.context)} bytes and more lie past anything seen in training.`],
    ["Machine", `${report.machine.cpu}, ${count(report.machine.threads, "thread")} on ${count(report.machine.cores, "core")}, ${report.machine.isa}; ${report.machine.os}, ${report.machine.runtime}.`],
  ]);
  byId("command").textContent = report.command;
  byId("footer").textContent = `Made by Weft on ${report.created.slice(0, 16).replace("T", " ")} ${report.created.slice(19).replace(/^\.\d+/, "").replace(/^(Z|\+00:00)$/, "UTC")}. Charts by Apache ECharts (Apache License 2.0). The page is complete in itself and asks nothing of the network.`;
  const computed = models.some(m => m.decode.some(d => !d.measured));
  for (const note of document.querySelectorAll(".computed-note")) note.hidden = !computed;
  byId("learning-note").textContent = many ? "Bold: the mean over seeds; thin: each seed; dashed: compressors." : "Dashed: compressors.";
}

function writeModels() {
  const context = measuredContexts().at(-1), at = m => m.decode.find(d => d.context === context);
  const within = r => r.distance < report.context, past = r => r.distance >= report.context;
  const columns = [
    ["Parameters", "", m => m.parameters, whole],
    ["Held-out bits/byte", "lower is better", m => m.bits_per_byte, bits, Math.min, m => {
      const s = m.bits_per_byte_seeds.filter(finite);
      return s.length > 1 ? "± " + bits((Math.max(...s) - Math.min(...s)) / 2) : "";
    }],
    ["Training", "tokens/s", m => m.train_tokens_per_second, rate, Math.max, m => seconds(m.train_seconds)],
    ...context ? [
      ["Decoding", `tokens/s at ${tokens(context)}`, m => at(m)?.tokens_per_second, rate, Math.max],
      ["State", `at ${tokens(context)} tokens`, m => at(m)?.state_bytes, bytes, Math.min]] : [],
    ...[["within", within], ["past", past]].filter(([, f]) => models.some(m => m.recall.some(f)))
      .map(([word, f]) => [`Recall ${word} context`, "bits/byte saved", m => gain(m, f), x => finite(x) ? x.toFixed(2).replace("-", "−") : none, Math.max]),
  ];
  const best = columns.map(([, , value, , choose]) => {
    const values = models.map(value).filter(finite);
    return choose && values.length > 1 ? choose(...values) : NaN;
  });
  const t = table("", ["Model", ...columns.map(([title, unit]) => [title, make("small", unit)])], models.map((m, i) => [
    [swatch(i), m.name, make("small", make("code", m.pattern))],
    ...columns.map(([, , value, format, , extra]) => [make("span", format(value(m))), ...extra?.(m) ? [make("small", extra(m))] : []])]));
  models.forEach((m, i) => columns.forEach(([, , value], j) => { if (value(m) === best[j]) t.tBodies[0].rows[i].cells[j + 1].className = "best"; }));
  for (const [name, value] of [["Brotli 11", baselines.brotli], ["gzip −9", baselines.gzip], ["order 0", baselines.order0]])
    if (finite(value)) {
      const row = make("tr", columns.map((_, j) => make("td", j === 1 ? bits(value) : "")), "baseline");
      const head = make("th", name);
      head.scope = "row"; row.prepend(head); t.tBodies[0].append(row);
    }
  byId("models").replaceWith(Object.assign(t, { id: "models" }));
  byId("models-caption").textContent = models.length > 1 ? "Marked: the best figure of its column; whether a lead means anything is said above." : "";
}

function writeTables() {
  const tables = byId("tables");
  tables.append(scrolling(table("Training", ["Model", "Training FLOPs", "Bytes seen", "Seconds", "Learning rate", many ? "Bits/byte of each seed" : "Bits/byte"],
    models.map(m => [m.name, power(m.train_flops), whole(m.bytes_seen), finite(m.train_seconds) ? grouped(m.train_seconds, 1) : none, figure(m.learning_rate), m.bits_per_byte_seeds.map(bits).join(", ")])), "Training figures"));
  if (models.some(m => m.decode.length))
    tables.append(scrolling(table("Decoding", ["Model", "Context", "Tokens/s", "State bytes", "Speed is"],
      models.flatMap(m => m.decode.map(d => [m.name, whole(d.context), figure(d.tokens_per_second), whole(d.state_bytes), d.measured ? "measured" : "computed"]))), "Decoding figures"));
  if (models.some(m => m.recall.length))
    tables.append(scrolling(table("Recall, bits/byte", ["Model", "Distance", "First copy", "Second copy", "Saved", "Passages"],
      models.flatMap(m => m.recall.map(r => [m.name, whole(r.distance), bits(r.first), bits(r.second), bits(r.first - r.second).replace("-", "−"), whole(r.passages)]))), "Recall figures"));
  const points = models.flatMap(m => m.curve.map(c => [m.name, whole(c.seed), power(c.flops), whole(c.bytes), finite(c.seconds) ? grouped(c.seconds, 1) : none, bits(c.bits_per_byte)]));
  if (points.length)
    tables.append(make("details", [make("summary", `Learning curves, ${count(points.length, "point")}`), scrolling(table("", ["Model", "Seed", "FLOPs", "Bytes seen", "Seconds", "Bits/byte"], points), "Learning curve figures")]));
}

// ---- charts ------------------------------------------------------------------------------------------------------------

// A line: {model, points: [[x, y], ...], kind}, kind one of "main", "thin" (a seed), "computed", "dotted" (the first copy).
const kinds = {
  main: { width: 2.5, type: "solid" },
  thin: { width: 1, type: "solid", opacity: .5 },
  computed: { width: 2, type: "dashed" },
  dotted: { width: 1.5, type: "dotted" },
};

function learningLines(along) {
  const lines = [], ok = c => finite(c.bits_per_byte) && finite(c[along]) && c[along] > 0;
  models.forEach((m, model) => {
    const points = m.curve.filter(ok), seeds = [...new Set(points.map(c => c.seed))].map(s => points.filter(c => c.seed === s).map(c => [c[along], c.bits_per_byte]));
    if (seeds.length > 1) lines.push(...seeds.map(points => ({ model, points, kind: "thin" })));
    const length = Math.min(...seeds.map(s => s.length)); // seeds are evaluated at the same steps: the mean goes point by point
    if (seeds.length) lines.push({ model, kind: "main", points: Array.from({ length }, (_, i) => [0, 1].map(j => mean(seeds.map(s => s[i][j])))) });
  });
  return lines;
}
function decodeLines(figure) {
  return models.flatMap((m, model) => {
    const all = m.decode.filter(d => finite(d[figure]) && d[figure] > 0).sort((a, b) => a.context - b.context);
    const measured = all.filter(d => d.measured), computed = all.filter(d => !d.measured), point = d => [d.context, d[figure]];
    const join = measured.findLast(d => !computed.length || d.context < computed[0].context);
    return [
      ...measured.length ? [{ model, kind: "main", points: measured.map(point) }] : [],
      ...computed.length ? [{ model, kind: "computed", points: [...join ? [{ value: point(join), symbol: "none" }] : [], ...computed.map(point)] }] : [],
    ];
  });
}
const recallLines = () => models.flatMap((m, model) => ["second", "first"].map(copy => ({
  model, kind: copy === "second" ? "main" : "dotted", note: copy === "second" ? "second copy" : "first copy",
  points: m.recall.filter(r => finite(r[copy])).sort((a, b) => a.distance - b.distance).map(r => [r.distance, r[copy]]),
}))).filter(l => l.points.length);

const valueOf = p => p.value ?? p;
const nearest = (points, x) => points.map(valueOf).reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a);

// What the tooltip says at x: each model's value there or, on curves whose points differ in x, the nearest one.
function tip(x, lines, title, format, loose) {
  const box = make("div", make("b", title(x)), "tip");
  for (const line of lines) {
    if (line.kind === "thin") continue;
    const [at, y] = nearest(line.points, x);
    if (loose ? x > valueOf(line.points.at(-1))[0] : at !== x) continue;
    if (line.kind === "computed" && line.points[0].symbol && at === line.points[0].value[0]) continue;
    const name = models[line.model].name + (line.note ? ", " + line.note : line.kind === "computed" ? ", computed" : "");
    box.append(make("div", [make("span", [swatch(line.model), make("span", name)], "name"), make("span", format(y))]));
  }
  for (const path of box.querySelectorAll("path")) { const c = colourOf(path.dataset.model); path.setAttribute("stroke", c); path.setAttribute("fill", c); }
  return box;
}

// The whole powers around the values: the bounds of a logarithmic axis.
function logBounds(values, base) {
  const low = Math.min(...values), high = Math.max(...values), log = x => Math.log(x) / Math.log(base);
  return [base ** Math.floor(log(low) + 1e-6), base ** Math.ceil(log(high) - 1e-6)];
}

// Bounds of a linear axis and the step between its lines.
function bounds(values) {
  const low = Math.min(...values), high = Math.max(...values), step = [.05, .1, .2, .5, 1, 2].find(s => (high - low) / s <= 7) ?? 5;
  return [Math.floor(low / step - .1) * step, Math.ceil(high / step + .1) * step, step];
}

function option({ lines, x, y, levels = [], upright }) {
  const ink = style("--ink"), soft = style("--soft"), grid = style("--grid"), card = style("--card");
  const font = getComputedStyle(document.body).fontFamily, xs = lines.flatMap(l => l.points.map(p => valueOf(p)[0])), ys = lines.flatMap(l => l.points.map(p => valueOf(p)[1]));
  const label = { color: soft, fontFamily: font, fontSize: 12 };
  const axis = { axisLine: { lineStyle: { color: soft } }, axisTick: { show: false }, splitLine: { lineStyle: { color: grid } }, minorSplitLine: { show: false }, nameTextStyle: label };
  const rule = (text, at, place) => ({ ...at, label: { formatter: text, ...label, backgroundColor: card, padding: [1, 4], ...place }, lineStyle: { color: soft, type: "dashed", width: 1.25 } });
  const [xMin, xMax] = x.base ? logBounds(upright ? [...xs, upright.at] : xs, x.base) : [0, Math.max(...xs)];
  const [yMin, yMax, interval] = y.base ? logBounds(ys, y.base) : bounds(ys.filter(v => v <= (y.top ?? Infinity)));
  const series = lines.map(line => {
    const colour = colourOf(line.model), kind = kinds[line.kind];
    return {
      type: "line", name: String(line.model), z: line.kind === "main" ? 5 : 3, data: line.points, silent: line.kind === "thin", clip: true,
      symbol: line.kind === "thin" ? "none" : symbols[line.model % symbols.length], symbolSize: line.points.length > 16 ? 6 : line.kind === "dotted" ? 6 : 9, showAllSymbol: true, showSymbol: true,
      lineStyle: { color: colour, ...kind }, emphasis: { disabled: true },
      itemStyle: { opacity: 1, color: line.kind === "main" ? colour : card, borderColor: colour, borderWidth: line.kind === "main" ? 0 : 1.75 },
    };
  });
  if (series.length) series[0].markLine = {
    silent: true, symbol: "none", animation: false,
    data: [...levels.filter(l => finite(l.at) && l.at <= yMax).map(l => rule(`${l.name}  ${bits(l.at)}`, { yAxis: l.at }, { position: "insideEndTop" })), ...upright ? [rule(upright.name, { xAxis: upright.at }, { position: "end", distance: -12, offset: [6, 0], align: "left" })] : []],
  };
  return {
    animation: false, textStyle: { fontFamily: font, color: ink }, color: models.map((_, i) => colourOf(i)),
    grid: { left: 8, right: 22, top: 44, bottom: 28, containLabel: true },
    legend: {
      type: "scroll", top: 0, left: 0, itemWidth: 11, itemHeight: 11, itemGap: 16, textStyle: { ...label, color: ink, fontSize: 13, width: 150, overflow: "truncate" },
      pageTextStyle: label, pageIconColor: ink, pageIconInactiveColor: grid,
      data: [...new Set(lines.map(l => l.model))].map(i => ({ name: String(i), icon: symbols[i % symbols.length], itemStyle: { color: colourOf(i), borderWidth: 0 }, lineStyle: { color: colourOf(i), width: 2.5, type: "solid" } })),
      formatter: i => models[i].name,
    },
    tooltip: {
      trigger: "axis", confine: true, backgroundColor: card, borderColor: style("--line"), textStyle: { color: ink, fontFamily: font }, axisPointer: { lineStyle: { color: soft } },
      formatter: params => tip(params[0].axisValue, lines, x.title, y.format, !x.base),
    },
    xAxis: {
      ...axis, type: x.base ? "log" : "value", logBase: x.base, min: xMin, max: xMax, name: x.name, nameLocation: "middle", nameGap: 26, splitLine: { show: false },
      axisLabel: { ...label, formatter: v => x.label(v), hideOverlap: true, showMaxLabel: Boolean(x.base) },
    },
    yAxis: {
      ...axis, type: y.base ? "log" : "value", logBase: y.base, min: yMin, max: yMax, interval, name: y.name, nameLocation: "end", nameGap: 10, nameTextStyle: { ...label, align: "left" },
      axisLine: { show: false }, axisLabel: { ...label, formatter: y.label },
    },
    series,
  };
}

const along = {
  flops: { name: "training FLOPs", label: power, title: power },
  bytes: { name: "bytes of text seen", label: bytes, title: v => bytes(v) + " seen" },
  seconds: { name: "seconds of training", label: figure, title: seconds },
};
const bitsAxis = top => ({ name: "bits/byte", format: bits, label: v => v.toFixed(2).replace(/0$/, ""), top });
const contextAxis = { name: "context, tokens", base: 4, label: tokens, title: v => tokens(v) + " tokens of context" };

const charts = {
  learning: {
    spec() {
      const choice = document.querySelector("#axis input:checked").value, levels = [{ name: "gzip −9", at: baselines.gzip }, { name: "Brotli 11", at: baselines.brotli }, { name: "order 0", at: baselines.order0 }];
      // The first evaluations stand near 8 bits/byte and would flatten all the rest: the chart begins a little above gzip.
      const top = finite(baselines.gzip) ? 1.1 * Math.max(baselines.gzip, ...models.map(m => m.bits_per_byte).filter(finite)) : undefined;
      return { lines: learningLines(choice), x: along[choice], levels, y: bitsAxis(top) };
    },
    says: () => `Held-out bits per byte during training. At the end: ${models.map(m => `${m.name} ${bits(m.bits_per_byte)}`).join(", ")}.`,
  },
  speed: {
    spec: () => ({ lines: decodeLines("tokens_per_second"), x: contextAxis, y: { name: "tokens/s", base: 10, format: v => rate(v) + "/s", label: rate } }),
    says: () => "Decode speed in tokens per second against context. " + models.filter(m => m.decode.length).map(m => `${m.name}: ${m.decode.map(d => `${rate(d.tokens_per_second)} at ${tokens(d.context)}${d.measured ? "" : " (computed)"}`).join(", ")}`).join("; ") + ".",
  },
  state: {
    spec: () => ({ lines: decodeLines("state_bytes"), x: contextAxis, y: { name: "bytes per sequence", base: 10, format: bytes, label: bytes } }),
    says: () => "State size against context. " + models.filter(m => m.decode.length).map(m => `${m.name}: ${m.decode.map(d => `${bytes(d.state_bytes)} at ${tokens(d.context)}`).join(", ")}`).join("; ") + ".",
  },
  recall: {
    spec: () => ({
      lines: recallLines(), upright: { name: `training context ${tokens(report.context)}`, at: report.context }, y: bitsAxis(),
      x: { name: "distance between the copies, bytes", base: 4, label: tokens, title: v => `copies ${tokens(v)} bytes apart` },
    }),
    says: () => "Bits per byte on the second copy of a passage, and on the first, against their distance. " + models.filter(m => m.recall.length).map(m => `${m.name}: ${m.recall.map(r => `${bits(r.second)} (first ${bits(r.first)}) at ${tokens(r.distance)}`).join(", ")}`).join("; ") + ".",
  },
};

const drawn = {};
function draw() {
  paintSwatches();
  for (const [id, chart] of Object.entries(charts)) {
    const box = byId(id), spec = chart.spec();
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", spec.lines.length ? chart.says() : "Not measured.");
    if (!spec.lines.length) { box.replaceChildren(make("p", "Not measured in this run.", "empty")); continue; }
    drawn[id] ??= echarts.init(box, null, { renderer: "svg" });
    drawn[id].setOption(option(spec), true);
    box.dataset.lines = spec.lines.length;
  }
}

// Paper is light and of one width, whatever the screen; A4 and Letter both hold 640 px.
function print(on) {
  document.documentElement.toggleAttribute("data-print", on);
  draw();
  for (const chart of Object.values(drawn)) chart.resize(on ? { width: 640, height: 290 } : { width: "auto", height: "auto" });
}

writeText();
writeModels();
writeTables();
draw();
byId("axis").addEventListener("change", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
matchMedia("print").addEventListener("change", e => print(e.matches));
addEventListener("beforeprint", () => print(true));
addEventListener("afterprint", () => print(false));
const resized = new ResizeObserver(() => { if (!document.documentElement.hasAttribute("data-print")) for (const chart of Object.values(drawn)) chart.resize(); });
for (const id of Object.keys(charts)) resized.observe(byId(id));
