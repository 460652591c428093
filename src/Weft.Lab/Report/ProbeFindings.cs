using Weft.Lab.Tasks;

namespace Weft.Lab.Report;

/// <summary>
/// Says in plain words what a probe found. Each finding is one string, "Topic: sentences", made by fixed rules from the report's figures
/// alone: the same figures give the same words. What lies inside the spread of seeds is said to.
/// </summary>
public static class ProbeFindings
{
    /// <summary>With one seed, differences in accuracy below this are taken for noise.</summary>
    public const double SingleSeedDoubt = 0.05;

    /// <summary>Differences in accuracy up to this are taken for equal whatever the seeds say: they are a few of the examples scored.</summary>
    public const double ExamplesDoubt = 0.01;

    /// <summary>With one seed, numbers of samples within this ratio are taken for equal.</summary>
    public const double SamplesDoubt = 1.5;

    private const double Half = 0.5;
    private const double StillLearning = 0.05; // of its loss, in the last quarter of the samples

    /// <summary>Derives the findings, the most important first.</summary>
    public static IReadOnlyList<string> Of(ProbeReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        List<string> findings = [];
        Solving(report, findings);
        Harder(report, findings);
        State(report, findings);
        Standing(report, findings);
        Diverging(report, findings);
        findings.AddRange(RateFindings.Of([.. report.Models.Select(m => new RateFindings.Swept(m.Name, m.Rate, [.. m.Sweep.Select(t => t.Rate).Distinct()]))]));
        Certainty(report, findings);
        return findings;
    }

    private static void Solving(ProbeReport report, List<string> findings)
    {
        string main = On(report, report.Task.Main);
        ProbedModel[] tried = [.. report.Models.Where(m => m.Trials.Count > 0)];
        ProbedModel[] solved = [.. tried.Where(m => m.SamplesToSolve() is not null).OrderBy(m => m.SamplesToSolve())];
        ProbedModel[] partly = [.. tried.Except(solved).Where(m => m.Solved() > 0)], never = [.. tried.Where(m => m.Solved() == 0)];
        List<string> said = [];
        if (tried.Length == 0)
            said.Add("No model was trained.");
        else if (solved.Length == 0 && partly.Length == 0)
            said.Add($"No model solved {main} within {Samples(tried.Max(m => m.MostSamples()))} samples.");
        if (solved.Length > 0)
        {
            ProbedModel quick = solved[0];
            double least = quick.SamplesToSolve()!.Value;
            said.Add($"{quick.Name} solves {main} after {Samples(least)} samples{Over(quick)}{(solved.Length > 1 ? ", the quickest" : tried.Length > 1 ? ", alone" : "")}.");
            ProbedModel[] equal = [.. solved.Skip(1).Where(m => Level(quick, m))], later = [.. solved.Skip(1).Except(equal)];
            if (later.Length > 0)
                said.Add($"{Sentence.List(later.Select(m => $"{m.Name} needs {Samples(m.SamplesToSolve()!.Value)}{Over(m)}, {Sentence.Ratio(m.SamplesToSolve()!.Value / least)} times as many"))}.");
            if (equal.Length > 0)
                said.Add($"{Sentence.List(equal.Select(m => $"{m.Name} needs {Samples(m.SamplesToSolve()!.Value)}{Over(m)}"))}: {(Counted(equal.Append(quick)) > 1 ? $"inside the spread of seeds, no different from {quick.Name}" : $"with one seed too close to {quick.Name} to tell")}.");
        }
        foreach (ProbedModel m in partly)
            said.Add($"{m.Name} solves it from {m.Solved()} of {m.Trials.Count} seeds.");
        if (never.Length > 0 && solved.Length + partly.Length > 0)
            said.Add($"Not solved: {Sentence.List(never.Select(m => m.Exact(report.Task.Main) is { Count: > 0 } exact ? $"{m.Name} (within {Samples(m.MostSamples())} samples; {Share(exact.Average())} right)" : $"{m.Name} (diverged)"))}.");
        findings.Add($"Learning: {string.Join(" ", said)}");

        string Over(ProbedModel m) => m.Trials.Count > 1 ? $" (median of {(m.Solved() < m.Trials.Count ? $"{m.Trials.Count} seeds, of which {m.Solved()} solved it" : $"{m.Trials.Count} seeds")})" : "";
    }

    private static void Harder(ProbeReport report, List<string> findings)
    {
        int trained = report.Task.TrainOn.DefaultIfEmpty(report.Task.Main).Max();
        int[] past = [.. report.Difficulties().Where(d => d > trained)];
        ProbedModel[] scored = [.. report.Models.Where(m => m.Exact(report.Task.Main).Count > 0)];
        if (past.Length == 0 || scored.Length == 0)
            return;
        (ProbedModel Model, int? Falls)[] falls = [.. scored.Where(m => m.Exact(report.Task.Main).Average() >= Half).Select(m => (m, past.Where(d => m.Exact(d) is { Count: > 0 } e && e.Average() < Half).Select(d => (int?)d).FirstOrDefault()))];
        List<string> said = [];
        if (falls.Where(f => f.Falls is null).Select(f => f.Model).ToArray() is { Length: > 0 } holding)
            said.Add($"{Sentence.List(holding.Select(m => $"{m.Name} ({Share(m.Exact(past[^1]).Average())})"))} {(holding.Length > 1 ? "stay" : "stays")} at {Share(Half)} or more up to {On(report, past[^1])}, the hardest scored.");
        if (falls.Where(f => f.Falls is not null).OrderByDescending(f => f.Falls).ToArray() is { Length: > 0 } falling)
            said.Add($"Below {Share(Half)} {(falling.Length > 1 ? "fall" : "falls")} {Sentence.List(falling.Select(f => $"{f.Model.Name} at {f.Falls} ({Share(f.Model.Exact(f.Falls!.Value).Average())}{(Straddles(f.Model, f.Falls!.Value) ? ", but not from every seed" : "")})"))}.");
        if (scored.Except(falls.Select(f => f.Model)).Select(m => m.Name).ToArray() is { Length: > 0 } below)
            said.Add($"{Sentence.List(below)} {(below.Length > 1 ? "are" : "is")} below it at {On(report, report.Task.Main)} already.");
        findings.Add($"Past training: Training went up to {On(report, trained)}. {string.Join(" ", said)}");

        static bool Straddles(ProbedModel m, int difficulty) => m.Exact(difficulty).Max() >= Half;
    }

    /// <summary>How accuracy goes with state, among models whose state does not grow with the task, at the difficulty that tells them apart best.</summary>
    private static void State(ProbeReport report, List<string> findings)
    {
        int[] difficulties = [.. report.Difficulties()];
        ProbedModel[] all = [.. report.Models.Where(m => m.State.Count == difficulties.Length && m.Exact(report.Task.Main).Count > 0)];
        ProbedModel[] recurrent = [.. all.Where(m => m.State.Count > 1 && m.State.Distinct().Count() == 1).OrderBy(m => m.State[0]).ThenBy(m => m.Exact(report.Task.Main).Average())];
        int[] hard = [.. difficulties.Where(d => d >= report.Task.Main)];
        if (recurrent.Select(m => m.State[0]).Distinct().Count() < 2 || hard.Length == 0)
            return;
        int at = hard.MaxBy(d => recurrent.Max(m => Accuracy(m, d)) - recurrent.Min(m => Accuracy(m, d)));
        ProbedModel least = recurrent[0], most = recurrent[^1];
        double[] along = [.. recurrent.Select(m => Accuracy(m, at))];
        string verdict = recurrent.All(m => recurrent.All(o => Tied(m, o, at))) ? Counted(recurrent) > 1 ? $"the differences are inside the spread of seeds, or up to {Share(ExamplesDoubt)}" : $"with one seed differences below {Share(SingleSeedDoubt)} should not be trusted"
            : recurrent.Zip(recurrent.Skip(1)).All(p => Accuracy(p.Second, at) >= Accuracy(p.First, at) || Tied(p.First, p.Second, at)) ? "the more state, the more it gets right"
            : Accuracy(most, at) > Accuracy(least, at) && !Tied(most, least, at) ? "more with the most state than with the least, but not in order" : "more state does not mean more right here";
        string text = $"State: Among models whose state does not grow, at {On(report, at)}: {Sentence.List(recurrent.Select((m, i) => $"{m.Name} ({Sentence.Bytes(m.State[0])}) {Share(along[i])}"))}: {verdict}.";
        int index = Array.IndexOf(difficulties, at);
        ProbedModel[] growing = [.. all.Where(m => m.State.Distinct().Count() > 1).OrderBy(m => m.State[index])];
        if (growing.Length > 0)
            text += $" With a state that grows: {Sentence.List(growing.Select(m => $"{m.Name} ({Sentence.Bytes(m.State[index])} there) {Share(Accuracy(m, at))}"))}.";
        findings.Add(text);
    }

    /// <summary>Who is best at the main difficulty and at the hardest, and who cannot be told from it.</summary>
    private static void Standing(ProbeReport report, List<string> findings)
    {
        int[] all = [.. report.Difficulties()];
        foreach (int difficulty in all.Where(d => d == report.Task.Main || (d > report.Task.Main && d == all[^1])))
        {
            ProbedModel[] ranked = [.. report.Models.Where(m => m.Exact(difficulty).Count > 0).OrderByDescending(m => Accuracy(m, difficulty))];
            if (ranked.Length < 2)
                continue;
            ProbedModel[] tied = [.. ranked.Where(m => Tied(ranked[0], m, difficulty))], behind = [.. ranked.Except(tied)];
            string text = tied.Length == 1
                ? $"{Told(tied[0])} is best{(Counted([ranked[0], ranked[1]]) > 1 ? $": each of its seeds beats every seed of {ranked[1].Name}" : ", from one seed")}."
                : $"{Sentence.List(tied.Select(Told))} cannot be told apart: {(Counted(tied) > 1 ? $"the differences are inside the spread of seeds, or up to {Share(ExamplesDoubt)}" : $"with one seed differences below {Share(SingleSeedDoubt)} should not be trusted")}.";
            findings.Add($"Accuracy at {On(report, difficulty)}: {text}{(behind.Length > 0 ? $" Behind: {Sentence.List(behind.Select(Told))}." : "")}");

            string Told(ProbedModel m) => $"{m.Name} ({Share(Accuracy(m, difficulty))})";
        }
    }

    private static void Diverging(ProbeReport report, List<string> findings)
    {
        foreach (ProbedModel m in report.Models)
        {
            int lost = m.Trials.Count(t => t.HasDiverged);
            if (lost > 0)
                findings.Add(lost == m.Trials.Count
                    ? $"Diverged: {m.Name} has no result, its training diverged; a lower learning rate (it was {m.Rate:G3}) is the first thing to try."
                    : $"Diverged: {lost} of {m.Trials.Count} seeds of {m.Name} diverged; its accuracies leave them out.");
        }
    }

    private static void Certainty(ProbeReport report, List<string> findings)
    {
        ProbedModel[] models = [.. report.Models.Where(m => m.Exact(report.Task.Main).Count > 0)];
        if (models.Length == 0)
            return;
        int seeds = Counted(models);
        string text = seeds < 2
            ? $"One seed{(models.Max(m => m.Exact(report.Task.Main).Count) > 1 ? " of some model" : " per model")}, so the spread between seeds is unknown, and learning may come much sooner or later from another; --seeds 3 measures it."
            : $"{seeds} seeds per model, at most {Share(models.Max(m => report.Difficulties().Max(d => m.Exact(d) is { Count: > 0 } e ? e.Max() - e.Min() : 0)))} apart in accuracy.";
        if (models.Where(IsLearning).Select(m => m.Name).ToArray() is { Length: > 0 } learning)
            text += $" Still learning when the budget ended: {Sentence.List(learning)}; a larger budget may change the order.";
        findings.Add($"How sure: {text} All of it holds for this task, budget and model size.");
    }

    /// <summary>Whether a trial that did not solve the task was still getting better.</summary>
    private static bool IsLearning(ProbedModel model) => model.Trials.Any(t =>
        !t.HasDiverged && t.SamplesToSolve is null && t.Last is { } last && t.Curve.LastOrDefault(c => c.Samples <= 0.75 * last.Samples) is { } before && before.Loss - last.Loss > StillLearning * before.Loss);

    private static double Accuracy(ProbedModel model, int difficulty) => model.Exact(difficulty) is { Count: > 0 } exact ? exact.Average() : 0;

    /// <summary>Whether two models' accuracies cannot be told apart: their seeds overlap or they are close.</summary>
    private static bool Tied(ProbedModel a, ProbedModel b, int difficulty)
    {
        IReadOnlyList<double> x = a.Exact(difficulty), y = b.Exact(difficulty);
        return a == b || (Math.Min(x.Count, y.Count) > 1
            ? SeedFigures.Overlap(x, y) || Math.Abs(x.Average() - y.Average()) <= ExamplesDoubt
            : Math.Abs(Accuracy(a, difficulty) - Accuracy(b, difficulty)) < SingleSeedDoubt);
    }

    /// <summary>Whether two models' samples to solve cannot be told apart; both solve the task.</summary>
    private static bool Level(ProbedModel quick, ProbedModel other) => Math.Min(quick.Trials.Count, other.Trials.Count) > 1
        ? quick.Trials.Max(Needed) >= other.Trials.Min(Needed)
        : other.SamplesToSolve() < SamplesDoubt * quick.SamplesToSolve();

    private static double Needed(Trial trial) => trial.SamplesToSolve ?? double.PositiveInfinity;

    private static int Counted(IEnumerable<ProbedModel> models) => models.Min(m => m.Trials.Count(t => !t.HasDiverged));

    private static string On(ProbeReport report, int difficulty) => $"{difficulty} {report.Task.Axis}";

    private static string Samples(double n) => n >= 1e6 ? $"{n / 1e6:0.##}M" : n >= 1e4 ? $"{n / 1e3:0.#}k" : $"{n:0}";

    private static string Share(double x) => x is > 0 and < .01 or > .99 and < 1 ? $"{x:P1}" : $"{x:P0}";
}
