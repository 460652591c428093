"use strict";
// What every report's page is made of. Text goes in by textContent only, so no name in the data is ever read as markup.

// All reports have models, of a name and a pattern, and findings, a command and a machine.
const report = JSON.parse(document.getElementById("data").textContent);
const { models } = report;

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

// ---- what all pages say -------------------------------------------------------------------------------------------------

const mean = xs => xs.length ? xs.reduce((a, b) => a + b, 0) / xs.length : NaN;
const named = words => new Intl.ListFormat("en-GB").format(words);

function writeFindings() {
  definitions(byId("findings"), report.findings.map((text, i) => {
    const at = text.indexOf(": ");
    return [at > 0 ? text.slice(0, at) : "", at > 0 ? text.slice(at + 2) : text, i < 3 ? "lead" : ""];
  }));
}
const machineEntry = () => ["Machine", `${report.machine.cpu}, ${count(report.machine.threads, "thread")} on ${count(report.machine.cores, "core")}, ${report.machine.isa}; ${report.machine.os}, ${report.machine.runtime}.`];
function writeFooter(when) {
  byId("command").textContent = report.command;
  byId("footer").textContent = `Made by Weft${when}. Charts by Apache ECharts (Apache License 2.0). The page is complete in itself and asks nothing of the network.`;
}

// The table of models; a column is [title, unit, value of a model, its format, Math.min or max if one is best, a note on a model].
function modelTable(columns) {
  const best = columns.map(([, , value, , choose]) => {
    const values = models.map(value).filter(finite);
    return choose && values.length > 1 ? choose(...values) : NaN;
  });
  const t = table("", ["Model", ...columns.map(([title, unit]) => [title, make("small", unit)])], models.map((m, i) => [
    [swatch(i), m.name, make("small", make("code", m.pattern))],
    ...columns.map(([, , value, format, , extra]) => [make("span", format(value(m))), ...extra?.(m) ? [make("small", extra(m))] : []])]));
  models.forEach((m, i) => columns.forEach(([, , value], j) => { if (value(m) === best[j]) t.tBodies[0].rows[i].cells[j + 1].className = "best"; }));
  byId("models").replaceWith(Object.assign(t, { id: "models" }));
  byId("models-caption").textContent = models.length > 1 ? "Marked: the best figure of its column; whether a lead means anything is said above." : "";
  return t;
}

// ---- charts ------------------------------------------------------------------------------------------------------------

// A line: {model, points: [[x, y], ...], kind, note, says}: a note follows the model's name and says(point) stands for its value in the tooltip.
const kinds = {
  main: { width: 2.5, type: "solid" },
  thin: { width: 1, type: "solid", opacity: .5 }, // a seed
  computed: { width: 2, type: "dashed" },
  dotted: { width: 1.5, type: "dotted" },
  point: { width: 0 }, // with its model's name beside it
  seeds: { width: 0 }, // a dot each
  ring: { width: 0 }, // around a point of another line
  hollow: { width: 0 },
  curve: { width: 2, type: "solid" }, // without marks
  exact: { width: 1.25, type: "dashed" }, // the same, of no model
  band: { width: 0 }, // between two values of y, [x, low, high]
};

const sizes = { dotted: 6, seeds: 5, ring: 18, point: 11 };
const untold = ["thin", "seeds", "ring", "exact", "band"], unmarked = ["thin", "curve", "exact"];
const nameOf = line => line.name ?? models[line.model].name; // a line's own, where lines are not models
const valueOf = p => p.value ?? p;
const nearest = (points, x) => points.map(valueOf).reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a);

// What the tooltip says at x: each model's value there or, on curves whose points differ in x, the nearest one.
function tip(x, lines, title, format, loose) {
  const box = make("div", make("b", title(x)), "tip");
  for (const line of lines) {
    if (untold.includes(line.kind)) continue;
    const point = nearest(line.points, x), [at, y] = point;
    if (loose ? x > valueOf(line.points.at(-1))[0] : at !== x) continue;
    if (line.kind === "computed" && line.points[0].symbol && at === line.points[0].value[0]) continue;
    const name = nameOf(line) + (line.note ? ", " + line.note : line.kind === "computed" ? ", computed" : "");
    box.append(make("div", [make("span", [swatch(line.model), make("span", name)], "name"), make("span", line.says?.(point) ?? format(y))]));
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

// Puts each point's name where it covers neither another nor a point: beside its own, or a line or more off. Points call in the order of series, in every pass.
function labelsBeside(where) {
  const points = new Map(), labels = new Map();
  const meet = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
  return ({ seriesIndex: i, rect, labelRect: { width } }) => {
    const { onTheRight, above } = where(i), height = 15, gap = 6;
    points.set(i, rect);
    const taken = [...[...points].filter(([j]) => j !== i), ...[...labels].filter(([j]) => j < i)].map(([, box]) => box);
    const places = [0, 1, -1, 2, 3, 4, 5].flatMap(lines => [onTheRight, !onTheRight].map(left => ({
      left, x: left ? rect.x - gap - width : rect.x + rect.width + gap, y: rect.y + rect.height / 2 - height / 2 + (above ? 1 : -1) * lines * height, width, height,
    })).slice(0, lines ? 1 : 2)).filter(p => p.x > 0);
    const place = places.find(p => !taken.some(box => meet(p, box))) ?? places[0];
    if (!place) return {};
    labels.set(i, place);
    return { x: place.left ? place.x + width : place.x, y: place.y + height / 2, align: place.left ? "right" : "left", verticalAlign: "middle" };
  };
}

// The space between two curves; drawn once, with the first point.
const band = line => ({
  type: "custom", name: String(line.model), z: 1, silent: true, clip: true, data: line.points, encode: { x: 0, y: [1, 2] },
  renderItem: (params, api) => params.dataIndexInside ? undefined : {
    type: "polygon", style: { fill: colourOf(line.model), opacity: .16 },
    shape: { points: [...line.points.map(([x, low]) => api.coord([x, low])), ...line.points.map(([x, , high]) => api.coord([x, high])).reverse()] },
  },
});

// x: {name, base (of a logarithm), interval (between labels), label, title, loose, range}; y: {name, base, label, format, top, range}; levels and upright: rules across, {name, at};
// shade: {name, from, to} along x; apart: the points differ in x, so that each is told and named by itself; item: told by itself alone.
function option({ lines, x, y, levels = [], upright, shade, apart, item = apart }) {
  const ink = style("--ink"), soft = style("--soft"), grid = style("--grid"), card = style("--card");
  const font = getComputedStyle(document.body).fontFamily, xs = lines.flatMap(l => l.points.map(p => valueOf(p)[0])), ys = lines.flatMap(l => l.points.flatMap(p => valueOf(p).slice(1)));
  const label = { color: soft, fontFamily: font, fontSize: 12 };
  const axis = { axisLine: { lineStyle: { color: soft } }, axisTick: { show: false }, splitLine: { lineStyle: { color: grid } }, minorSplitLine: { show: false }, nameTextStyle: label };
  const rule = (text, at, place) => ({ ...at, label: { formatter: text, ...label, backgroundColor: card, padding: [1, 4], ...place }, lineStyle: { color: soft, type: "dashed", width: 1.25 } });
  const [xMin, xMax] = x.base ? logBounds(upright ? [...xs, upright.at] : xs, x.base) : x.range ?? [0, Math.max(...xs)];
  const [yMin, yMax, interval] = y.range ?? (y.base ? logBounds(ys, y.base) : bounds(ys.filter(v => v <= (y.top ?? Infinity))));
  const beside = labelsBeside(i => { const [v, w] = lines[i].points[0]; return { onTheRight: Math.log(v / xMin) > .5 * Math.log(xMax / xMin), above: w > (yMin + yMax) / 2 }; });
  const series = lines.map(line => {
    if (line.kind === "band") return band(line);
    const colour = colourOf(line.model), kind = kinds[line.kind], filled = ["main", "point", "seeds"].includes(line.kind);
    return {
      type: "line", name: String(line.model), z: line.kind === "main" ? 5 : 3, data: line.points, silent: untold.includes(line.kind), clip: true,
      symbol: unmarked.includes(line.kind) ? "none" : line.kind === "seeds" || line.kind === "ring" ? "circle" : symbols[line.model % symbols.length], symbolSize: sizes[line.kind] ?? (line.points.length > 16 ? 6 : 9), showAllSymbol: true, showSymbol: true,
      lineStyle: { color: colour, ...kind }, emphasis: { disabled: true },
      itemStyle: { opacity: line.kind === "seeds" ? .55 : 1, color: filled ? colour : line.kind === "ring" ? "transparent" : card, borderColor: line.kind === "ring" ? ink : colour, borderWidth: filled ? 0 : 1.75 },
      ...apart && line.kind === "point" ? { label: { show: true, formatter: () => models[line.model].name, ...label, color: colour, width: 170, overflow: "truncate" }, labelLayout: beside } : {},
    };
  });
  if (series.length) series[0].markLine = {
    silent: true, symbol: "none", animation: false,
    data: [...levels.filter(l => finite(l.at) && l.at <= yMax).map(l => rule(`${l.name}  ${y.format(l.at)}`, { yAxis: l.at }, { position: "insideEndTop" })), ...upright ? [rule(upright.name, { xAxis: upright.at }, { position: "end", distance: -12, offset: [6, 0], align: "left" })] : []],
  };
  if (series.length && shade) series[0].markArea = {
    silent: true, animation: false, itemStyle: { color: style("--mark"), opacity: .75 }, label: { show: true, formatter: shade.name, position: "insideBottom", ...label },
    data: [[{ xAxis: shade.from }, { xAxis: shade.to }]],
  };
  return {
    animation: false, textStyle: { fontFamily: font, color: ink }, color: models.map((_, i) => colourOf(i)),
    grid: { left: 8, right: 22, top: 44, bottom: 28, containLabel: true },
    legend: {
      show: !apart, type: "scroll", top: 0, left: 0, itemWidth: 11, itemHeight: 11, itemGap: 16, textStyle: { ...label, color: ink, fontSize: 13, width: 150, overflow: "truncate" },
      pageTextStyle: label, pageIconColor: ink, pageIconInactiveColor: grid,
      data: [...new Set(lines.filter(l => nameOf(l)).map(l => l.model))].map(i => ({ name: String(i), icon: symbols[i % symbols.length], itemStyle: { color: colourOf(i), borderWidth: 0 }, lineStyle: { color: colourOf(i), width: 2.5, type: "solid" } })),
      formatter: i => nameOf(lines.find(l => l.model === Number(i))),
    },
    tooltip: {
      trigger: item ? "item" : "axis", confine: true, backgroundColor: card, borderColor: style("--line"), textStyle: { color: ink, fontFamily: font }, axisPointer: { lineStyle: { color: soft } },
      formatter: params => item
        ? tip(params.value[0], [lines[params.seriesIndex]], x.title, y.format, true)
        : tip(params[0].axisValue, lines, x.title, y.format, x.loose ?? !x.base),
    },
    xAxis: {
      ...axis, type: x.base ? "log" : "value", logBase: x.base, min: xMin, max: xMax, interval: x.interval, name: x.name, nameLocation: "middle", nameGap: 26, splitLine: { show: false },
      axisLabel: { ...label, formatter: v => x.label(v), hideOverlap: true, showMaxLabel: Boolean(x.base) },
    },
    yAxis: {
      ...axis, type: y.base ? "log" : "value", logBase: y.base, min: yMin, max: yMax, interval, name: y.name, nameLocation: "end", nameGap: 10, nameTextStyle: { ...label, align: "left" },
      axisLine: { show: false }, axisLabel: { ...label, formatter: y.label },
    },
    series,
  };
}

// Draws the charts, {id: {spec(), says()}}: what option() draws, and the same in words. They are drawn anew when a choice or the colours change.
function show(charts) {
  const drawn = {};
  function draw() {
    paintSwatches();
    for (const [id, chart] of Object.entries(charts)) {
      const box = byId(id), spec = chart.spec();
      box.setAttribute("role", "img");
      box.setAttribute("aria-label", spec.lines.length ? chart.says() : "Not measured.");
      if (!spec.lines.length) { drawn[id]?.dispose(); delete drawn[id]; box.replaceChildren(make("p", "Not measured in this run.", "empty")); continue; }
      if (!drawn[id]) { box.replaceChildren(); drawn[id] = echarts.init(box, null, { renderer: "svg" }); }
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

  draw();
  for (const choice of document.querySelectorAll("fieldset")) choice.addEventListener("change", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  matchMedia("print").addEventListener("change", e => print(e.matches));
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  const resized = new ResizeObserver(() => { if (!document.documentElement.hasAttribute("data-print")) for (const chart of Object.values(drawn)) chart.resize(); });
  for (const id of Object.keys(charts)) resized.observe(byId(id));
}
