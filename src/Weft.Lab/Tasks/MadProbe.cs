using System.Globalization;
using Weft.Lab.Report;
using Weft.Lab.TextTasks;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab.Tasks;

/// <summary>
/// Runs MAD's grid: a <see cref="Probe"/> of each setting into a folder of its own, which goes on where it was interrupted, and over all of them the
/// mean accuracies as <c>report.json</c> and <c>report.html</c>.
/// </summary>
public static class MadProbe
{
    private const double AtFirst = 0.3, MeasuredSeconds = 2, Long = 60; // of each model; longer where all of it takes longer
    private const double Forward = 1.0 / 3; // of a training step's time, for what is only scored

    /// <summary>Runs a grid, or goes on with an interrupted one in the same folder.</summary>
    /// <param name="grid">Which settings.</param>
    /// <param name="options">By which models.</param>
    /// <param name="progress">Called a few times a second, from any thread but never from two at once; first of all with a note of how long it will take.</param>
    /// <param name="cancel">Stops at the next step; the trial under way begins again another time.</param>
    /// <exception cref="InputException">A model, the budget or the folder will not do.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; the same call goes on.</exception>
    public static TextReport Run(MadGrid grid, ProbeOptions options, Action<ProbeProgress> progress, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(grid);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(progress);
        Probe.RequireNoBytes(options.Budget);
        options = options with { Models = options.Models ?? MadGrid.Models };
        MadPlan plan = Prepare(grid, options, progress, cancel);
        double[] done = new double[options.Models.Count], total = [.. done.Select((_, m) => plan.Seconds.Sum(s => s[m]))];
        double left = total.Sum();
        var reports = new List<ProbeReport>();
        foreach (MadSetting setting in grid.Settings)
        {
            IReadOnlyList<double> seconds = plan.Seconds[reports.Count];
            bool isLast = reports.Count == grid.Settings.Count - 1;
            left -= seconds.Sum();
            reports.Add(Probe.Run(setting, options with { Out = Path.Combine(options.Out, setting.Name), Budget = options.Budget ?? setting.Budget }, Report, cancel));
            for (int m = 0; m < done.Length; m++)
            {
                done[m] += seconds[m];
            }

            void Report(ProbeProgress p)
            {
                if (p.Phase == ProbePhase.Preparing && p.Note is null)
                {
                    return; // a fraction of a second for each setting
                }

                string? note = p.Phase == ProbePhase.Preparing ? $"setting {reports.Count + 1} of {grid.Settings.Count}: {setting.Name}" : p.Note is null ? null : $"{setting.Name}: {p.Note}";
                progress(p with
                {
                    Phase = p.Phase == ProbePhase.Done && !isLast ? ProbePhase.Preparing : p.Phase,
                    Fraction = Math.Min(1, (done[p.Model] + (p.Fraction * seconds[p.Model])) / total[p.Model]),
                    Remaining = p.Remaining + TimeSpan.FromSeconds(left),
                    Note = note,
                });
            }
        }

        TextReport report = MadReport.Of(grid, options, reports);
        report.Write(Path.Combine(options.Out, "report.json"));
        TextPage.Write(report, Path.Combine(options.Out, "report.html"));
        return report;
    }

    /// <summary>Refuses a folder of something else, and estimates what each setting takes.</summary>
    private static MadPlan Prepare(MadGrid grid, ProbeOptions options, Action<ProbeProgress> progress, CancellationToken cancel)
    {
        Device[] devices = Probe.Devices(options, options.Models!.Count * grid.Settings.Min(s => Trials(s, options) - options.Seeds + 1));
        try
        {
            return Prepare(grid, options, devices, progress, cancel);
        }
        finally
        {
            Array.ForEach(devices, d => d.Dispose());
        }
    }

    private static MadPlan Prepare(MadGrid grid, ProbeOptions options, Device[] devices, Action<ProbeProgress> progress, CancellationToken cancel)
    {
        Device device = devices[0];
        ModelConfig[] configs = [.. options.Models!.Select(word => Presets.Resolve(word, options.Width ?? grid.Scale.Width, BlockTable.Names))];
        string key = string.Create(CultureInfo.InvariantCulture, $"{grid.Name} grid {string.Join(' ', grid.Settings.Select(s => s.Name))}; {string.Join("; ", configs.Select(c => $"{c.Name} = {c.Blocks} at {c.Width}"))}; ")
            + $"budget {options.Budget?.ToString() ?? "default"}; seeds {options.Seeds}; rates {string.Join(' ', options.Rates ?? grid.Scale.Rates)}; precision {device.Precision.Word()}, {device.InstructionSet}, threads {device.Threads}";
        string path = Path.Combine(options.Out, Probe.TrialsFolder, MadPlan.FileName);
        MadPlan? plan = Kept.Read(path, ProbeJson.Default.MadPlan);
        bool isSame = plan?.Key == key && plan.Seconds.Count == grid.Settings.Count && plan.Seconds.All(s => s.Count == configs.Length);
        if (!isSame)
        {
            if (!options.Force)
            {
                ReportFolder.RequireNoOther(options.Out, MadGrid.Task);
            }

            var seconds = new double[configs.Length][];
            for (int m = 0; m < configs.Length; m++)
            {
                progress(new ProbeProgress(m, configs[m].Name, ProbePhase.Preparing, 0, 0, 0, 0, 0, double.NaN, null));
                seconds[m] = [.. Estimate(grid, options, configs[m], device, cancel).Select(s => s / devices.Length)];
            }

            plan = new MadPlan(key, [.. grid.Settings.Select((_, s) => (IReadOnlyList<double>)[.. seconds.Select(of => of[s])])]);
            Kept.Write(path, plan, ProbeJson.Default.MadPlan);
        }

        progress(new ProbeProgress(0, configs[0].Name, ProbePhase.Preparing, 0, 0, 0, 0, 0, double.NaN, null,
            $"{grid.Settings.Count} settings, {grid.Settings.Sum(s => Trials(s, options))} trials a model: at most about {Human.Duration(plan!.Seconds.Sum(s => s.Sum()))} here, less where a task is solved"
                + (isSame ? $"; finished ones in {options.Out} are not done again" : "")));
        return plan;
    }

    private static int Trials(MadSetting setting, ProbeOptions options) => ((options.Rates ?? setting.Rates).Count * setting.Decays.Count) + options.Seeds - 1;

    /// <summary>What all trials of a model take at each setting: steps of the first setting, measured, times the counted FLOPs of the others.</summary>
    private static double[] Estimate(MadGrid grid, ProbeOptions options, ModelConfig config, Device device, CancellationToken cancel)
    {
        double[] costs = [.. grid.Settings.Select(Cost)];
        Measure(AtFirst); // code that is still being compiled
        double[] seconds = All(Measure(AtFirst));
        return seconds.Sum() > Long ? All(Measure(MeasuredSeconds)) : seconds;

        Trial Measure(double time) =>
            TaskTrial.Run(grid.Settings[0], config, device, new TrialOptions(new Budget(BudgetKind.Time, time), 1e-6, 1, Examples: 1, Evaluations: 1), score: false, null, cancel);

        double[] All(Trial measured) => [.. grid.Settings.Select((setting, s) =>
        {
            double example = measured.Seconds / measured.Samples * costs[s] / costs[0], step = example * setting.Batch;
            Budget budget = options.Budget ?? setting.Budget;
            double learning = budget.Kind switch
            {
                BudgetKind.Steps => budget.Amount * step,
                BudgetKind.Flops => budget.Amount * measured.Seconds / measured.Flops,
                _ => budget.Amount,
            };
            double looks = 1 + Math.Min(new TrialOptions(budget, 1, 1).Evaluations, learning / step);
            return Trials(setting, options) * (learning + (looks * setting.TestSet * Forward * example));
        })];

        double Cost(MadSetting setting) => new LanguageModel(config with { Vocabulary = setting.Vocabulary, Context = setting.Length(setting.Main) }, device, 1).Cost(setting.Length(setting.Main), 0).Flops;
    }
}

/// <summary>What a grid takes, kept so that an interrupted one is known again.</summary>
/// <param name="Key">Everything that was asked for, as one text: another text is another grid.</param>
/// <param name="Seconds">Of each setting, by model.</param>
internal sealed record MadPlan(string Key, IReadOnlyList<IReadOnlyList<double>> Seconds)
{
    public const string FileName = "grid.json";
}
