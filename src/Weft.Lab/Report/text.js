"use strict";
// The page of a probe on a text, or of a grid of generated tasks: a chart a quantity. How that is done stands in charts.js.

const { task, text } = report;
const many = report.seeds > 1;

// ---- figures over seeds -------------------------------------------------------------------------------------------------

const share = x => finite(x) ? (100 * x).toFixed(1).replace(/\.0$/, "") + thin + "%" : none;
const trainings = m => m.conditions.flatMap(c => c.trainings);
const points = (m, q) => trainings(m).flatMap(t => t.found.filter(p => p.quantity === q.name && finite(p.value)));
const xsOf = (m, q) => [...new Set(points(m, q).map(p => p.x))].sort((a, b) => a - b);
const at = (m, q, x) => points(m, q).filter(p => p.x === x).map(p => p.value);
const formats = { bits, bytes, share };
const formatOf = q => formats[q.unit] ?? (x => finite(x) ? (Math.abs(x) >= 1e5 || x && Math.abs(x) < 1e-3 ? power(x) : figure(x)) + (q.unit && thin + q.unit) : none);
const bareOf = q => formats[q.unit] ?? (x => Math.abs(x) >= 1e5 || x && Math.abs(x) < 1e-3 ? power(x) : figure(x)); // its axis says the unit
const xName = q => q.axis ?? task.axis;
const ticksOf = q => q.ticks ?? (q.axis == null ? task.ticks : []);
const tick = (q, x) => ticksOf(q).find(t => t.x === x)?.name;
const place = (q, x) => tick(q, x) || `${figure(x)} ${xName(q)}`;
const told = (values, format) => many && values.length > 1 ? `${format(mean(values))} (${format(Math.min(...values))} to ${format(Math.max(...values))})` : format(mean(values));

// ---- text and tables ----------------------------------------------------------------------------------------------------

function writeText() {
  byId("title").textContent = `${task.name[0].toUpperCase()}${task.name.slice(1)}: ${named(models.map(m => m.name))}`;
  byId("setting").textContent = `${task.line[0]?.toUpperCase() ?? ""}${task.line.slice(1)}${/[?.]$/.test(task.line) ? "" : "."}${text ? ` Text: ${text.name}, ${bytes(text.bytes)}.` : ""} ${report.budget ? `Budget “${report.budget}” a training` : "Untrained"}, ${count(report.seeds, "seed")}.`;
  writeFindings();
  definitions(byId("method"), [
    ["Task", `${task.name}: ${task.line}${/[?.]$/.test(task.line) ? "" : "."} ${task.source}.`],
    ...text ? [["Text", `${text.name}: ${bytes(text.bytes)}, of which the last ${bytes(text.held_out_bytes)} are held out.${report.about ? " " + report.about : ""}`]] : [],
    ["Training", !text ? report.about : report.budget === "" ? "None: what is measured does not depend on weights. They are as drawn from the seed." : `Budget “${report.budget}”. FLOPs are counted from the kernels. A model's learning rate is the best of a sweep of its own${models.every(m => m.conditions.filter(c => c.sweep.length).length <= 1) && models.some(m => m.conditions.length > 1) ? ", made under its first condition and used under all" : ""}; all rates tried stand below.`],
    ["Seeds", many ? `${whole(report.seeds)} trainings each, with weights and batches of their own; lines are means, dots are seeds.` : "One training each: how much another seed would change is not known."],
    machineEntry(),
  ]);
  writeFooter("");
}

function writeModels() {
  const parameters = m => m.conditions[0]?.parameters;
  modelTable([
    ["Parameters", "", parameters, whole, undefined, m => { const all = m.conditions.map(c => c.parameters), high = Math.max(...all); return all.length && high !== Math.min(...all) ? `to ${whole(high)}` : ""; }],
    ...text ? [["Learning rate", "best of its sweep", m => m.conditions[0]?.rate, figure]] : [],
    ...(text ? task.quantities : task.quantities.slice(0, 1)).flatMap(q => {
      const shared = models.map(m => new Set(xsOf(m, q))), xs = [...shared[0] ?? []].filter(x => shared.every(s => s.has(x)));
      const shown = xs.length > 2 && text ? [xs[0], xs.at(-1)] : xs;
      return shown.map(x => [q.title, place(q, x), m => mean(at(m, q, x)), formatOf(q), { lower: Math.min, higher: Math.max }[q.better.toLowerCase()],
        m => { const all = at(m, q, x), f = formatOf(q); return many && all.length > 1 && f(Math.min(...all)) !== f(Math.max(...all)) ? `${f(Math.min(...all))} to ${f(Math.max(...all))}` : ""; }]);
    }).slice(0, 8),
  ]).className = "patterns";
}

function writeTables() {
  const rows = models.flatMap(m => m.conditions.flatMap(c => c.trainings.map(t => [m.name, c.name, whole(c.parameters), figure(t.rate), String(t.seed), power(t.flops), seconds(t.seconds), ...text ? [bytes(t.bytes), bits(t.bits_per_byte)] : []])));
  byId("tables").append(scrolling(table("Trainings at the best rate", ["Model", "Condition", "Parameters", "Rate", "Seed", "Training FLOPs", "Time", ...text ? ["Text", "Bits per byte"] : []], rows), "Trainings"));
  const swept = models.flatMap(m => m.conditions.flatMap(c => c.sweep.map(t => [m.name, c.name, figure(t.rate) + (t.rate === c.rate ? " (best)" : ""), finite(t.bits_per_byte) ? bits(t.bits_per_byte) : "diverged", seconds(t.seconds)])));
  if (swept.length) byId("tables").append(scrolling(table("Learning rates tried", ["Model", "Condition", "Rate", "Bits per byte", "Time"], swept), "Learning rates"));
  for (const q of task.quantities) {
    const xs = [...new Set(models.flatMap(m => xsOf(m, q)))].sort((a, b) => a - b), f = formatOf(q);
    if (xs.length) byId("tables").append(scrolling(table(q.title, ["Model", ...xs.map(x => place(q, x))], models.map(m => [m.name, ...xs.map(x => told(at(m, q, x), f))])), q.title));
  }
}

// ---- charts -------------------------------------------------------------------------------------------------------------

const linesOf = q => models.flatMap((m, model) => {
  const xs = xsOf(m, q), f = formatOf(q);
  if (!xs.length) return [];
  return [
    { model, kind: q.ticks ? "point" : "main", points: xs.map(x => [x, mean(at(m, q, x))]), says: ([x]) => told(at(m, q, x), f) },
    ...many ? [{ model, kind: "seeds", points: xs.flatMap(x => at(m, q, x).map(v => [x, v])) }] : [],
  ];
});

// Bounds and lines of an axis for values of any size: steps of 1, 2 or 5 times a power of ten.
function range(values) {
  const low = Math.min(...values), high = Math.max(...values), raw = (high - low || Math.abs(high) || 1) / 6, ten = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find(s => s * ten >= raw) * ten, from = Math.floor(low / step - .05) * step;
  return [low >= 0 ? Math.max(0, from) : from, Math.ceil(high / step + .05) * step, step];
}

const charts = Object.fromEntries(task.quantities.map((q, i) => {
  const id = `quantity-${i}`, f = formatOf(q), box = make("div", [], "chart");
  box.id = id;
  byId("charts").append(make("figure", [make("div", make("h3", q.title), "heading"), box, make("figcaption", q.note + (many ? ` ${q.ticks ? "Mark" : "Line"}: the mean over seeds; dots: each seed.` : ""))], "wide"));
  return [id, {
    spec() {
      const lines = linesOf(q), ys = lines.flatMap(l => l.points.map(p => p[1])), xs = lines.flatMap(l => l.points.map(p => p[0]));
      const isLog = q.is_logarithmic && ys.every(y => y > 0), few = new Set(xs).size;
      const x = { name: xName(q), label: v => ticksOf(q).length ? tick(q, v) ?? "" : v >= 1024 && Number.isInteger(v) ? tokens(v) : figure(v), title: v => place(q, v), loose: false, ...q.ticks ? { interval: 1, range: [0, q.ticks.length + 1] } : {} };
      return {
        lines, y: { name: q.unit === "share" ? "" : q.unit, format: f, label: bareOf(q), ...isLog ? { base: 10 } : ys.length ? { range: range(ys) } : {} },
        x: q.has_logarithmic_axis && xs.every(v => v > 0) && few > 1 ? { ...x, base: 2 } : x,
      };
    },
    says: () => `${q.title} against ${xName(q)}. ` + models.map(m => `${m.name}: ${xsOf(m, q).map(x => `${f(mean(at(m, q, x)))} at ${place(q, x)}`).join(", ")}`).join("; ") + ".",
  }];
}));

writeText();
writeModels();
writeTables();
show(charts);
