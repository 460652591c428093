using System.Diagnostics;
using System.Text;
using Weft.Lab.Report;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab.ScalingLaws;

/// <summary>
/// Trains families of models at several sizes for each of several FLOPs budgets (IsoFLOP), fits how their held-out loss falls, and writes
/// <c>report.json</c> and <c>report.html</c>. Every finished run is kept beside the report: an interrupted study that is asked for again goes on with
/// the next one.
/// </summary>
public sealed class Scaling
{
    /// <summary>The folder of the finished runs, beside the report.</summary>
    public const string RunsFolder = "weft-scaling";

    private const long EvaluatedBytes = 100_000; // at most, of what is held out: the same windows for every run
    private const int MostExtensions = 2;        // sizes, or rates, tried past the best where it is the last
    private static readonly double[] Factors = [0.5, 1, 2, 4]; // of the rate that suits a model's mixers at this width

    private readonly Corpus corpus;
    private readonly ScalingOptions options;
    private readonly Action<ComparisonProgress> send;
    private readonly Device device;
    private readonly CancellationToken cancel;
    private readonly ModelConfig[] families;
    private readonly double[] budgets;
    private readonly TrainingOptions training;
    private readonly string folder, common;
    private readonly int shaped; // the family whose shapes are studied; -1: none

    // For the estimate of the time left: FLOPs of each row (a family, or the shapes), planned and done, and those worked off here, since when.
    private readonly double[] planned, done;
    private double worked;
    private long began;

    private Scaling(Corpus corpus, ScalingOptions options, Action<ComparisonProgress> progress, Device device, CancellationToken cancel)
    {
        (this.corpus, this.options, send, this.device, this.cancel) = (corpus, options, progress, device, cancel);
        families = [.. options.Models.Select(word => Presets.Resolve(word, null, BlockTable.Names) with { Context = options.Context })];
        budgets = [.. options.Budgets.Distinct().Order()];
        if (families.Length == 0 || budgets.Length == 0 || options.Seeds < 1 || options.Sizes < 1 || !(budgets[0] > 0) || !double.IsFinite(budgets[^1]))
        {
            throw new InputException("a scaling study needs a model, a size, a seed and budgets above 0, at least");
        }

        corpus.RequireContext(options.Context);
        training = new TrainingOptions { Budget = new Budget(BudgetKind.Steps, 1), Context = options.Context };
        folder = Path.Combine(options.Out, RunsFolder);
        common = $"scaling {ScalingReport.CurrentVersion}; corpus {corpus.Fingerprint}; context {options.Context}; precision {device.Precision.Word()}, {device.InstructionSet}, threads {device.Threads}";
        shaped = options.Shapes ? Array.FindIndex(families, ShapePlan.Suits) : -1;
        planned = new double[families.Length + (shaped >= 0 ? 1 : 0)];
        done = new double[planned.Length];
    }

    /// <summary>Runs a study, or goes on with an interrupted one in the same folder.</summary>
    /// <param name="corpus">What is learned and measured on.</param>
    /// <param name="options">Which models, and how far.</param>
    /// <param name="progress">Called a few times a second, on the calling thread; a row a family, and one for the shapes.</param>
    /// <param name="cancel">Stops at the next step; the run under way begins again another time.</param>
    /// <exception cref="InputException">A model, a budget, the corpus or the folder will not do.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; the same call goes on.</exception>
    public static ScalingReport Run(Corpus corpus, ScalingOptions options, Action<ComparisonProgress> progress, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(corpus);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(progress);
        using Device device = Device.Open(options.Threads, options.Precision ?? Device.FastestPrecision);
        return new Scaling(corpus, options, progress, device, cancel).Run();
    }

    /// <summary>The names of the rows of a study's progress.</summary>
    /// <exception cref="InputException">A model is not known.</exception>
    public static IReadOnlyList<string> Rows(ScalingOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ModelConfig[] families = [.. options.Models.Select(word => Presets.Resolve(word, null, BlockTable.Names))];
        ModelConfig? shaped = options.Shapes ? families.FirstOrDefault(ShapePlan.Suits) : null;
        return [.. families.Select(f => f.Name), .. shaped is null ? Array.Empty<string>() : [ShapesOf(shaped)]];
    }

    private static string ShapesOf(ModelConfig family) => $"shapes of {family.Name}";

    private ScalingReport Run()
    {
        SizeLadder[] ladders = [.. families.Select(f => new SizeLadder(f, corpus, device, training))];
        foreach (SizeLadder ladder in ladders)
        {
            foreach (double budget in budgets)
            {
                cancel.ThrowIfCancellationRequested();
                ladder.Around(budget, options.Sizes); // before anything is written: a budget too small is told now
            }
        }

        Prepare();
        began = Stopwatch.GetTimestamp();
        var models = new List<ScaledModel>();
        var fits = new List<LawFits>();
        for (int i = 0; i < families.Length; i++)
        {
            models.Add(Study(i, ladders[i], fits));
        }

        ShapeReport? shapes = shaped < 0 ? null : StudyShapes(models[shaped]);
        var report = new ScalingReport
        {
            Corpus = new CorpusInfo(corpus.Name, corpus.Length, corpus.TrainLength, corpus.HeldOutLength),
            EvaluatedBytes = Math.Min(EvaluatedBytes, corpus.HeldOutLength),
            Budgets = budgets,
            Context = options.Context,
            Seeds = options.Seeds,
            Machine = MachineInfo.Of(device),
            Command = options.Command,
            Models = models,
            Ratios = [.. from flops in budgets from i in Enumerable.Range(1, families.Length - 1) let ratio = fits[i].RatioTo(fits[0], flops) where ratio is not null select new LossRatio(families[i].Name, families[0].Name, flops, ratio.Value)],
            Shapes = shapes,
        };
        report = report with { Findings = ScalingFindings.Of(report) };
        report.Write(Path.Combine(options.Out, "report.json"));
        ScalingPage.Write(report, Path.Combine(options.Out, "report.html"));
        return report;
    }

    private void Prepare()
    {
        string key = $"{common}; budgets {string.Join(' ', budgets.Select(b => $"{b:R}"))}; sizes {options.Sizes}; seeds {options.Seeds}; shapes {shaped >= 0}, inference {options.Inference:R}, slack {options.Slack:R}; "
            + string.Join("; ", families.Select(f => $"{f.Name} = {f.Blocks}"));
        string path = Path.Combine(folder, "plan.json");
        bool isSame = Kept.Read(path, ScalingJson.Default.StudyKey)?.Key == key;
        if (!isSame && !options.Force)
        {
            ReportFolder.RequireNoOther(options.Out, null);
        }

        Kept.Write(path, new StudyKey(key), ScalingJson.Default.StudyKey);
        for (int i = 0; i < families.Length; i++)
        {
            planned[i] = (Factors.Length * budgets[0]) + (options.Sizes * options.Seeds * budgets.Sum());
        }

        if (shaped >= 0)
        {
            planned[^1] = ShapePlan.Count * ShapeBudget;
        }

        Send(0, ComparisonPhase.Preparing, 0, note: $"about {(families.Length * (Factors.Length + (options.Sizes * options.Seeds * budgets.Length))) + (shaped >= 0 ? ShapePlan.Count : 0)} runs of {Human.Flops(planned.Sum())} FLOPs together"
            + (isSame ? $"; those in {folder} are not done again" : ""));
    }

    private double ShapeBudget => budgets[Math.Min(1, budgets.Length - 1)];

    private ScaledModel Study(int index, SizeLadder ladder, List<LawFits> fits)
    {
        (int first, int count) = ladder.Around(budgets[0], options.Sizes);
        ModelConfig middle = ladder.At(first + ((count - 1) / 2))!.Config;
        List<ScalingRun> sweep = Sweep(index, middle);
        double rate = (sweep.Where(r => double.IsFinite(r.BitsPerByte)).MinBy(r => r.BitsPerByte) ?? sweep[0]).Rate;
        var runs = new List<ScalingRun>();
        foreach (double budget in budgets)
        {
            runs.AddRange(StudyAt(index, ladder, budget, width => RateAt(width, rate, middle.Width)));
        }

        Send(index, ComparisonPhase.Done, 1);
        var fit = new LawFits(runs, (ulong)index);
        fits.Add(fit);
        return new ScaledModel(families[index].Name, families[index].Blocks.ToString(), rate, middle.Width, sweep, runs, fit.Frontier, fit.Compute, fit.Surface);
    }

    // The wider, the lower: as default rates go (BlockTable.DefaultRate).
    private static double RateAt(int width, double rate, int rateWidth) => Math.Round(rate * Math.Sqrt((double)rateWidth / width), 6);

    /// <summary>Rates at the smallest budget; more where the best is the lowest or the highest.</summary>
    private List<ScalingRun> Sweep(int index, ModelConfig config)
    {
        double usual = BlockTable.DefaultRate(config);
        var sweep = new List<ScalingRun>();
        foreach (double factor in Factors)
        {
            sweep.Add(Train(index, ComparisonPhase.Sweeping, config, budgets[0], Math.Round(factor * usual, 6), 1));
        }

        for (int i = 0; i < MostExtensions; i++)
        {
            int best = sweep.IndexOf(sweep.Where(r => double.IsFinite(r.BitsPerByte)).MinBy(r => r.BitsPerByte) ?? sweep[0]);
            double next = best == 0 ? sweep[0].Rate / 2 : best == sweep.Count - 1 ? sweep[^1].Rate * 2 : 0;
            if (next is 0 or > 1)
            {
                break;
            }

            sweep.Insert(best == 0 ? 0 : sweep.Count, Train(index, ComparisonPhase.Sweeping, config, budgets[0], Math.Round(next, 7), 1));
        }

        return sweep;
    }

    /// <summary>The sizes of one budget; more where the best is the smallest or the largest.</summary>
    private List<ScalingRun> StudyAt(int index, SizeLadder ladder, double budget, Func<int, double> rate)
    {
        (int first, int count) = ladder.Around(budget, options.Sizes);
        var sizes = new List<List<ScalingRun>>();
        for (int i = first; i < first + count; i++)
        {
            sizes.Add(Seeds(i));
        }

        for (int i = 0; i < MostExtensions && options.Sizes > 1; i++)
        {
            int best = sizes.IndexOf(sizes.MinBy(s => s.Average(r => double.IsFinite(r.BitsPerByte) ? r.BitsPerByte : 1e9))!);
            int next = best == 0 ? first - 1 : best == sizes.Count - 1 ? first + sizes.Count : -1;
            if (!ladder.IsPaid(next, budget))
            {
                break;
            }

            sizes.Insert(best == 0 ? 0 : sizes.Count, Seeds(next));
            first = Math.Min(first, next);
        }

        return [.. sizes.SelectMany(s => s)];

        List<ScalingRun> Seeds(int at)
        {
            ModelConfig config = ladder.At(at)!.Config;
            return [.. Enumerable.Range(1, options.Seeds).Select(seed => Train(index, ComparisonPhase.Training, config, budget, rate(config.Width), seed))];
        }
    }

    private ShapeReport StudyShapes(ScaledModel model)
    {
        int row = planned.Length - 1;
        var study = new ShapeStudy(model, families[shaped], device, options, ShapeBudget, cancel);
        ShapeReport report = study.Run((config, budget) => Train(row, ComparisonPhase.Training, config, budget, RateAt(config.Width, model.Rate, model.RateWidth), 1),
            () => Send(row, ComparisonPhase.Measuring, Math.Min(1, done[row] / planned[row])));
        Send(row, ComparisonPhase.Done, 1);
        return report;
    }

    /// <summary>One run, unless it is kept already.</summary>
    private ScalingRun Train(int row, ComparisonPhase phase, ModelConfig config, double budget, double rate, int seed)
    {
        string key = $"{common}; model {Encoding.UTF8.GetString((config with { Name = "any" }).ToJson())}; budget {budget:R}, rate {rate:R}, seed {seed}";
        string path = Kept.PathOf(folder, key);
        ScalingRun? run = Kept.Read(path, ScalingJson.Default.KeptRun) is { } kept && kept.Key == key ? kept.Run : null;
        if (run is null)
        {
            run = TrainNow(row, phase, config, budget, rate, seed);
            Kept.Write(path, new KeptRun(key, run), ScalingJson.Default.KeptRun);
            worked += budget;
        }

        done[row] += budget;
        Send(row, phase, Math.Min(1, done[row] / planned[row]), note: double.IsNaN(run.BitsPerByte) ? $"width {config.Width} diverged at a rate of {rate:R}" : null);
        return run;
    }

    private ScalingRun TrainNow(int row, ComparisonPhase phase, ModelConfig config, double budget, double rate, int seed)
    {
        var model = new LanguageModel(config, device, (ulong)seed);
        using var trainer = new Trainer(model, corpus, training with { Budget = new Budget(BudgetKind.Flops, budget), Rate = rate, Seed = (ulong)seed });
        var pace = new Pace();
        double bits = double.NaN;
        try
        {
            trainer.Run(step =>
            {
                cancel.ThrowIfCancellationRequested();
                if (pace.IsDue(step.BitsPerByte))
                {
                    double part = (double)step.Step / trainer.TotalSteps * budget;
                    Send(row, phase, Math.Min(1, (done[row] + part) / planned[row]), step.Step, trainer.TotalSteps, pace.Loss, trainer.Tokens / trainer.Seconds, part);
                }
            });
            bits = Evaluation.HeldOut(model, corpus, options.Context, atMost: EvaluatedBytes).BitsPerByte;
        }
        catch (TrainingDivergedException)
        {
            // Its loss is no number; what is fitted leaves it out.
        }

        cancel.ThrowIfCancellationRequested();
        long all = model.ParameterCount(), embedding = (config.TieEmbeddings ? 1L : 2L) * config.Vocabulary * config.Width;
        return new ScalingRun(budget, config.Width, all, all - embedding, rate, seed, trainer.Bytes, trainer.Flops, bits, trainer.Seconds);
    }

    private void Send(int row, ComparisonPhase phase, double fraction, long step = 0, long steps = 0, double loss = double.NaN, double speed = 0, double underWay = 0, string? note = null)
    {
        TimeSpan? remaining = null;
        if (worked + underWay > 0)
        {
            double left = planned.Zip(done, (p, d) => Math.Max(0, p - d)).Skip(row).Sum() - underWay; // rows before this one are finished
            remaining = TimeSpan.FromSeconds(Math.Min(Math.Max(0, left) * Stopwatch.GetElapsedTime(began).TotalSeconds / (worked + underWay), 1e9));
        }

        send(new ComparisonProgress(row, row < families.Length ? families[row].Name : ShapesOf(families[shaped]), 0, phase, fraction, step, steps, loss, speed, remaining, note));
    }
}
