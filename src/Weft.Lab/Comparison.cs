using System.Diagnostics;
using Weft.Lab.Report;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab;

/// <summary>
/// Trains several models on one corpus under one budget, each from the same data order, measures them alike, and writes
/// <c>report.html</c> and <c>report.json</c>. The trained models stay in <c>weft-runs</c> beside the report, to generate from; an
/// interrupted comparison that is asked for again goes on there.
/// </summary>
public sealed class Comparison
{
    /// <summary>The folder of the runs, beside the report.</summary>
    public const string RunsFolder = "weft-runs";

    private const int RecallPassages = 8;
    private const double MeasuringSeconds = 12;  // of a model, roughly: for the estimate of the time left

    private readonly Corpus corpus;
    private readonly ComparisonOptions options;
    private readonly Action<ComparisonProgress> send;
    private readonly CancellationToken cancel;
    private readonly Device device;
    private readonly ModelConfig[] configs;
    private readonly TrainingOptions training;
    private readonly string runs;
    private ComparisonPlan plan = null!;

    private Comparison(Corpus corpus, ComparisonOptions options, Action<ComparisonProgress> progress, Device device, CancellationToken cancel)
    {
        (this.corpus, this.options, send, this.device, this.cancel) = (corpus, options, progress, device, cancel);
        configs = [.. options.Models.Select(word => Presets.Resolve(word, knownBlocks: BlockTable.Names) with { Context = options.Context })];
        corpus.RequireContext(options.Context);
        training = new TrainingOptions
        {
            Budget = new Budget(BudgetKind.Steps, 1),
            BatchSize = options.BatchSize,
            Context = options.Context,
            Evaluations = 10,
            EvaluationBytes = 1 << 16,
        };
        runs = Path.Combine(options.Out, RunsFolder);
    }

    /// <summary>
    /// Runs a comparison, or goes on with an interrupted one of the same settings in the same folder.
    /// </summary>
    /// <param name="corpus">What is learned and measured on.</param>
    /// <param name="options">What is compared.</param>
    /// <param name="progress">Called a few times a second, on the calling thread.</param>
    /// <param name="cancel">Stops at the next step; what was trained is saved.</param>
    /// <exception cref="InputException">A model, the budget, the corpus or the folder will not do.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; the same call goes on.</exception>
    public static ComparisonReport Run(Corpus corpus, ComparisonOptions options, Action<ComparisonProgress> progress, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(corpus);
        ArgumentNullException.ThrowIfNull(options);
        using Device device = Device.Open(options.Threads, options.Precision ?? Device.FastestPrecision);
        return new Comparison(corpus, options, progress, device, cancel).Run();
    }

    private ComparisonReport Run()
    {
        Send(0, 0, ComparisonPhase.Preparing, 0);
        Prepare();
        Baselines baselines = Baselines.Measure(corpus, cancel);
        var results = new List<ModelResult>();
        for (int i = 0; i < configs.Length; i++)
        {
            results.Add(Compare(i));
        }

        double flops = double.IsNaN(plan.Flops) ? results.Max(r => r.TrainFlops) : plan.Flops;
        var report = new ComparisonReport
        {
            Created = DateTimeOffset.Now,
            Corpus = new CorpusInfo(corpus.Name, corpus.Length, corpus.TrainLength, corpus.HeldOutLength),
            Budget = new BudgetInfo(options.Budget?.ToString() ?? $"default, {Human.Flops(plan.Flops)} FLOPs", flops, double.IsNaN(plan.Flops) ? "bytes" : "flops"),
            Context = options.Context,
            Seeds = options.Seeds,
            Machine = MachineInfo.Of(device),
            Command = options.Command,
            Models = results,
            Baselines = baselines,
        };
        report = report with { Findings = Findings.Derive(report) };
        report.Write(Path.Combine(options.Out, "report.json"));
        HtmlReport.Write(report, Path.Combine(options.Out, "report.html"));
        return report;
    }

    /// <summary>Finds the plan that an interrupted comparison left, or makes one.</summary>
    private void Prepare()
    {
        string key = string.Join("; ", [
            $"corpus {corpus.Fingerprint}", $"budget {options.Budget?.ToString() ?? "default"}", $"batch {options.BatchSize?.ToString() ?? "default"} x {options.Context}",
            $"sweep {options.Sweep}", $"precision {device.Precision.Word()}", .. configs.Select(c => $"{c.Name} = {c.Blocks} at {c.Width}")]);
        if (ComparisonPlan.Find(runs, key) is { } found)
        {
            plan = found;
            Send(0, 0, ComparisonPhase.Preparing, 0, note: $"goes on with the runs in {runs}");
        }
        else
        {
            (double flops, PlannedModel[] models, string? note) = Planner.Plan(configs, corpus, device, options.Budget, training, cancel);
            KeepAside(runs);
            plan = new ComparisonPlan { Key = key, Flops = flops, Models = models };
            plan.Save(runs);
            if (note is not null)
            {
                Send(0, 0, ComparisonPhase.Preparing, 0, note: note);
            }
        }

        for (int i = 0; options.Sweep && i < configs.Length; i++)
        {
            if (plan.Models[i].Sweep is null)
            {
                Sweep(i);
            }
        }
    }

    /// <summary>Another comparison's runs are not thrown away with its report: they move to <c>weft-runs-before</c>, which keeps the last ones.</summary>
    private void KeepAside(string folder)
    {
        string before = folder + "-before";
        try
        {
            if (Directory.Exists(folder))
            {
                if (Directory.Exists(before))
                {
                    Directory.Delete(before, recursive: true);
                }

                Directory.Move(folder, before);
                Send(0, 0, ComparisonPhase.Preparing, 0, note: $"the runs of the comparison before are now in {before}");
            }
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("move aside", folder, e);
        }
    }

    /// <summary>Finds a model's learning rate.</summary>
    private void Sweep(int index)
    {
        PlannedModel planned = plan.Models[index];
        TrainingOptions how = training with { Budget = new Budget(BudgetKind.Steps, planned.Steps), Rate = planned.Rate, Seed = 1 };
        (double rate, IReadOnlyList<SweepPoint> points) = RateSweep.Find(() => new LanguageModel(configs[index], device, how.Seed), corpus, how, p => send(p with { Model = index }), cancel);
        PlannedModel[] models = [.. plan.Models];
        models[index] = planned with { Rate = rate, Sweep = points };
        plan = plan with { Models = models };
        plan.Save(runs);
    }

    private ModelResult Compare(int index)
    {
        ModelConfig config = configs[index];
        PlannedModel planned = plan.Models[index];
        var bits = new List<double>();
        var curve = new List<CurvePoint>();
        var recalls = new List<IReadOnlyList<RecallPoint>>();
        IReadOnlyList<DecodePoint> decode = [];
        double seconds = 0;
        long bytes = 0, parameters = 0;
        double flops = 0;
        for (int seed = 0; seed < options.Seeds; seed++)
        {
            try
            {
                using TrainingRun run = Train(index, seed);
                parameters = run.Model.ParameterCount();
                (seconds, bytes, flops) = (seconds + run.Trainer.Seconds, run.Trainer.Bytes, run.Trainer.Flops);
                curve.AddRange(run.History.Select(h => new CurvePoint(seed, h.Flops, h.Bytes, h.Seconds, h.BitsPerByte)));
                Send(index, seed, ComparisonPhase.Measuring, Done(seed + 0.9), planned.Steps, planned.Steps, curve[^1].BitsPerByte, run.Trainer.Tokens / run.Trainer.Seconds);
                bits.Add(Evaluation.HeldOut(run.Model, corpus, options.Context).BitsPerByte);
                curve[^1] = curve[^1] with { BitsPerByte = bits[^1] }; // the end of the curve is the figure of the table: all held-out bytes, not a sample
                cancel.ThrowIfCancellationRequested();
                recalls.Add(Recall.Measure(run.Model, corpus, RecallPassages, cancel));
                if (seed == options.Seeds - 1)
                {
                    decode = DecodeSpeed.Measure(run.Model, DecodeSpeed.Contexts, cancel);
                }
            }
            catch (TrainingDivergedException e)
            {
                bits.Add(double.NaN);
                Send(index, seed, ComparisonPhase.Training, Done(seed + 1), note: e.Message);
            }
        }

        Send(index, options.Seeds - 1, ComparisonPhase.Done, 1, planned.Steps, planned.Steps, bits.Average(), bytes / Math.Max(1e-9, seconds / options.Seeds));
        return new ModelResult
        {
            Name = config.Name,
            Pattern = config.Blocks.ToString(),
            Parameters = parameters,
            TrainFlops = flops,
            BytesSeen = bytes,
            BitsPerByte = bits.Average(),
            BitsPerByteSeeds = bits,
            TrainSeconds = seconds / options.Seeds,
            TrainTokensPerSecond = bytes * (double)options.Seeds / Math.Max(1e-9, seconds),
            LearningRate = planned.Rate,
            Sweep = planned.Sweep,
            Curve = curve,
            Decode = decode,
            Recall = [.. (recalls.FirstOrDefault() ?? []).Select((p, i) => p with { First = recalls.Average(r => r[i].First), Second = recalls.Average(r => r[i].Second), Passages = recalls.Sum(r => r[i].Passages) })],
        };

        double Done(double seeds) => seeds / options.Seeds;
    }

    /// <summary>Trains one model from one seed, or goes on with its run.</summary>
    private TrainingRun Train(int index, int seed)
    {
        ModelConfig config = configs[index];
        PlannedModel planned = plan.Models[index];
        string folder = Path.Combine(runs, RunName(index, seed));
        TrainingOptions how = training with { Budget = new Budget(BudgetKind.Steps, planned.Steps), Rate = planned.Rate, Seed = (ulong)seed + 1 };
        TrainingRun run = TrainingRun.Exists(folder)
            ? TrainingRun.Resume(folder, device, corpus, config, how)
            : TrainingRun.Create(folder, new LanguageModel(config, device, (ulong)seed + 1), corpus, how);
        try
        {
            var pace = new Pace();
            long first = run.Trainer.Steps;
            double before = run.Trainer.Seconds;
            bool finished = run.Run(step =>
            {
                if (pace.IsDue(step.BitsPerByte))
                {
                    double perStep = (run.Trainer.Seconds - before) / Math.Max(1, step.Step - first);
                    Send(index, seed, ComparisonPhase.Training, (seed + (0.9 * step.Step / planned.Steps)) / options.Seeds, step.Step, planned.Steps,
                        pace.Loss, run.Trainer.TokensPerStep / perStep, perStep);
                }
            }, cancel);
            if (!finished)
            {
                cancel.ThrowIfCancellationRequested();
            }

            return run;
        }
        catch
        {
            run.Dispose();
            throw;
        }
    }

    /// <summary>The model's name as a folder's, with the seed where there are several.</summary>
    private string RunName(int index, int seed)
    {
        string name = new([.. configs[index].Name.Select(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' ? c : '-')]);
        name = name.Trim('-', '.') is { Length: > 0 } kept ? kept[..Math.Min(kept.Length, 60)] : "model";
        bool unique = configs.Count(c => c.Name == configs[index].Name) == 1 && configs[index].Name == name;
        return (unique ? name : $"{index + 1}-{name}") + (options.Seeds > 1 ? $"-seed{seed + 1}" : "");
    }

    private void Send(int index, int seed, ComparisonPhase phase, double fraction, long step = 0, long steps = 0, double loss = double.NaN,
        double speed = 0, double secondsPerStep = 0, string? note = null)
    {
        TimeSpan? remaining = null;
        if (plan is not null && phase is ComparisonPhase.Training or ComparisonPhase.Measuring or ComparisonPhase.Done)
        {
            double now = secondsPerStep > 0 ? secondsPerStep : plan.Models[index].SecondsPerStep;
            double left = phase == ComparisonPhase.Done ? 0 : ((options.Seeds - seed) * MeasuringSeconds) + (now * ((steps - step) + ((options.Seeds - seed - 1) * steps)));
            for (int i = index + 1; i < configs.Length; i++)
            {
                left += options.Seeds * (MeasuringSeconds + (plan.Models[i].Steps * plan.Models[i].SecondsPerStep));
            }

            remaining = TimeSpan.FromSeconds(left);
        }

        send(new ComparisonProgress(index, configs[index].Name, seed, phase, fraction, step, steps, loss, speed, remaining, note));
    }
}
