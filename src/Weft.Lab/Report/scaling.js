"use strict";
// The page of a scaling study: what is said, tabled and drawn on it. How that is done stands in charts.js.

const layouts = report.shapes; // charts.js draws with "shapes" of its own
const chosen = name => document.querySelector(`input[name="${name}"]:checked`)?.value;
const interval = (e, format = bits) => finite(e.low) && finite(e.high) ? `${format(e.low)} to ${format(e.high)}` : "";
const flopsAxis = { name: "training FLOPs", base: 10, label: power, title: v => `${power(v)} FLOPs` };
const lossAxis = { name: "bits per byte", format: bits, label: v => String(Number(v.toFixed(2))) };
const sound = runs => runs.filter(r => finite(r.bits_per_byte));

// ---- text and tables ---------------------------------------------------------------------------------------------------

function writeText() {
  byId("title").textContent = `What does more compute buy ${named(models.map(m => m.name))}?`;
  byId("setting").textContent = `Trained on ${report.corpus.name} with ${named(report.budgets.map(power))} FLOPs a run, each budget at several sizes; the loss is that on text held out.`;
  writeFindings();
  definitions(byId("method"), [
    ["Training", `Every run gets its budget in FLOPs as the kernels count them, forward and backward, in sequences of ${whole(report.context)} bytes; ${count(report.seeds, "seed")} a size. Sizes differ in width alone.`],
    ["Learning rates", "Each model has a sweep at the smallest budget and one width w₀; other widths w have its best rate times √(w₀ / w)."],
    ["Loss", `Bits per byte of the same ${bytes(report.evaluated_bytes)} of text that no run learned from.`],
    ["L(C)", "E + A C^−α by least squares on log loss, of the best size at each budget; with fewer than four budgets without E."],
    ["L(N, D)", "E + A / N^α + B / D^β of all runs, N parameters and D bytes read, by Huber’s loss on log loss (Hoffmann et al., arXiv 2203.15556, approach 3)."],
    ["Confidence", "90 %, by 200 draws of losses around the law with the scatter that the runs have, each fitted anew. What the law’s form leaves out is not in it."],
    ...layouts ? [["Conditional law", `L = (a₀ + a₁ log x + a₂ / x)(b₀ + b₁ log r + b₂ / r) L(N, D) with x the width over the root of the parameters without embeddings and r the MLPs’ parameters over the attention’s (arXiv 2510.18245, equation 3), fitted to shapes of ${layouts.model} at ${power(layouts.budget)} FLOPs. Fewer key and value heads are tried, not modelled.`]] : [],
    machineEntry(),
  ]);
  writeFooter("");
}

function writeModels() {
  const parameter = (m, name) => m.compute?.parameters.find(p => p.name === name);
  const told = name => [m => parameter(m, name)?.estimate.value, bits, undefined, m => {
    const p = parameter(m, name);
    return p ? (p.is_determined ? interval(p.estimate) : `not determined${interval(p.estimate) && ": " + interval(p.estimate)}`) : "";
  }];
  modelTable([
    ["E", "bits per byte", ...told("E")],
    ["α", "of FLOPs", ...told("alpha")],
    ["Learning rate", "at its width", m => m.rate, figure, undefined, m => `width ${m.rate_width}`],
    ...report.budgets.map(b => [power(b), "bits per byte, best size", m => m.frontier.find(p => p.budget === b)?.bits_per_byte, bits, Math.min, m => {
      const p = m.frontier.find(p => p.budget === b);
      return p ? `${rate(p.parameters)} parameters` : "diverged";
    }]),
  ]).className = "patterns";
}

function writeTables() {
  const laws = models.flatMap(m => [m.compute, m.surface].filter(Boolean).flatMap(l => l.parameters.map(p => [m.name, l.form, p.name, figure(p.estimate.value), interval(p.estimate, figure), p.is_determined ? "yes" : "no", finite(l.scatter) ? (100 * l.scatter).toFixed(2) + thin + "%" : none])));
  byId("tables").append(scrolling(table("Fitted laws", ["Model", "Law", "", "Value", "90 % interval", "Determined", "Scatter"], laws), "Fitted laws"));
  if (report.ratios.length)
    byId("tables").append(scrolling(table("Fitted loss at equal FLOPs", ["Model", "Over", "FLOPs", "Ratio", "90 % interval"], report.ratios.map(r => [r.model, r.to, power(r.flops), bits(r.ratio.value), interval(r.ratio)])), "Ratios of losses"));
  if (layouts)
    byId("tables").append(scrolling(table(`Shapes of ${layouts.model} at ${power(layouts.budget)} FLOPs`, ["Width", "Heads", "Keys", "MLP", "MLP / attention", "Use", "Bits per byte", "Predicted", "FLOPs a token", "Decode, tokens/s", "Prefill, tokens/s"],
      layouts.shapes.map(s => [whole(s.shape.width), `${s.shape.heads} of ${s.shape.head_dim}`, whole(s.shape.key_heads), whole(s.shape.hidden), figure(s.ratio), s.use, bits(s.run.bits_per_byte), bits(s.predicted), power(s.cost.flops_per_token), rate(s.cost.decode_tokens_per_second), rate(s.cost.prefill_tokens_per_second)])), "Shapes"));
  const row = (m, r, what) => [m.name, what, power(r.budget), whole(r.width), whole(r.parameters), rate(r.bytes), figure(r.rate), String(r.seed), bits(r.bits_per_byte), seconds(r.seconds)];
  const runs = models.flatMap(m => [...m.sweep.map(r => row(m, r, "rate")), ...m.runs.map(r => row(m, r, "size"))]);
  byId("tables").append(make("details", [make("summary", `All ${count(runs.length, "run")}`), scrolling(table("", ["Model", "For", "FLOPs", "Width", "Parameters", "Bytes read", "Rate", "Seed", "Bits per byte", "Time"], runs), "Runs")]));
}

// ---- charts ------------------------------------------------------------------------------------------------------------

const computeLines = () => models.flatMap((m, model) => {
  const band = m.compute?.band ?? [], known = band.filter(p => finite(p.bits_per_byte.low) && finite(p.bits_per_byte.high));
  return [
    ...m.frontier.length ? [{ model, kind: "point", points: m.frontier.map(p => [p.flops, p.bits_per_byte]) }] : [],
    ...band.length ? [{ model, kind: "curve", note: "law", points: band.map(p => [p.flops, p.bits_per_byte.value]) }] : [],
    ...known.length ? [{ model, kind: "band", points: known.map(p => [p.flops, p.bits_per_byte.low, p.bits_per_byte.high]) }] : [],
  ];
});

// Colours tell budgets here, not models: the swatch of each is that of the model in its place.
function sizeLines(m) {
  return report.budgets.flatMap((budget, model) => {
    const widths = [...new Set(sound(m.runs).filter(r => r.budget === budget).map(r => r.parameters))].sort((a, b) => a - b);
    const points = widths.map(n => [n, mean(sound(m.runs).filter(r => r.budget === budget && r.parameters === n).map(r => r.bits_per_byte))]);
    const best = points.filter(p => p[1] === Math.min(...points.map(q => q[1])));
    return points.length ? [{ model, name: `${power(budget)} FLOPs`, kind: "main", points }, { model, name: "", kind: "ring", points: best }] : [];
  });
}

const trained = layouts ? layouts.shapes.filter(s => finite(s.run.bits_per_byte)) : [];
const uses = ["held out", "fit", "grouped"], useNames = { "held out": "held out", fit: "fitted to", grouped: "fewer key and value heads" };
const shapeText = s => `width ${s.shape.width}, ${s.shape.heads}/${s.shape.key_heads} heads, MLP ${s.shape.hidden}`;
const byUse = point => uses.flatMap((use, model) => {
  const points = trained.filter(s => s.use === use).map(point).filter(p => p.every(finite));
  return points.length ? [{ model, name: useNames[use], kind: use === "held out" ? "point" : "hollow", points, says: p => `${bits(p[1])}, ${shapeText(trained.find(s => { const q = point(s); return q[0] === p[0] && q[1] === p[1]; }))}` }] : [];
});

function tradeoffLines(by) {
  const at = s => by === "flops_per_token" ? s.cost.flops_per_token : s.cost[by], faster = by === "flops_per_token" ? (a, b) => at(a) - at(b) : (a, b) => at(b) - at(a);
  const best = Math.min(...trained.map(s => s.run.bits_per_byte)), near = trained.filter(s => s.run.bits_per_byte <= (1 + layouts.slack) * best).sort(faster)[0];
  const lines = byUse(s => [at(s), s.run.bits_per_byte]);
  return lines.length && near ? [...lines, { model: uses.indexOf(near.use), name: "", kind: "ring", points: [[at(near), near.run.bits_per_byte]] }] : lines;
}

const speedNames = { decode_tokens_per_second: "tokens a second, decoding", prefill_tokens_per_second: "tokens a second, prefill", flops_per_token: "FLOPs a generated token" };
const spanned = values => { const low = Math.min(...values), high = Math.max(...values), pad = .05 * (high - low || high || 1); return [low - pad, high + pad]; };

const charts = {
  compute: {
    spec: () => ({ lines: computeLines(), x: { ...flopsAxis, loose: true }, y: lossAxis }),
    says: () => "Held-out loss of the best size against training FLOPs. " + models.map(m => `${m.name}: ${m.frontier.map(p => `${bits(p.bits_per_byte)} at ${power(p.budget)}`).join(", ")}`).join("; ") + ".",
  },
  sizes: {
    spec: () => ({ lines: sizeLines(models[chosen("family") ?? 0]), x: { name: "parameters", base: 10, label: rate, title: v => `${whole(v)} parameters`, loose: true }, y: lossAxis }),
    says: () => `Loss against parameters of ${models[chosen("family") ?? 0]?.name}, a line a budget.`,
  },
  predicted: {
    spec: () => {
      const lines = byUse(s => [s.predicted, s.run.bits_per_byte]), xs = lines.flatMap(l => l.points.map(p => p[0]));
      const [from, to] = spanned(xs);
      return { lines: lines.length ? [...lines, { model: 0, name: "", kind: "exact", points: [[from, from], [to, to]] }] : [], item: true, x: { name: "predicted bits per byte", label: bits, title: v => `predicted ${bits(v)}`, range: [from, to] }, y: { ...lossAxis, name: "measured bits per byte" } };
    },
    says: () => `Measured against predicted loss of ${trained.length} shapes.`,
  },
  tradeoff: {
    spec: () => {
      const by = chosen("speed"), lines = layouts ? tradeoffLines(by) : [];
      return { lines, item: true, x: { name: speedNames[by], label: rate, title: v => `${rate(v)} ${speedNames[by]}`, range: spanned(lines.flatMap(l => l.points.map(p => p[0]))) }, y: lossAxis };
    },
    says: () => `Loss of ${trained.length} shapes against speed.`,
  },
};

byId("family").append(...models.map((m, i) => {
  const input = make("input");
  Object.assign(input, { type: "radio", name: "family", value: i, defaultChecked: i === 0 });
  return make("label", [input, m.name]);
}));
byId("family").hidden = models.length < 2;
byId("tradeoff-note").textContent = layouts ? `At ${whole(layouts.shapes[0]?.cost.context)} tokens of context.` : "";
byId("compute-note").textContent = models.some(m => m.compute && !m.compute.freedom) ? "A law of as many numbers as points has no band." : "";
writeText();
writeModels();
writeTables();
show(charts);
