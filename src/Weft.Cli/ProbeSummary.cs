using Spectre.Console;
using Weft.Lab.Report;
using Weft.Lab.Tasks;
using Weft.Lab.TextTasks;
using Weft.Training;

namespace Weft.Cli;

/// <summary>The end of a probe in a terminal: a small table, the main findings, and where the report is.</summary>
internal static class ProbeSummary
{
    private const int MostFindings = 4;
    private const int MostPoints = 5;
    private const int MostDifficulties = 3; // more do not fit 120 columns

    public static void Write(ProbeReport report, Terminal terminal, string htmlPath)
    {
        IReadOnlyList<int> shown = Shown(report);
        Table table = Tables.New(["", " parameters", $" state at {report.Task.Main}", " rate", " samples to solve", .. shown.Select(d => $" right at {d}")]);
        foreach (ProbedModel model in report.Models)
        {
            table.AddRow(Tables.Cells([
                model.Name,
                Human.Count(model.Parameters),
                report.StateBytes(model, report.Task.Main) is long bytes ? Human.Bytes(bytes) : "",
                $"{model.Rate:G3}",
                model.SamplesToSolve() is double samples ? Human.Count(samples) : $"not within {Human.Count(model.MostSamples())}",
                .. shown.Select(d => Right(model, d))]));
        }
        terminal.Console.Write(table);
        End(report.Findings, terminal, htmlPath);
    }

    /// <summary>The same of a probe on a text.</summary>
    public static void Write(TextReport report, Terminal terminal, string htmlPath)
    {
        Quantity main = report.Task.Quantities[0];
        double[] axis = [.. report.Models.SelectMany(m => m.Axis(main.Name)).Distinct().Order()];
        double[] shown = axis.Length <= MostPoints ? axis : [.. axis.Take(2), .. axis.TakeLast(MostPoints - 2)];
        Table table = Tables.New([main.Title, .. shown.Select(x => " " + report.Point(main, x))]);
        foreach (TextModel model in report.Models)
        {
            table.AddRow(Tables.Cells([model.Name, .. shown.Select(x => model.At(main.Name, x) is { Count: > 0 } all ? main.Told(all.Average()) : "")]));
        }
        terminal.Console.Write(table);
        End(report.Findings, terminal, htmlPath);
    }

    private static void End(IReadOnlyList<string> findings, Terminal terminal, string htmlPath)
    {
        foreach (string finding in findings.Take(MostFindings))
        {
            terminal.Console.Write(new Padder(new Text("- " + finding), new Padding(1, 0, 0, 0)));
        }
        // Written past the console, which would break long lines: these are for copying.
        terminal.Out.WriteLine();
        terminal.Out.WriteLine($"Report: {htmlPath}");
        terminal.Out.WriteLine($"        {new Uri(htmlPath).AbsoluteUri}");
    }

    /// <summary>The difficulties that a terminal has room for: the main one, and the hardest.</summary>
    private static IReadOnlyList<int> Shown(ProbeReport report)
    {
        IReadOnlyList<int> all = report.Difficulties();
        return [.. all.Where(d => d == report.Task.Main).Concat(all.Where(d => d != report.Task.Main).TakeLast(MostDifficulties - 1)).Order()];
    }

    private static string Right(ProbedModel model, int difficulty)
    {
        IReadOnlyList<double> exact = model.Exact(difficulty);
        return exact.Count == 0 ? "diverged" : $"{100 * exact.Average():0.0} %" + (exact.Count > 1 ? $" ±{50 * (exact.Max() - exact.Min()):0.0}" : "");
    }
}
