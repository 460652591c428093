"use strict";
// A probe's page: what is said, tabled and drawn on it. How that is done stands in charts.js.

const { task } = report;
const many = Math.max(0, ...models.map(m => m.trials.length)) > 1;
const difficulties = [...new Set(models.flatMap(m => m.trials.flatMap(t => t.scores.map(s => s.difficulty))))].sort((a, b) => a - b);
const [trainedFrom, trainedTo] = [Math.min(...task.train_on), Math.max(...task.train_on)];

// ---- figures over seeds: a trial that diverged is left out of accuracies, and has not solved the task -------------------

const share = x => finite(x) ? (100 * x).toFixed(1).replace(/\.0$/, "") + thin + "%" : none;
const onAxis = d => `${whole(d)} ${task.axis}`;
const range = (from, to) => from === to ? onAxis(from) : `${whole(from)} to ${onAxis(to)}`;
const spread = (values, format) => values.length > 1 ? `${format(Math.min(...values))} to ${format(Math.max(...values))}` : "";
const finished = m => m.trials.filter(t => !t.has_diverged);
const exact = (m, d) => finished(m).flatMap(t => t.scores.filter(s => s.difficulty === d).map(s => s.exact)).filter(finite);
const stateAt = (m, d) => m.state.length === difficulties.length ? m.state[difficulties.indexOf(d)] : undefined;
const mostSamples = m => Math.max(0, ...m.trials.map(t => t.samples));
const toSolve = m => {
  const n = m.trials.map(t => t.samples_to_solve ?? Infinity).sort((a, b) => a - b);
  return n.length ? (n[Math.floor((n.length - 1) / 2)] + n[Math.floor(n.length / 2)]) / 2 : NaN;
};
const solvedSeeds = m => m.trials.filter(t => finite(t.samples_to_solve)).map(t => t.samples_to_solve);
const divergedSeeds = m => m.trials.length - finished(m).length;

// ---- text and tables ---------------------------------------------------------------------------------------------------

function writeText() {
  const distinct = of => Math.max(0, ...models.map(m => new Set(m.sweep.map(of)).size)), rates = distinct(t => t.rate), decays = distinct(t => t.decay);
  byId("title").textContent = models.length > 1 ? `Which model can do ${task.name}?` : `${models[0]?.name ?? "No model"} on ${task.name}`;
  byId("setting").textContent = `${task.line[0]?.toUpperCase() ?? ""}${task.line.slice(1)}. ${named(models.map(m => m.name))}: ${models.length > 1 ? "each " : ""}trained on ${range(trainedFrom, trainedTo)} (budget “${report.budget}” a trial), `
    + `${count(report.seeds, "seed")}${rates > 1 ? ` at the best of ${rates} learning rates${decays > 1 ? ` and ${decays} weight decays` : ""}` : ""}${difficulties.length ? `, and scored on ${range(difficulties[0], difficulties.at(-1))}` : ""}.`;
  writeFindings();
  definitions(byId("method"), [
    ["Task", `${task.name}: ${task.line}. ${task.source}.`],
    ["Training", `Every trial is allowed the same budget, ${report.budget}. ${task.training_set ? `Each batch is of the next examples of a set of ${whole(task.training_set)}, shuffled anew for each epoch,` : "Each batch is freshly made,"} of a difficulty drawn from ${named(task.train_on.map(whole))} ${task.axis}; learning is looked at on ${onAxis(task.main)}, the main difficulty, and ends sooner where that is solved. FLOPs are counted from each layer's shapes.`],
    ["Scoring", "As if the model wrote its answer by itself, always its likeliest token: nothing after a first error counts, unless the task's answers do not follow from each other. An example is right if all of its answer is."],
    ["Learning rates", rates > 1 ? "Each model has a sweep of its own, from the first seed, and the best rate counts. All of them are drawn." + (decays > 1 ? " Every rate is tried with each weight decay; those with the best one are drawn, all stand in the table." : "") : "One rate a model: another may do better."],
    ["Seeds", many ? `${whole(report.seeds)} trials a model at its best rate, each with weights and examples of its own; figures are means over seeds, “to” stands between the worst and the best.` : "One trial a model: how much another seed would change is not known."],
    ["State", "What one sequence must keep in memory at the end of an example, to go on; it follows from the shapes."],
    machineEntry(),
  ]);
  writeFooter("");
  byId("difficulty-note").textContent = `Shaded: trained on. ${many ? "Line: the mean over seeds; dots: each seed." : "One seed."}`;
  byId("samples-note").textContent = many ? "Bold: the mean over seeds, which keep their last score after they end; thin: each seed." : "";
  byId("state-note").textContent = (many ? "Marks: the mean over seeds; dots: each seed." : "")
    + (task.name === "copy" ? ` Dashed: the bound 1 − |S|/Dᴸ on the error. A state of b bytes has |S| = 2⁸ᵇ values, and there are Dᴸ strings of L of the D = ${letters} letters: with fewer than L log₂ D / 8 bytes nearly all must fail, with more none need to. On this scale it is a step.` : "");
}

function writeModels() {
  modelTable([
    ["Parameters", "", m => m.parameters, whole],
    ...difficulties.includes(task.main) ? [["State", `at ${onAxis(task.main)}`, m => stateAt(m, task.main), bytes]] : [],
    ["Learning rate", "best of its sweep", m => m.rate, figure],
    ["Samples to solve", `${onAxis(task.main)}, median`, toSolve, x => finite(x) ? whole(x) : "not solved", Math.min, m => {
      const seeds = solvedSeeds(m), lines = [...seeds.length < m.trials.length ? [`${seeds.length} of ${count(m.trials.length, "seed")}`, `within ${whole(mostSamples(m))}`] : [], new Set(seeds).size > 1 ? spread(seeds, whole) : ""];
      return lines.some(Boolean) ? lines.filter(Boolean).flatMap((line, i) => i ? [make("br"), line] : [line]) : "";
    }],
    ...difficulties.map(d => [`${onAxis(d)}`, d > trainedTo ? "past training" : "exact", m => mean(exact(m, d)), share, Math.max, m => {
      const all = exact(m, d), low = share(Math.min(...all)), high = share(Math.max(...all));
      return !all.length && m.trials.length ? "diverged" : all.length > 1 && low !== high ? `${low.replace(thin + "%", "")} to ${high}` : "";
    }]),
  ]).className = "patterns";
}

function writeTables() {
  const yes = t => t.has_diverged ? "diverged" : finite(t.samples_to_solve) ? whole(t.samples_to_solve) : "not solved";
  const time = t => finite(t.seconds) ? grouped(t.seconds, 1) : none;
  byId("tables").append(
    scrolling(table("Trials at the best rate", ["Model", "Seed", "Samples", "To solve", "Training FLOPs", "Seconds", ...difficulties.map(onAxis)],
      models.flatMap(m => m.trials.map(t => [m.name, String(t.seed), whole(t.samples), yes(t), power(t.flops), time(t), ...difficulties.map(d => share(t.scores.find(s => s.difficulty === d)?.exact))]))), "Trials"),
    scrolling(table("Learning rates tried", ["Model", "Rate", "Samples", "To solve", "Examples right", "Tokens right", "Loss", "Seconds"],
      models.flatMap(m => m.sweep.map(t => [m.name, figure(t.rate) + (t.decay == null ? "" : `, decay ${figure(t.decay)}`) + (t.rate === m.rate && t.decay === m.decay ? " (best)" : ""), whole(t.samples), yes(t), ...t.has_diverged ? [none, none, none] : [share(t.curve.at(-1)?.exact), share(t.curve.at(-1)?.correct), bits(t.curve.at(-1)?.loss)], time(t)]))), "Learning rates"));
  const points = models.flatMap(m => m.trials.flatMap(t => t.curve.map(c => [m.name, String(t.seed), whole(c.samples), power(c.flops), share(c.exact), share(c.correct), bits(c.loss)])));
  if (points.length)
    byId("tables").append(make("details", [make("summary", `Learning curves, ${count(points.length, "point")}`), scrolling(table("", ["Model", "Seed", "Samples", "FLOPs", "Examples right", "Tokens right", "Loss"], points), "Learning curve figures")]));
}

function choices(id, name, labels) {
  const radio = (label, i) => {
    const input = make("input");
    Object.assign(input, { type: "radio", name, value: i, defaultChecked: i === 0 });
    return make("label", [input, label]);
  };
  byId(id).append(...labels.map(radio));
  byId(id).hidden = labels.length < 2;
}

// ---- charts ------------------------------------------------------------------------------------------------------------

const letters = 26; // of the task copy
const shares = { format: share, label: v => Math.round(100 * v) + thin + "%", range: [0, 1, .25] };
const losses = { name: "nats a token", format: bits, label: v => String(Number(v.toFixed(2))) };
const chosen = name => document.querySelector(`input[name="${name}"]:checked`)?.value;
const told = values => many && values.length > 1 ? `${share(mean(values))} (${spread(values, share)})` : share(mean(values));

// Difficulties that differ in kind, such as lengths far past training, stand on a logarithmic axis.
const difficultyAxis = () => ({
  name: task.axis, label: whole, title: onAxis, loose: false,
  base: difficulties[0] > 0 && difficulties.at(-1) >= 6 * difficulties[0] ? 2 : undefined,
});

const dots = (model, points) => many && points.length ? [{ model, points, kind: "seeds" }] : [];

const difficultyLines = () => models.flatMap((m, model) => {
  const scored = difficulties.map(d => [d, exact(m, d)]).filter(([, all]) => all.length);
  return scored.length ? [
    { model, kind: "main", points: scored.map(([d, all]) => [d, mean(all)]), says: ([d]) => told(exact(m, d)) },
    ...dots(model, scored.flatMap(([d, all]) => all.map(y => [d, y]))),
  ] : [];
});

const harder = difficulties.filter(d => d >= task.main), scoredAt = harder.length ? harder : difficulties;
const stateLines = d => models.flatMap((m, model) => {
  const all = exact(m, d), held = stateAt(m, d);
  return all.length && held > 0 ? [{ model, kind: "point", points: [[held, mean(all)]], says: () => told(all) }, ...dots(model, all.map(y => [held, y]))] : [];
});

// Seeds are looked at after the same samples, unless the budget is of time, and end when they solve the task: the mean takes each seed's last look so far.
function sampleLines(measure) {
  return models.flatMap((m, model) => {
    const curves = finished(m).map(t => t.curve.filter(c => finite(c[measure]) && c.samples > 0).map(c => [c.samples, c[measure]])).filter(c => c.length);
    if (!curves.length) return [];
    const from = Math.max(...curves.map(c => c[0][0])), xs = [...new Set(curves.flatMap(c => c.map(p => p[0])))].filter(x => x >= from).sort((a, b) => a - b);
    return [
      ...curves.length > 1 ? curves.map(points => ({ model, points, kind: "thin" })) : [],
      { model, kind: "main", points: xs.map(x => [x, mean(curves.map(c => c.findLast(p => p[0] <= x)[1]))]) },
    ];
  });
}

const rateLines = measure => models.flatMap((m, model) => {
  const points = m.sweep.filter(t => t.decay === m.decay && !t.has_diverged && t.rate > 0 && finite(t.curve.at(-1)?.[measure])).map(t => [t.rate, t.curve.at(-1)[measure]]).sort((a, b) => a[0] - b[0]);
  const best = points.filter(p => p[0] === m.rate);
  return points.length ? [{ model, points, kind: "main" }, ...best.length ? [{ model, points: best, kind: "ring" }] : []] : [];
});

const measures = { exact: { ...shares, name: "examples right" }, correct: { ...shares, name: "tokens right" }, loss: losses };
const perModel = says => models.map(m => `${m.name}: ${says(m)}`).join("; ") + ".";

const charts = {
  difficulty: {
    spec: () => ({
      lines: difficultyLines(), x: difficultyAxis(), y: measures.exact,
      ...trainedFrom < trainedTo ? { shade: { name: "trained on", from: trainedFrom, to: trainedTo } } : { upright: { name: `trained on ${onAxis(trainedTo)}`, at: trainedTo } },
    }),
    says: () => `Examples answered without an error, against ${task.axis}. ` + perModel(m => difficulties.map(d => `${share(mean(exact(m, d)))} at ${whole(d)}`).join(", ")),
  },
  state: {
    spec() {
      const d = scoredAt[chosen("at") ?? 0], least = d * Math.log2(letters) / 8;
      return {
        lines: stateLines(d), apart: true, y: measures.exact, x: { name: "state, bytes", base: 2, label: bytes, title: v => `${bytes(v)} of state, ${onAxis(d)}` },
        ...task.name === "copy" ? { upright: { name: `bound: ${bytes(Math.ceil(least))}`, at: least } } : {},
      };
    },
    says() {
      const d = scoredAt[chosen("at") ?? 0];
      return `Examples answered without an error at ${onAxis(d)}, against state. ` + perModel(m => `${share(mean(exact(m, d)))} with ${bytes(stateAt(m, d))}`);
    },
  },
  samples: {
    spec: () => ({ lines: sampleLines(chosen("measure")), y: measures[chosen("measure")], x: { name: "training samples", base: 10, label: rate, title: v => `after ${whole(v)} samples`, loose: true } }),
    says: () => `Accuracy at ${onAxis(task.main)} against training samples. Samples to solve it: ` + perModel(m => finite(toSolve(m)) ? whole(toSolve(m)) : `not solved within ${whole(mostSamples(m))}`),
  },
  rates: {
    spec: () => ({ lines: rateLines(chosen("judged")), y: measures[chosen("judged")], x: { name: "learning rate", base: 10, label: power, title: v => `learning rate ${figure(v)}` } }),
    says: () => "Learning rates tried. " + perModel(m => `best ${figure(m.rate)} of ${m.sweep.map(t => figure(t.rate)).join(", ")}`),
  },
};

choices("at", "at", scoredAt.map(onAxis));
writeText();
writeModels();
writeTables();
show(charts);
