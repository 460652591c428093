using Spectre.Console;
using Weft.Lab;
using Weft.Lab.Report;
using Weft.Training;

namespace Weft.Cli;

/// <summary>The end of a comparison in a terminal: a small table, the main findings, and where the report is.</summary>
internal static class ComparisonSummary
{
    private const int MostFindings = 3;

    public static void Write(ComparisonReport report, Terminal terminal, string htmlPath)
    {
        DecodePoint? longest = report.Models.SelectMany(m => m.Decode).Where(d => d.Measured).MaxBy(d => d.Context);
        string context = longest is null ? "" : $" at {ContextText(longest.Context)}";
        Table table = Tables.New("", " bits/byte", " parameters", " training tokens/s", $" decoding tokens/s{context}", $" state{context}");
        foreach (ModelResult model in report.Models)
        {
            DecodePoint? decode = model.Decode.FirstOrDefault(d => d.Context == longest?.Context);
            table.AddRow(Tables.Cells(
                model.Name,
                Bits(model),
                Human.Count(model.Parameters),
                Human.Count(model.TrainTokensPerSecond),
                decode is null ? "" : Human.Count(decode.TokensPerSecond) + (decode.Measured ? "" : " (computed)"),
                decode is null ? "" : Human.Bytes(decode.StateBytes)));
        }
        foreach ((string name, double bits) in (ReadOnlySpan<(string, double)>)
            [("Brotli 11", report.Baselines.Brotli), ("gzip -9", report.Baselines.Gzip), ("single bytes", report.Baselines.Order0)])
        {
            table.AddRow(Tables.Cells(name, Bits(bits), "", "", "", ""));
        }
        terminal.Console.Write(table);
        foreach (string finding in report.Findings.Take(MostFindings))
        {
            terminal.Console.Write(new Padder(new Text("- " + finding), new Padding(1, 0, 0, 0)));
        }
        // Written past the console, which would break long lines: these are for copying.
        terminal.Out.WriteLine();
        terminal.Out.WriteLine($"Report: {htmlPath}");
        terminal.Out.WriteLine($"        {new Uri(htmlPath).AbsoluteUri}");
    }

    private static string Bits(ModelResult model)
    {
        double[] seeds = [.. model.BitsPerByteSeeds.Where(double.IsFinite)];
        return Bits(model.BitsPerByte) + (seeds.Length > 1 ? $" ±{(seeds.Max() - seeds.Min()) / 2:0.000}" : "");
    }

    private static string Bits(double bits) => double.IsFinite(bits) ? $"{bits:0.000}" : "diverged";

    private static string ContextText(int context) => context % 1024 == 0 ? $"{context / 1024}k" : context.ToString();
}
