"use strict";
// The comparison's page: what is said, tabled and drawn on it. How that is done stands in charts.js.

const { baselines } = report;
const many = report.seeds > 1;

// ---- text and tables ---------------------------------------------------------------------------------------------------

function measuredContexts() {
  const decoding = models.filter(m => m.decode.length);
  const sets = decoding.map(m => m.decode.filter(d => d.measured).map(d => d.context));
  return sets.length ? sets.reduce((a, b) => a.filter(c => b.includes(c))).sort((a, b) => a - b) : [];
}
const gain = (m, chosen) => mean(m.recall.filter(chosen).map(r => r.first - r.second).filter(finite));

function writeText() {
  const c = report.corpus, names = named(models.map(m => m.name));
  byId("title").textContent = models.length > 1 ? `Which model suits ${c.name}?` : `${models[0]?.name ?? "No model"} on ${c.name}`;
  byId("setting").textContent = `${names}: ${models.length > 1 ? "each " : ""}trained on ${bytes(c.train_bytes)} with ${report.budget.matched === "bytes" ? "the same amount of data" : `${power(report.budget.flops)} floating-point operations`}`
    + `${report.budget.text ? ` (budget “${report.budget.text}”)` : ""}, ${count(report.seeds, "seed")}${models.length > 1 ? " each" : ""}, and measured on ${bytes(c.held_out_bytes)} of text that no model had seen.`;
  writeFindings();
  const longest = Math.max(0, ...models.flatMap(m => m.decode.filter(d => d.measured).map(d => d.context)));
  definitions(byId("method"), [
    ["Equal budget", report.budget.matched === "bytes" ? `Every model reads the same number of training bytes. What that costs differs: the table's FLOPs are counted from each layer's shapes.` : `Every model trains until its counted floating-point operations, forward and backward, reach ${power(report.budget.flops)}. They are counted from each layer's shapes, not timed, so that a faster machine or kernel changes the seconds and not the result.`],
    ["Held-out text", `${whole(c.held_out_bytes)} of the corpus's ${whole(c.bytes)} bytes are kept out of training; every bits/byte here is measured on them, the points along the learning curves (not the last ones) on a sample from all over them. The models read raw bytes, ${whole(report.context)} at a time in training, so one token is one byte. The compressors get the same held-out text and nothing else.`],
    ["Seeds", many ? `${whole(report.seeds)} runs per model from different random starts; figures are means, “±” is half the distance between the best and the worst run.` : "One run per model: how much another random start would change is not known."],
    ["Decoding", `One sequence, one token after another; the speed is that of the median token. Before the timing the state is filled with made-up content as long as the context shown, which costs a step the same time as text does${longest ? `. The longest context timed is ${tokens(longest)} tokens; past what was timed, the time of a token is computed as growing with the bytes of state it reads` : ""}. State bytes are exact at every context: they follow from the state's shapes.`],
    ["Recall", `Held-out passages stand in other held-out text twice, the copies starting the given number of bytes apart, and the bits/byte of the second is compared with that of the first. Distances of ${whole(report.context)} bytes and more lie past anything seen in training.`],
    machineEntry(),
  ]);
  writeFooter(` on ${report.created.slice(0, 16).replace("T", " ")} ${report.created.slice(19).replace(/^\.\d+/, "").replace(/^(Z|\+00:00)$/, "UTC")}`);
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
  const t = modelTable(columns);
  for (const [name, value] of [["Brotli 11", baselines.brotli], ["gzip −9", baselines.gzip], ["order 0", baselines.order0]])
    if (finite(value)) {
      const row = make("tr", columns.map((_, j) => make("td", j === 1 ? bits(value) : "")), "baseline");
      const head = make("th", name);
      head.scope = "row"; row.prepend(head); t.tBodies[0].append(row);
    }
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

writeText();
writeModels();
writeTables();
show(charts);
