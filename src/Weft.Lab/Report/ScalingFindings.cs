using Weft.Lab.ScalingLaws;
using Weft.Training;

namespace Weft.Lab.Report;

/// <summary>What a scaling study's figures say, in plain words, and how sure they are. Nothing of it follows from measured times.</summary>
public static class ScalingFindings
{
    private const double MostEpochs = 4; // repetitions up to which text seen again teaches nearly as much (arXiv 2305.16264)

    /// <summary>The findings, the most useful first; each begins with what it is about and a colon.</summary>
    public static IReadOnlyList<string> Of(ScalingReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        var findings = new List<string>();
        Standing(report, findings);
        foreach (ScaledModel model in report.Models)
        {
            Law(model, findings);
        }

        Sizes(report, findings);
        foreach (ScaledModel model in report.Models)
        {
            Surface(model, findings);
        }

        if (report.Shapes is { } shapes)
        {
            Shapes(shapes, findings);
        }

        Certainty(report, findings);
        return findings;
    }

    private static void Standing(ScalingReport report, List<string> findings)
    {
        ScaledModel[] fitted = [.. report.Models.Where(m => m.Compute is not null)];
        if (fitted.Length < 2)
        {
            return;
        }

        double flops = report.Budgets[^1];
        ScaledModel best = fitted.MinBy(m => m.Compute!.Law.At(flops))!;
        string text = $"{best.Name} has the lowest fitted loss at {Human.Flops(flops)} training FLOPs: {best.Compute!.Law.At(flops):0.000} bits per byte.";
        foreach (LossRatio ratio in report.Ratios.Where(r => r.Flops == flops))
        {
            Estimate e = ratio.Ratio;
            bool isKnown = double.IsFinite(e.Low);
            text += $" {ratio.Model} over {ratio.To}: {e.Value:0.000}{(isKnown ? $" ({e.Low:0.000} to {e.High:0.000}{(e.Low <= 1 && e.High >= 1 ? ", so they cannot be told apart" : "")})" : ", how surely is not known")}.";
        }

        findings.Add($"At equal FLOPs: {text}");
    }

    private static void Law(ScaledModel model, List<string> findings)
    {
        if (model.Compute is not { } fit)
        {
            findings.Add($"{model.Name}: {(model.Frontier.Count == 0 ? "every run diverged; a lower learning rate is the first thing to try" : "one budget is no curve: no law is fitted; give two budgets or more, four for a floor E")}.");
            return;
        }

        string text = $"{fit.Form} with {Told(fit)}, on {fit.Points} budgets{(double.IsFinite(fit.Scatter) ? $", {fit.Scatter:P1} scatter" : "")}.";
        if (fit.Points < 4)
        {
            text += " Fewer than four budgets do not determine a floor E: none is fitted, so do not extrapolate.";
        }

        if (fit.Freedom == 0)
        {
            text += " As many numbers as points: they lie on the curve by construction, and nothing tells how far off it is.";
        }
        else if (Open(fit) is { Length: > 0 } open)
        {
            text += $" Not determined by so few points: {open}.";
        }

        findings.Add($"{model.Name}: {text}");
    }

    private static void Surface(ScaledModel model, List<string> findings)
    {
        if (model.Surface is not { } fit)
        {
            findings.Add($"{model.Name}, by parameters and bytes: too few runs to fit L(N, D), which has five numbers; give more --budgets or --sizes.");
            return;
        }

        double alpha = fit.Law.Terms[0].Exponent, beta = fit.Law.Terms[1].Exponent;
        string open = Open(fit);
        findings.Add($"{model.Name}, by parameters and bytes: {fit.Form} with {Told(fit)}, on {fit.Points} runs, {fit.Scatter:P1} scatter."
            + (open.Length > 0 ? $" Not determined: {open}." : $" The best size grows as C^{beta / (alpha + beta):0.00}."));
    }

    private static string Told(FittedLaw fit) => Sentence.List(fit.Parameters.Where(p => p.Name is not ("A" or "B"))
        .Select(p => $"{p.Name} {p.Estimate.Value:0.000}{(double.IsFinite(p.Estimate.Low) ? $" ({p.Estimate.Low:0.000} to {p.Estimate.High:0.000})" : "")}"));

    private static string Open(FittedLaw fit) => Sentence.List(fit.Parameters.Where(p => !p.IsDetermined && p.Name is not ("A" or "B")).Select(p => p.Name));

    private static void Sizes(ScalingReport report, List<string> findings)
    {
        foreach (ScaledModel model in report.Models.Where(m => m.Frontier.Count > 0))
        {
            string text = Sentence.List(model.Frontier.Select(p => $"{Human.Count(p.Parameters)} parameters and {p.Bytes / (double)p.Parameters:0} bytes to each at {Human.Flops(p.Budget)}"));
            double[] edge = [.. model.Frontier.Where(p => !p.IsInside).Select(p => p.Budget)];
            findings.Add($"Best sizes of {model.Name}: {text}.{(edge.Length > 0 ? $" At {Sentence.List(edge.Select(b => Human.Flops(b)))} it was the smallest or the largest tried, so the best may lie beyond." : "")}");
        }
    }

    private static void Shapes(ShapeReport shapes, List<string> findings)
    {
        if (shapes.Law is null || shapes.Error is null)
        {
            findings.Add($"Shape of {shapes.Model}: the {shapes.Shapes.Count} shapes trained are too few or too alike for the conditional law: at this size heads and widths round to the same few.");
            return;
        }

        ShapeError e = shapes.Error;
        string verdict = e.HeldOut < e.Constant ? $"better than saying their mean for all ({e.Constant:P1})" : $"no better than saying their mean for all ({e.Constant:P1}): the law does not tell shapes apart here";
        findings.Add($"Shape of {shapes.Model}: by width and MLP-to-attention ratio the conditional law tells the loss of {shapes.Shapes.Count(s => s.Use == "held out")} shapes it was not fitted to within {e.HeldOut:P1} "
            + $"({e.Fitted:P1} on those it was), {verdict}; ranks correlate by {e.RankCorrelation:0.00}.");
        if (shapes.Proposal is not { } p)
        {
            findings.Add($"Best shape: no shape within what was fitted runs so cheaply; allow more with --inference.");
            return;
        }

        findings.Add($"Best shape: for at most {Human.Flops(p.Allowed)} FLOPs a generated token and {Human.Flops(p.TrainingFlops)} of training: width {p.Shape.Width}, {p.Shape.Heads} heads of {p.Shape.HeadDim}"
            + $"{(p.Shape.Group > 1 ? $" with {p.Shape.KeyHeads} of keys and values" : "")}, MLPs of {p.Shape.Hidden}: {p.Ratio:0.0} times the attention's parameters; "
            + $"{p.BitsPerByte.Value:0.000} bits per byte expected{(double.IsFinite(p.BitsPerByte.Low) ? $" ({p.BitsPerByte.Low:0.000} to {p.BitsPerByte.High:0.000}, by the shapes' scatter alone)" : "")}, {Human.Flops(p.Cost.FlopsPerToken)} FLOPs a token.");
    }

    private static void Certainty(ScalingReport report, List<string> findings)
    {
        string text = report.Seeds < 2 ? "One seed a size: scatter is told by how far runs lie from the laws." : $"{report.Seeds} seeds a size.";
        double epochs = report.Models.SelectMany(m => m.Runs).Max(r => r.Bytes / (double)report.Corpus.TrainBytes);
        if (epochs > MostEpochs)
        {
            text += $" Some runs saw the text {epochs:0} times: bytes seen again teach less, which bends the laws; a larger text is better.";
        }

        ScaledModel[] edge = [.. report.Models.Where(m => m.Sweep.Where(r => double.IsFinite(r.BitsPerByte)).MinBy(r => r.BitsPerByte) is { } best && (best == m.Sweep[0] || best == m.Sweep[^1]))];
        if (edge.Length > 0)
        {
            text += $" The best learning rate of {Sentence.List(edge.Select(m => m.Name))} was the lowest or the highest tried.";
        }

        int lost = report.Models.Sum(m => m.Runs.Count(r => !double.IsFinite(r.BitsPerByte)));
        findings.Add($"How sure: {text}{(lost > 0 ? $" {lost} runs diverged and are left out." : "")} Intervals hold 90 %; they know the scatter of runs, not whether the law's form holds further on.");
    }
}
