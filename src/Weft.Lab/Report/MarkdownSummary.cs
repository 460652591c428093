using System.Globalization;
using System.Text;
using Weft.Training;

namespace Weft.Lab.Report;

/// <summary>A report's main figures as a Markdown table: what the README shows.</summary>
public static class MarkdownSummary
{
    /// <summary>The table, a row a model, and a line of baselines.</summary>
    public static string Of(ComparisonReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        var text = new StringBuilder();
        text.Append("| model | pattern | parameters | bits per byte | training tokens/s |");
        IReadOnlyList<DecodePoint> shown = [.. report.Models.MaxBy(m => m.Decode.Count)!.Decode.Where(d => d.Measured)];
        DecodePoint[] ends = shown.Count < 2 ? [.. shown] : [shown[0], shown[^1]];
        foreach (DecodePoint end in ends)
        {
            text.Append($" decode at {end.Context / 1024}k, tokens/s | state |");
        }

        text.Append('\n').Append("|---|---|--:|--:|--:|").Append(string.Concat(Enumerable.Repeat("--:|--:|", ends.Length))).Append('\n');
        foreach (ModelResult model in report.Models)
        {
            text.Append(CultureInfo.InvariantCulture, $"| {model.Name} | `{model.Pattern}` | {Human.Count(model.Parameters)} | {model.BitsPerByte:0.000} | {model.TrainTokensPerSecond:#,0} |");
            foreach (DecodePoint end in ends)
            {
                DecodePoint? at = model.Decode.FirstOrDefault(d => d.Context == end.Context);
                text.Append(at is null ? " | |" : string.Create(CultureInfo.InvariantCulture, $" {at.TokensPerSecond:#,0} | {Human.Bytes(at.StateBytes)} |"));
            }

            text.Append('\n');
        }

        text.Append(CultureInfo.InvariantCulture, $"\nOn the same held-out text: gzip -9 {report.Baselines.Gzip:0.000}, Brotli 11 {report.Baselines.Brotli:0.000}, order-0 entropy {report.Baselines.Order0:0.000} bits per byte. ");
        text.Append(CultureInfo.InvariantCulture, $"{report.Corpus.Name}, {Human.Flops(report.Budget.Flops)} training FLOPs a model, context {report.Context}, {report.Seeds} {(report.Seeds == 1 ? "seed" : "seeds")}; {report.Machine.Cpu}, {report.Machine.Threads} threads, {report.Machine.Isa}.\n");
        return text.ToString();
    }
}
