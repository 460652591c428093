using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Weft.Lab.Report;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab.Tasks;

/// <summary>
/// Trains several models on a task, each at several learning rates and from several seeds, scores them at all difficulties, and writes
/// <c>report.json</c>. Every finished trial is kept beside the report: an interrupted probe that is asked for again goes on with the next one.
/// As many trials run at once as there are threads, since small models gain little from more than one each.
/// </summary>
public sealed class Probe
{
    /// <summary>The folder of the finished trials, beside the report.</summary>
    public const string TrialsFolder = "weft-trials";

    private static readonly double[] Factors = [0.16, 0.4, 1, 2.5]; // of the rate that suits a model's mixers on text

    private readonly LabTask task;
    private readonly ProbeOptions options;
    private readonly Action<ProbeProgress> send;
    private readonly Device[] devices; // one for each trial at once
    private readonly CancellationToken cancel;
    private readonly ModelConfig[] configs;
    private readonly (double Rate, double Decay)[][] tried; // of each model
    private readonly string trials, common;
    private ProbePlan plan = null!;

    // For the estimate of the time left, all in planned seconds but for the clock's: what lies behind, what of it was worked off here, and when that began.
    private double behind, worked;
    private long began;
    private double[] finished = []; // of each model, in trials; one under way counts in part
    private List<string>[] underWay = []; // of each model: the trials, by their files

    private Probe(LabTask task, ProbeOptions options, Action<ProbeProgress> progress, CancellationToken cancel)
    {
        (this.task, this.options, send, this.cancel) = (task, options, progress, cancel);
        configs = [.. (options.Models ?? task.Models).Select(word => Presets.Resolve(word, options.Width ?? task.Width, BlockTable.Names) with { Vocabulary = task.Vocabulary, Context = task.TrainOn.Max(task.Length) })];
        tried = [.. configs.Select(config => (options.Rates ?? (task.Rates.Count > 0 ? task.Rates : RateSweep.Around(config, Factors)))
            .SelectMany(rate => task.Decays.Select(decay => (rate, decay))).ToArray())];
        if (configs.Length == 0 || options.Seeds < 1 || tried.Any(t => t.Length == 0))
        {
            throw new InputException("a probe needs a model, a learning rate and a seed, at least");
        }

        devices = Devices(options, Enumerable.Range(0, configs.Length).Sum(i => tried[i].Length == 1 ? options.Seeds : tried[i].Length));
        trials = Path.Combine(options.Out, TrialsFolder);
        Device device = devices[0];
        common = $"probe {ProbeReport.CurrentVersion}; task {task.Name}, examples {Examples(task)}; precision {device.Precision.Word()}, {device.InstructionSet}, threads {device.Threads}";
    }

    /// <summary>Runs a probe, or goes on with an interrupted one in the same folder.</summary>
    /// <param name="task">What is to be learned.</param>
    /// <param name="options">By which models.</param>
    /// <param name="progress">Called a few times a second, from any thread but never from two at once.</param>
    /// <param name="cancel">Stops at the next step; the trial under way begins again another time.</param>
    /// <exception cref="InputException">A model, the budget or the folder will not do.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; the same call goes on.</exception>
    public static ProbeReport Run(LabTask task, ProbeOptions options, Action<ProbeProgress> progress, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(task);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(progress);
        var probe = new Probe(task, options, progress, cancel);
        try
        {
            return probe.Run();
        }
        finally
        {
            Array.ForEach(probe.devices, d => d.Dispose());
        }
    }

    /// <summary>A device for each of <paramref name="trials"/> that may run at once: no more than there are threads, which they share evenly.</summary>
    internal static Device[] Devices(ProbeOptions options, int trials)
    {
        int threads = options.Threads > 0 ? options.Threads : Environment.ProcessorCount, count = Math.Clamp(trials, 1, threads);
        var devices = new Device[count];
        for (int i = 0; i < count; i++)
        {
            devices[i] = Device.Open(threads / count, options.Precision ?? Device.FastestPrecision);
        }

        return devices;
    }

    private ProbeReport Run()
    {
        Prepare();
        began = Stopwatch.GetTimestamp();
        (finished, underWay) = (new double[configs.Length], [.. configs.Select(_ => new List<string>())]);
        var queue = new TrialQueue([.. tried.Select(t => t.Length)], options.Seeds, Best, Finish);
        queue.Run(devices, Try, cancel);
        ProbedModel[] models = [.. configs.Select((_, i) => Probed(i, queue.Sweep(i), queue.Repeated(i)))];

        var report = new ProbeReport
        {
            Task = new ProbedTask(task.Name, task.Line, task.Source, task.Axis, task.TrainOn, task.Main) { TrainingSet = task.TrainingSet },
            Budget = plan.Budget,
            Seeds = options.Seeds,
            Machine = MachineInfo.Of(devices[0]) with { Threads = devices.Sum(d => d.Threads) },
            Command = options.Command + (options.Budget is null ? $" --budget {plan.Budget}" : ""),
            Models = models,
        };
        report = report with { Findings = ProbeFindings.Of(report) };
        report.Write(Path.Combine(options.Out, "report.json"));
        ProbePage.Write(report, Path.Combine(options.Out, "report.html"));
        return report;
    }

    /// <summary>Finds the plan that an interrupted probe left, or makes one.</summary>
    private void Prepare()
    {
        RequireNoBytes(options.Budget);
        string key = $"{common}; budget {options.Budget?.ToString() ?? "default"}; seeds {options.Seeds}; "
            + string.Join("; ", configs.Select((c, i) => $"{c.Name} = {c.Blocks} at {c.Width}, rates {string.Join(' ', tried[i].Select(t => task.Decays.Count > 1 ? $"{t.Rate}/{t.Decay}" : $"{t.Rate}"))}"));
        string path = Path.Combine(trials, ProbePlan.FileName);
        ProbePlan? found = Kept.Read(path, ProbeJson.Default.ProbePlan);
        bool isSame = found?.Key == key && found.Seconds.Count == configs.Length;
        if (!isSame && !options.Force)
        {
            ReportFolder.RequireNoOther(options.Out, task.Name);
        }

        if (isSame)
        {
            plan = found!;
        }
        else
        {
            plan = ProbePlan.Make(key, task, configs, devices, options.Budget, [.. Enumerable.Range(0, configs.Length).Select(Trials)], i => Send(i, ProbePhase.Preparing), cancel);
            Kept.Write(path, plan, ProbeJson.Default.ProbePlan);
        }

        Send(0, ProbePhase.Preparing, note: $"{Enumerable.Range(0, configs.Length).Sum(Trials)} trials of {plan.Budget}: at most {Human.Duration(Total / devices.Length)} here, less where the task is solved"
            + (isSame ? $"; those in {trials} are not done again" : ""));
    }

    /// <summary>Refuses a budget of text.</summary>
    internal static void RequireNoBytes(Budget? budget)
    {
        if (budget is { Kind: BudgetKind.Data } data)
        {
            throw new InputException($"--budget {data} is one of bytes, and a task has no text to learn from; give steps (1000steps), FLOPs (1e12flop) or a time (60s) for each trial");
        }
    }

    private int Trials(int index) => tried[index].Length + options.Seeds - 1;

    private double Total => plan.Seconds.Select((s, i) => s * Trials(i)).Sum();

    private int Best(IReadOnlyList<Trial> sweep) => Enumerable.Range(0, sweep.Count).Aggregate((a, b) => IsBetter(sweep[b], sweep[a]) ? b : a);

    private void Finish(int index, Trial best)
    {
        lock (devices)
        {
            Send(index, ProbePhase.Done, exact: Exact(best));
        }
    }

    private ProbedModel Probed(int index, IReadOnlyList<Trial> sweep, IReadOnlyList<Trial> repeated)
    {
        ModelConfig config = configs[index];
        Trial best = repeated[0];
        var model = new LanguageModel(config, devices[0], 1);
        return new ProbedModel(config.Name, config.Blocks.ToString(), config.Width, model.ParameterCount(),
            [.. task.ScoreOn.Select(d => model.Cost(1, task.Length(d) - 1).StateBytes)], best.Rate,
            [.. sweep.Select(t => ReferenceEquals(t, best) ? t : t with { Scores = [] })], repeated)
        { Decay = best.Decay };
    }

    /// <summary>One trial, unless it is kept already: at a rate of the sweep, from a seed.</summary>
    private Trial Try(Device device, int index, int at, int seed, CancellationToken stop)
    {
        (double rate, double decay) = tried[index][at];
        (ProbePhase phase, int number, int of) = seed == 1 ? (ProbePhase.Sweeping, at + 1, tried[index].Length) : (ProbePhase.Repeating, seed, options.Seeds);
        double planned = plan.Seconds[index];
        var how = new TrialOptions(Budget.Parse(plan.Budget), rate, (ulong)seed, task.Decays.Count > 1 ? decay : null, Examples: task.TestSet);
        string key = $"{common}; model {Encoding.UTF8.GetString((configs[index] with { Name = "any" }).ToJson())}; {how}";
        string path = Kept.PathOf(trials, key);
        Trial? trial = Kept.Read(path, ProbeJson.Default.KeptTrial) is { } kept && kept.Key == key && !kept.Trial.Curve.Contains(null!) ? kept.Trial : null;
        bool isNew = trial is null;
        double part = 0;
        if (trial is null)
        {
            lock (devices)
            {
                underWay[index].Add(path);
            }

            var pace = new Pace();
            Tell(0, double.NaN);
            trial = TaskTrial.Run(task, configs[index], device, how, score: true, (done, last) =>
            {
                if (pace.IsDue(0))
                {
                    Tell(done, last?.Exact ?? double.NaN);
                }
            }, stop) with
            { Decay = how.Decay };
            Kept.Write(path, new KeptTrial(key, trial), ProbeJson.Default.KeptTrial);
        }

        Tell(1, Exact(trial), trial.HasDiverged ? $"diverged at a rate of {rate:R}" : null);
        return trial;

        void Tell(double done, double exact, string? note = null)
        {
            lock (devices)
            {
                double more = done - part;
                finished[index] += more;
                behind += more * planned;
                worked += isNew ? more * planned : 0;
                part = done;
                bool isShown = underWay[index].IndexOf(path) <= 0; // of several of one model the first, so that its row does not jump
                if (done == 1)
                {
                    underWay[index].Remove(path);
                }

                if (isShown || note is not null)
                {
                    Send(index, phase, number, of, rate, done, exact, note);
                }
            }
        }
    }

    // A rate at which learning diverges is the worst; one that solves the task is as good as another, and then the faster one is better.
    private bool IsBetter(Trial a, Trial b) => Rank(a).CompareTo(Rank(b)) < 0;

    private (bool HasDiverged, double Error, long Samples, double Loss) Rank(Trial trial) =>
        (trial.HasDiverged, trial.SamplesToSolve is null ? 1 - (task.CountsTokens ? trial.Last?.Correct ?? 0 : Exact(trial)) : 0, trial.SamplesToSolve ?? long.MaxValue, trial.Last is { Loss: var loss } && !double.IsNaN(loss) ? loss : double.PositiveInfinity);

    private static double Exact(Trial trial) => trial.HasDiverged ? 0 : trial.Last?.Exact ?? 0;

    /// <summary>A text that is another wherever the task is: its numbers, and an example of each difficulty.</summary>
    private static string Examples(LabTask task)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes($"{task.Vocabulary} {task.Batch} {task.Main} {string.Join('/', task.Decays)}: {string.Join(' ', task.TrainOn)}: {string.Join(' ', task.ScoreOn)}"));
        if (task.TrainingSet is { } set)
        {
            hash.AppendData(Encoding.UTF8.GetBytes($"; {set} examples"));
        }

        foreach (int difficulty in task.TrainOn.Concat(task.ScoreOn).Distinct())
        {
            int[] tokens = new int[task.Length(difficulty)], targets = new int[tokens.Length];
            task.Make(new RandomSource(1), difficulty, tokens, targets);
            hash.AppendData(MemoryMarshal.AsBytes<int>(tokens));
            hash.AppendData(MemoryMarshal.AsBytes<int>(targets));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset())[..16];
    }

    private void Send(int index, ProbePhase phase, int trial = 0, int of = 0, double rate = 0, double part = 0, double exact = double.NaN, string? note = null)
    {
        (TimeSpan? remaining, double fraction) = (null, 0);
        if (phase != ProbePhase.Preparing)
        {
            const double settled = 5; // planned seconds, before which the clock says little
            double pace = worked > settled ? Stopwatch.GetElapsedTime(began).TotalSeconds / worked : 1.0 / devices.Length;
            remaining = TimeSpan.FromSeconds(Math.Max(0, Total - behind) * Math.Min(pace, 1e3));
            fraction = phase == ProbePhase.Done ? 1 : Math.Clamp(finished[index] / Trials(index), 0, 1); // sums of parts are rounded
        }

        send(new ProbeProgress(index, configs[index].Name, phase, trial, of, rate, fraction, part, exact, remaining, note));
    }
}
