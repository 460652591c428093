using System.Globalization;
using System.Text;
using Weft.Lab.Report;
using Weft.Models;
using Weft.Training;

namespace Weft.Tests;

/// <summary>
/// docs/architectures.md: what each architecture computes, from the block table, and what it did, from a committed comparison of all presets.
/// With WEFT_UPDATE_README=1 in the environment the test writes the page instead of comparing it.
/// </summary>
public class ArchitecturesPage
{
    private const string Record = "docs/example/architectures.json";

    [Fact]
    public void IsWhatTheCodeSays()
    {
        string path = Path.Combine(Repository.Root, "docs", "architectures.md");
        string page = Make(ComparisonReport.Read(Path.Combine(Repository.Root, Record)));
        if (Environment.GetEnvironmentVariable("WEFT_UPDATE_README") == "1")
        {
            File.WriteAllText(path, page);
            return;
        }

        Assert.Equal(page, File.ReadAllText(path).ReplaceLineEndings("\n"));
    }

    private static string Make(ComparisonReport report)
    {
        var text = new StringBuilder("# Architectures\n\nWritten by a test from the block table (src/Weft.Models/BlockTable.Rows.cs) and [a comparison of all presets](example/architectures.json). "
            + "`weft models NAME` tells the same of one, with its options.\n\n## What they compute\n\n"
            + "On a matrix state S (keys x values) a write is k v^T and a read S^T q. d is the model's width, H the heads, N the states of a channel, T the tokens.\n\n"
            + "| block | architecture | equation | state, float32 values a layer and sequence | over many tokens | source |\n|---|---|---|---|---|---|\n");
        foreach (string name in BlockTable.Names)
        {
            BlockInfo info = BlockTable.Of(name);
            text.Append($"| `{name}` | {info.Title} | {Cell(info.Equation)} | {Cell(info.State)} | {Cell(info.Algorithm)} | {Links(info.Source)} |\n");
        }

        text.Append(CultureInfo.InvariantCulture, $"\n## What they did\n\n`{report.Command}`: {report.Budget.Text} of training a model on {report.Corpus.Name}, context {report.Context}, ");
        text.Append(CultureInfo.InvariantCulture, $"one seed, default learning rates; {report.Machine.Cpu}, {report.Machine.Threads} threads, {report.Machine.Isa}. ");
        text.Append(CultureInfo.InvariantCulture, $"A small budget: it says that a thing learns and what it costs, not which is best. Order-0 entropy of the held-out text: {report.Baselines.Order0:0.000} bits per byte.\n\n");
        text.Append("| model | pattern | parameters | state after 4k bytes | bits per byte | training tokens/s | decode at 1k, tokens/s |\n|---|---|--:|--:|--:|--:|--:|\n");
        foreach (ModelResult model in report.Models)
        {
            Preset preset = Presets.Find(model.Name) ?? throw new InvalidOperationException($"{model.Name} is no preset any more: make {Record} again");
            Assert.Equal(preset.Config.Blocks.ToString(), model.Pattern);
            long state = model.Decode.FirstOrDefault(d => d.Context == 4096)?.StateBytes ?? 0;
            double decode = model.Decode.FirstOrDefault(d => d.Context == 1024)?.TokensPerSecond ?? double.NaN;
            text.Append(CultureInfo.InvariantCulture, $"| {model.Name} | `{model.Pattern}` | {Human.Count(model.Parameters)} | {Human.Bytes(state)} | {model.BitsPerByte:0.000} | {model.TrainTokensPerSecond:#,0} | {decode:#,0} |\n");
        }

        string[] missing = [.. Presets.All.Select(p => p.Name).Except(report.Models.Select(m => m.Name))];
        Assert.True(missing.Length == 0, $"{Record} lacks {string.Join(", ", missing)}: make it again");
        return text.ToString();
    }

    private static string Cell(string text) => text.Replace("|", "\\|", StringComparison.Ordinal);

    /// <summary>arXiv numbers as links.</summary>
    private static string Links(string source) =>
        System.Text.RegularExpressions.Regex.Replace(Cell(source), @"\b(\d{4}\.\d{4,5})\b", "[$1](https://arxiv.org/abs/$1)");
}
