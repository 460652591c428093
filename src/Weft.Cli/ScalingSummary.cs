using Spectre.Console;
using Weft.Lab.ScalingLaws;
using Weft.Training;

namespace Weft.Cli;

/// <summary>The end of a scaling study in a terminal: small tables, the main findings, and where the report is.</summary>
internal static class ScalingSummary
{
    private const int MostFindings = 6;
    private const int MostBudgets = 4; // more do not fit 120 columns

    public static void Write(ScalingReport report, Terminal terminal, string htmlPath)
    {
        double[] shown = [.. report.Budgets.Where((_, i) => report.Budgets.Count <= MostBudgets || i == 0 || i > report.Budgets.Count - MostBudgets)];
        Table table = Tables.New(["", " rate", " E", " alpha", .. shown.Select(b => $" bits/byte at {Human.Flops(b)}")]);
        foreach (ScaledModel model in report.Models)
        {
            table.AddRow(Tables.Cells([model.Name, $"{model.Rate:G3}", Number(model, "E"), Number(model, "alpha"), .. shown.Select(b => Best(model, b))]));
        }

        terminal.Console.Write(table);
        if (report.Shapes is { Shapes.Count: > 0 } shapes)
        {
            Write(shapes, terminal);
        }

        foreach (string finding in report.Findings.Take(MostFindings).Union(report.Findings.Where(f => f.StartsWith("Best shape", StringComparison.Ordinal))))
        {
            terminal.Console.Write(new Padder(new Text("- " + finding), new Padding(1, 0, 0, 0)));
        }
        // Written past the console, which would break long lines: these are for copying.
        terminal.Out.WriteLine();
        terminal.Out.WriteLine($"Report: {htmlPath}");
        terminal.Out.WriteLine($"        {new Uri(htmlPath).AbsoluteUri}");
    }

    /// <summary>The trained shape of the least loss, the fastest within the slack of it, and the one proposed.</summary>
    private static void Write(ShapeReport shapes, Terminal terminal)
    {
        ShapeResult[] sound = [.. shapes.Shapes.Where(s => double.IsFinite(s.Run.BitsPerByte))];
        if (sound.Length == 0)
        {
            return;
        }

        ShapeResult best = sound.MinBy(s => s.Run.BitsPerByte)!;
        ShapeResult fastest = sound.Where(s => s.Run.BitsPerByte <= (1 + shapes.Slack) * best.Run.BitsPerByte).MaxBy(s => s.Cost.DecodeTokensPerSecond)!;
        Table table = Tables.New($"{shapes.Model}", " width", " heads", " MLP", " MLP/att.", " bits/byte", " FLOPs/token", " decode/s", " prefill/s");
        Row("best trained", best.Shape, best.Ratio, $"{best.Run.BitsPerByte:0.000}", best.Cost);
        Row($"fastest, {shapes.Slack:0.#%} off", fastest.Shape, fastest.Ratio, $"{fastest.Run.BitsPerByte:0.000}", fastest.Cost);
        if (shapes.Proposal is { } p)
        {
            Row("proposed", p.Shape, p.Ratio, $"{p.BitsPerByte.Value:0.000} (law)", p.Cost);
        }

        terminal.Console.Write(table);

        void Row(string name, AttentionShape s, double ratio, string bits, InferenceCost cost) => table.AddRow(Tables.Cells(name, $"{s.Width}", s.Group > 1 ? $"{s.Heads}/{s.KeyHeads}" : $"{s.Heads}", $"{s.Hidden}",
            $"{ratio:0.0}", bits, Human.Count(cost.FlopsPerToken), Human.Count(cost.DecodeTokensPerSecond), Human.Count(cost.PrefillTokensPerSecond)));
    }

    private static string Number(ScaledModel model, string name) => model.Compute?.Parameters.FirstOrDefault(p => p.Name == name) is { } p ? p.IsDetermined ? $"{p.Estimate.Value:0.00}" : $"{p.Estimate.Value:0.00} ?" : "";

    private static string Best(ScaledModel model, double budget) => model.Frontier.FirstOrDefault(p => p.Budget == budget) is { } p ? $"{p.BitsPerByte:0.000} ({Human.Count(p.Parameters)})" : "diverged";
}
