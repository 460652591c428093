using Weft.Lab.Tasks;
using Weft.Lab.TextTasks;

namespace Weft.Lab.Report;

/// <summary>
/// What MAD's grid says: the share of tokens right at each setting, its mean over the settings of each task, and the mean of the tasks, which the
/// source calls the MAD score; each for each seed. Findings are made by fixed rules from these figures alone.
/// </summary>
internal static class MadReport
{
    public const string Score = "score";
    private const double ExamplesDoubt = 0.02; // of a score, from a few hundred examples

    /// <summary>Makes the report of a grid from those of its settings, which are in its order.</summary>
    public static TextReport Of(MadGrid grid, ProbeOptions options, IReadOnlyList<ProbeReport> settings)
    {
        IGrouping<string, MadSetting>[] kinds = [.. grid.Settings.GroupBy(s => s.Kind)];
        Tick[] tasks = [new(1, "mean"), .. kinds.Select((k, i) => new Tick(i + 2, k.Key))];
        Quantity[] quantities =
        [
            new(Score, "MAD score", "Tokens right: the mean over the settings of each task, and the mean of the tasks.", Better.Higher) { Unit = "share", Axis = "task", Ticks = tasks },
            .. kinds.Select(k => new Quantity(k.Key, k.First().Title, $"{Sentence.Upper(k.First().Line)}. Tokens right, a model trained anew for each setting.", Better.Higher)
            {
                Unit = "share",
                Axis = "setting",
                Ticks = [.. k.Select((s, i) => new Tick(i + 1, s.Change.Length > 0 ? s.Change : "baseline"))],
            }),
        ];
        TextModel[] models = [.. settings[0].Models.Select((m, i) => Of(grid, kinds, settings, i))];
        var report = new TextReport
        {
            Task = new AskedOfText(MadGrid.Task, MadGrid.Line, MadGrid.Source, "setting", [], quantities),
            Text = null,
            About = grid.About + (options.Budget is null && options.Rates is null && options.Width is null ? "" : " Width, rates or budget were given otherwise on the command line.")
                + " Each setting's folder has a report of its own, with its sweep.",
            Budget = options.Budget?.ToString() ?? grid.Scale.Told,
            Seeds = options.Seeds,
            Machine = settings[0].Machine,
            Command = options.Command,
            Models = models,
        };
        return report with { Findings = Findings(grid, report, settings) };
    }

    private static TextModel Of(MadGrid grid, IGrouping<string, MadSetting>[] kinds, IReadOnlyList<ProbeReport> settings, int model)
    {
        var conditions = new List<TextCondition>();
        foreach (MadSetting setting in grid.Settings)
        {
            ProbedModel probed = settings[conditions.Count].Models[model];
            double x = 1 + kinds.Single(k => k.Key == setting.Kind).ToList().IndexOf(setting);
            conditions.Add(new TextCondition(setting.Name, x, probed.Pattern, probed.Parameters, setting.Length(setting.Main), probed.Rate, [],
                [.. probed.Trials.Select(t => Training(t.Rate, t.Seed, t.Flops, t.Seconds, [.. t.Scores.Select(s => new TextPoint(setting.Kind, x, s.Correct))]))]));
        }

        ProbedModel first = settings[0].Models[model];
        TextTraining[] means = [.. first.Trials.Select((t, seed) =>
        {
            TextTraining[] all = [.. conditions.Select(c => c.Trainings[seed])];
            double[] shares = [.. kinds.Select(k => Mean(all.SelectMany(a => a.Found).Where(f => f.Quantity == k.Key).Select(f => f.Value)))];
            TextPoint[] found = [new(Score, 1, Mean(shares)), .. shares.Select((share, i) => new TextPoint(Score, i + 2, share))];
            return Training(double.NaN, t.Seed, all.Sum(a => a.Flops), all.Sum(a => a.Seconds), [.. found.Where(f => double.IsFinite(f.Value))]);
        })];
        return new TextModel(first.Name, first.Pattern, first.Width,
            [new TextCondition("all settings", 0, first.Pattern, first.Parameters, conditions.Max(c => c.Context), double.NaN, [], means), .. conditions]);
    }

    private static TextTraining Training(double rate, int seed, double flops, double seconds, IReadOnlyList<TextPoint> found) => new(rate, seed, flops, 0, seconds, double.NaN, found);

    private static double Mean(IEnumerable<double> values) => values.DefaultIfEmpty(double.NaN).Average();

    private static List<string> Findings(MadGrid grid, TextReport report, IReadOnlyList<ProbeReport> settings)
    {
        Quantity score = report.Task.Quantities[0];
        List<string> findings = [$"MAD score: {Standing(report, score, 1)}"];
        foreach ((Quantity q, int i) in report.Task.Quantities.Skip(1).Select((q, i) => (q, i)))
        {
            double[] xs = [.. q.Ticks!.Select(t => t.X).Where(x => report.Models.All(m => m.At(q.Name, x).Count > 0))];
            string apart = "";
            if (xs.Length > 1 && report.Models.Count > 1)
            {
                double x = xs.MaxBy(x => report.Models.Max(m => m.Mean(q.Name, x)) - report.Models.Min(m => m.Mean(q.Name, x)));
                apart = $" Furthest apart at {report.Point(q, x)}: {Sentence.List(report.Models.OrderByDescending(m => m.Mean(q.Name, x)).Select(m => Told(m, q, x)))}.";
            }

            findings.Add($"{q.Title}: {Standing(report, score, i + 2)}{apart}");
        }

        ProbedModel[] all = [.. settings.SelectMany(s => s.Models)];
        if (all.Count(m => m.Trials.All(t => t.HasDiverged)) is > 0 and int lost)
            findings.Add($"Diverged: {lost} of {all.Length} models of a setting have no result, at any rate; means leave them out.");
        double[] rates = [.. all.SelectMany(m => m.Sweep).Select(t => t.Rate).Distinct().Order()];
        if (rates.Length > 1)
            findings.Add($"Learning rates: the best was the highest tried, {rates[^1]:G3}, in {all.Count(m => m.Rate == rates[^1])} of {all.Length} sweeps, and the lowest, {rates[0]:G3}, in {all.Count(m => m.Rate == rates[0])}; beyond them others may be better still.");
        findings.Add($"How sure: {(report.Seeds > 1 ? $"{report.Seeds} seeds a figure; a lead inside their spread, or of less than {100 * ExamplesDoubt:0} points, is said to be none." : $"One seed, so the spread between seeds is unknown, and leads of less than {100 * ExamplesDoubt:0} points are said to be none; --seeds 3 measures it.")} All of it holds for these budgets and model sizes."
            + (grid.Name == MadGrid.Mini.Name ? " The mini grid is a reduced one; its figures are not the source's." : ""));
        return findings;
    }

    // What each model has, from the best, and whether its lead means anything.
    private static string Standing(TextReport report, Quantity q, double x)
    {
        TextModel[] ranked = [.. report.Models.Where(m => m.At(q.Name, x).Count > 0).OrderByDescending(m => m.Mean(q.Name, x))];
        if (ranked.Length == 0)
            return "no figure, all diverged.";
        TextModel[] tied = [.. ranked.Skip(1).Where(m => IsTied(ranked[0].At(q.Name, x), m.At(q.Name, x)))];
        string lead = ranked.Length == 1 ? ""
            : tied.Length == 0 ? $" {ranked[0].Name} is best."
            : tied.Length == ranked.Length - 1 ? " None leads beyond doubt."
            : $" {ranked[0].Name} is not told apart from {Sentence.List(tied.Select(m => m.Name))}.";
        return $"{Sentence.List(ranked.Select(m => Told(m, q, x)))}.{lead}";
    }

    private static string Told(TextModel model, Quantity q, double x) => $"{model.Name} {SeedFigures.Told(model.At(q.Name, x), q.Told)}";

    private static bool IsTied(IReadOnlyList<double> a, IReadOnlyList<double> b) => Math.Abs(a.Average() - b.Average()) < ExamplesDoubt || SeedFigures.Overlap(a, b);
}
