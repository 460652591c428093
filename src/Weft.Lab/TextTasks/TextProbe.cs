using System.Diagnostics;
using System.Text;
using Weft.Lab.Report;
using Weft.Lab.Tasks;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab.TextTasks;

/// <summary>
/// Trains several models on a text under the conditions of a task, each at several learning rates and from several seeds, measures them, and
/// writes <c>report.json</c> and <c>report.html</c>. Every finished training is kept beside the report: an interrupted probe that is asked for
/// again goes on with the next one.
/// </summary>
public sealed class TextProbe
{
    private const double DefaultSeconds = 12 * 60;   // of a whole probe where no budget is named: about 15 minutes where estimates are a little low
    private const double Forward = 0.35;             // of a training step's time, for what is only scored
    private const double MeasuredSeconds = 0.5;      // of each condition, for the plan
    private const double UntrainedSeconds = 10;      // of a model that is only measured, about
    private const long HeldOutBytes = 1 << 16;       // of the held-out text, scored after each training
    private static readonly double[] Factors = [0.4, 1, 2.5]; // of the rate that suits a model's mixers

    private readonly TextTask task;
    private readonly Corpus text;
    private readonly ProbeOptions options;
    private readonly Action<ProbeProgress> send;
    private readonly Device device;
    private readonly CancellationToken cancel;
    private readonly ModelConfig[] configs;
    private readonly string folder, common;
    private TextPlan plan = null!;
    private Condition[][] conditions = null!;
    private double behind; // planned seconds

    private TextProbe(TextTask task, Corpus text, ProbeOptions options, Action<ProbeProgress> progress, Device device, CancellationToken cancel)
    {
        (this.task, this.text, this.options, send, this.device, this.cancel) = (task, text, options, progress, device, cancel);
        configs = [.. (options.Models ?? task.Models).Select(word => Presets.Resolve(word, options.Width ?? task.Width, BlockTable.Names))];
        if (configs.Length == 0 || options.Seeds < 1)
        {
            throw new InputException("a probe needs a model and a seed, at least");
        }

        if (!task.Trains && (options.Budget is not null || options.Rates is not null))
        {
            throw new InputException($"{task.Name} measures models as they are before any training; leave --budget and --rates out");
        }

        folder = Path.Combine(options.Out, Probe.TrialsFolder);
        common = $"text probe {TextReport.CurrentVersion}; task {task.Name}; text {text.Fingerprint}; precision {device.Precision.Word()}, {device.InstructionSet}, threads {device.Threads}";
    }

    /// <summary>Runs a probe, or goes on with an interrupted one in the same folder.</summary>
    /// <param name="task">What is asked.</param>
    /// <param name="text">Of which text.</param>
    /// <param name="options">By which models.</param>
    /// <param name="progress">Called a few times a second, on the calling thread.</param>
    /// <param name="cancel">Stops at the next step; the training under way begins again another time.</param>
    /// <exception cref="InputException">A model, the budget, the text or the folder will not do.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; the same call goes on.</exception>
    public static TextReport Run(TextTask task, Corpus text, ProbeOptions options, Action<ProbeProgress> progress, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(task);
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(progress);
        using Device device = Device.Open(options.Threads, options.Precision ?? Device.FastestPrecision);
        return new TextProbe(task, text, options, progress, device, cancel).Run();
    }

    private TextReport Run()
    {
        Prepare();
        var models = new List<TextModel>();
        for (int i = 0; i < configs.Length; i++)
        {
            models.Add(Try(i));
        }

        var report = new TextReport
        {
            Task = new AskedOfText(task.Name, task.Line, task.Source, task.Axis, [.. task.Ticks.Select(t => new Tick(t.Key, t.Value))], task.Quantities),
            Text = new CorpusInfo(text.Name, text.Length, text.TrainLength, text.HeldOutLength),
            About = task.About(text),
            Budget = plan.Budget,
            Seeds = options.Seeds,
            Machine = MachineInfo.Of(device),
            Command = options.Command + (options.Budget is null && task.Trains ? $" --budget {plan.Budget}" : ""),
            Models = models,
        };
        report = report with { Findings = [.. task.Findings(report), .. TextFindings.Of(report)] };
        report.Write(Path.Combine(options.Out, "report.json"));
        TextPage.Write(report, Path.Combine(options.Out, "report.html"));
        return report;
    }

    private void Prepare()
    {
        string key = $"{common}; budget {options.Budget?.ToString() ?? "default"}; seeds {options.Seeds}; rates {string.Join(' ', options.Rates ?? Factors)}; "
            + string.Join("; ", configs.Select(c => $"{c.Name} = {c.Blocks} at {c.Width}"));
        string path = Path.Combine(folder, TextPlan.FileName);
        TextPlan? found = Kept.Read(path, TextJson.Default.TextPlan);
        bool isSame = found?.Key == key;
        if (!isSame && !options.Force)
        {
            ReportFolder.RequireNoOther(options.Out, task.Name);
        }

        Budget asked = options.Budget ?? new Budget(task.Equal, task.Equal == BudgetKind.Data ? 1e6 : 1e12);
        conditions = [.. configs.Select(c => task.Conditions(text, c, asked).ToArray())];
        foreach (Condition condition in conditions.SelectMany(c => c))
        {
            condition.Source.RequireContext(condition.Context);
        }

        if (isSame && found!.Seconds.Select(s => s.Count).SequenceEqual(conditions.Select(c => c.Length)))
        {
            plan = found;
        }
        else
        {
            plan = Plan(key, asked);
            Kept.Write(path, plan, TextJson.Default.TextPlan);
        }

        double scale = task.Trains ? Budget.Parse(plan.Budget).Amount / asked.Amount : 1; // 1 unless nothing was asked
        conditions = [.. conditions.Select(of => of.Select(c => c with { Budget = Scaled(c.Budget, scale) }).ToArray())];
        Send(0, ProbePhase.Preparing, note: $"{configs.Select((_, i) => Total(i, (_, _) => 1)).Sum():0} {(task.Trains ? $"trainings of {plan.Budget}" : "models")}: about {Human.Duration(TotalSeconds)} here"
            + (isSame ? $"; those in {folder} are not done again" : ""));
    }

    /// <summary>Measures a step under each condition, and decides what is spent where nobody said.</summary>
    private TextPlan Plan(string key, Budget asked)
    {
        if (!task.Trains)
        {
            return new TextPlan(key, "", [.. conditions.Select(of => (IReadOnlyList<double>)[.. of.Select(_ => UntrainedSeconds)])]);
        }

        double[][] seconds = new double[configs.Length][], scoring = new double[configs.Length][];
        for (int i = 0; i < configs.Length; i++)
        {
            (seconds[i], scoring[i]) = (new double[conditions[i].Length], new double[conditions[i].Length]);
            for (int j = 0; j < conditions[i].Length; j++)
            {
                cancel.ThrowIfCancellationRequested();
                Send(i, ProbePhase.Preparing);
                Condition c = conditions[i][j];
                StepCost step = Planner.MeasureStep(Config(c), c.Source, device, Training(c, 1e-5, 1) with { Budget = new Budget(BudgetKind.Steps, 1) }, MeasuredSeconds, cancel);
                seconds[i][j] = step.Steps(c.Budget) * step.Seconds;
                scoring[i][j] = Forward * step.Seconds * Math.Min(HeldOutBytes, text.HeldOutLength) / step.Bytes;
                if (options.Budget is not null && step.Steps(c.Budget) < 1)
                {
                    throw new InputException($"--budget {asked} does not pay one step of '{configs[i].Name}' ({c.Name}) at each rate, which takes {Human.Flops(step.Flops)} FLOPs, {step.Bytes:0} bytes of text and "
                        + $"{Human.Duration(step.Seconds)} here; the budget is each training's: give more, such as {new Budget(asked.Kind, asked.Kind == BudgetKind.Data ? 1e6 : asked.Kind == BudgetKind.Flops ? 1e12 : 60)}");
                }
            }
        }

        if (options.Budget is not null)
        {
            return new TextPlan(key, asked.ToString(), With(1));
        }

        double All(double[][] each) => Enumerable.Range(0, configs.Length).Sum(i => Total(i, (m, c) => each[m][c]));
        double amount = Planner.RoundBelow(asked.Amount * Math.Max(0.2, 1 - (All(scoring) / DefaultSeconds)) * DefaultSeconds / All(seconds));
        return new TextPlan(key, new Budget(asked.Kind, amount).ToString(), With(amount / asked.Amount));

        IReadOnlyList<IReadOnlyList<double>> With(double times) => [.. seconds.Zip(scoring, (t, s) => (IReadOnlyList<double>)[.. t.Zip(s, (a, b) => (a * times) + b)])];
    }

    private static Budget Scaled(Budget budget, double scale) => scale == 1 ? budget : new Budget(budget.Kind, budget.Kind is BudgetKind.Data or BudgetKind.Steps ? Math.Max(1, Math.Round(budget.Amount * scale)) : budget.Amount * scale);

    private double TotalSeconds => Enumerable.Range(0, configs.Length).Sum(i => Total(i, (m, c) => plan.Seconds[m][c]));

    /// <summary>What a model's trainings take together, by what one under each condition takes.</summary>
    private double Total(int model, Func<int, int, double> each) => Enumerable.Range(0, conditions[model].Length).Sum(c => each(model, c) * Trainings(c));

    private int Trainings(int condition) => options.Seeds + (IsSwept(condition) ? Rates(configs[0]).Count - 1 : 0);

    private bool IsSwept(int condition) => task.SweepsEach || condition == 0;

    private IReadOnlyList<double> Rates(ModelConfig config) => !task.Trains ? [0] : options.Rates ?? RateSweep.Around(config, Factors);

    /// <summary>All conditions of one model.</summary>
    private TextModel Try(int index)
    {
        var done = new List<TextCondition>();
        double best = double.NaN;
        for (int c = 0; c < conditions[index].Length; c++)
        {
            Condition condition = conditions[index][c];
            IReadOnlyList<double> rates = IsSwept(c) ? Rates(Config(condition)) : [best];
            var sweep = new List<TextTraining>();
            foreach (double rate in rates)
            {
                // What is measured only of the best so far saves time; the last of those is the best of all.
                double beaten = sweep.Select(t => t.BitsPerByte).Where(double.IsFinite).DefaultIfEmpty(double.PositiveInfinity).Min();
                sweep.Add(Train(index, c, rates.Count > 1 ? ProbePhase.Sweeping : ProbePhase.Repeating, sweep.Count + 1, rates.Count, rate, 1, beaten));
            }

            TextTraining first = sweep.Where(t => double.IsFinite(t.BitsPerByte)).MinBy(t => t.BitsPerByte) ?? sweep[0];
            best = first.Rate;
            var trainings = new List<TextTraining> { first };
            while (trainings.Count < options.Seeds)
            {
                trainings.Add(Train(index, c, ProbePhase.Repeating, trainings.Count + 1, options.Seeds, best, trainings.Count + 1, double.PositiveInfinity));
            }

            var model = new LanguageModel(Config(condition), device, 1);
            done.Add(new TextCondition(condition.Name, condition.X, condition.Model.Blocks.ToString(), model.ParameterCount(), condition.Context, best,
                rates.Count > 1 ? [.. sweep.Select(t => t with { Found = [] })] : [], trainings));
        }

        Send(index, ProbePhase.Done, fraction: 1);
        return new TextModel(configs[index].Name, configs[index].Blocks.ToString(), configs[index].Width, done);
    }

    /// <summary>One training, unless it is kept already; measured if it is better than <paramref name="beaten"/> bits a byte.</summary>
    private TextTraining Train(int index, int at, ProbePhase phase, int number, int of, double rate, int seed, double beaten)
    {
        Condition condition = conditions[index][at];
        double planned = plan.Seconds[index][at], of1 = Total(index, (m, c) => plan.Seconds[m][c]);
        double before = Enumerable.Range(0, index).Sum(i => Total(i, (m, c) => plan.Seconds[m][c]));
        ModelConfig config = Config(condition);
        TrainingOptions how = Training(condition, rate, seed);
        string key = $"{common}; source {condition.Source.Fingerprint}; model {Encoding.UTF8.GetString((config with { Name = "any" }).ToJson())}; condition {condition.Name} at {condition.X:R}; "
            + $"batch {condition.Batch} x {condition.Context}; budget {condition.Budget}; rate {rate:R}; seed {seed}; measured below {beaten:R}";
        string path = Kept.PathOf(folder, key);
        TextTraining? training = Kept.Read(path, TextJson.Default.KeptTraining) is { } kept && kept.Key == key ? kept.Training : null;
        if (training is null)
        {
            training = Train(condition, config, how, beaten, (done, bits) => Tell(done, bits));
            Kept.Write(path, new KeptTraining(key, training), TextJson.Default.KeptTraining);
        }

        behind += planned;
        Send(index, phase, number, of, rate, Part(0), 1, training.BitsPerByte,
            note: double.IsNaN(training.BitsPerByte) ? $"{condition.Name}: diverged at a rate of {rate:R}" : $"{condition.Name}: {training.BitsPerByte:0.000} bits/byte held out, rate {rate:R}, seed {seed}");
        return training;

        // Sums of planned seconds are rounded.
        double Part(double done) => Math.Clamp((behind - before + (done * planned)) / of1, 0, 1);
        void Tell(double done, double bits) => Send(index, phase, number, of, rate, Part(done), done, bits, done * planned);
    }

    private TextTraining Train(Condition condition, ModelConfig config, TrainingOptions how, double beaten, Action<double, double> tell)
    {
        var model = new LanguageModel(config, device, how.Seed);
        using var trainer = new Trainer(model, condition.Source, how);
        var pace = new Pace();
        double bits = double.NaN;
        try
        {
            tell(0, double.NaN);
            if (task.Trains)
            {
                trainer.Run(step =>
                {
                    cancel.ThrowIfCancellationRequested();
                    if (pace.IsDue(step.BitsPerByte))
                    {
                        tell((double)step.Step / trainer.TotalSteps, pace.Loss);
                    }
                });
            }

            bits = Evaluation.HeldOut(model, condition.Source, condition.Context, atMost: HeldOutBytes).BitsPerByte;
        }
        catch (TrainingDivergedException)
        {
            // Said by the figure that is none.
        }

        var found = new List<TextPoint>();
        if (bits < beaten)
        {
            task.Measure(new TrainedText(model, condition, text, bits, trainer.Flops, trainer.Bytes, trainer.Seconds), (quantity, x, value) => found.Add(new TextPoint(quantity, x, value)), cancel);
        }

        return new TextTraining(how.Rate!.Value, (int)how.Seed, trainer.Flops, trainer.Bytes, trainer.Seconds, bits, found);
    }

    private static ModelConfig Config(Condition condition) => condition.Model with { Vocabulary = condition.Source.Vocabulary, Context = condition.Context };

    private static TrainingOptions Training(Condition condition, double rate, int seed) =>
        new() { Budget = condition.Budget, BatchSize = condition.Batch, Context = condition.Context, Rate = rate, Seed = (ulong)seed };

    private void Send(int index, ProbePhase phase, int number = 0, int of = 0, double rate = 0, double fraction = 0, double part = 0, double bits = double.NaN, double underWay = 0, string? note = null)
    {
        TimeSpan? remaining = plan is null || phase == ProbePhase.Preparing ? null : TimeSpan.FromSeconds(Math.Max(0, TotalSeconds - behind - underWay));
        send(new ProbeProgress(index, configs[index].Name, phase, number, of, rate, fraction, part, double.NaN, remaining, note) { BitsPerByte = bits });
    }
}

/// <summary>What a probe on a text has decided before its first training, kept so that an interrupted one goes on as it began.</summary>
/// <param name="Key">Everything that was asked for, as one text: another text is another probe.</param>
/// <param name="Budget">What each training gets.</param>
/// <param name="Seconds">Of one training of each model under each condition, as measured: for estimates.</param>
internal sealed record TextPlan(string Key, string Budget, IReadOnlyList<IReadOnlyList<double>> Seconds)
{
    public const string FileName = "plan.json";
}
