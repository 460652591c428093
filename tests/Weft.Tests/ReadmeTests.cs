using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Weft.Lab.Report;

namespace Weft.Tests;

/// <summary>
/// The README's figures come from the committed example report and its sample from <see cref="ReadmeSample"/>; the records in
/// docs/measurements.md come from the benchmarks' committed ones. With WEFT_UPDATE_README=1 in the environment the tests write them instead.
/// </summary>
public class ReadmeTests
{
    [Fact]
    public void FiguresAreTheExampleReports() => Check("figures", "docs/example/report.json", path => MarkdownSummary.Of(ComparisonReport.Read(path)));

    [Fact]
    public void TheSampleIsTheOneThatRuns() => Check("sample", "tests/Weft.Tests/ReadmeSample.cs", path =>
    {
        string[] lines = [.. File.ReadAllLines(path).SkipWhile(l => l.Trim() != "// <sample>").Skip(1).TakeWhile(l => l.Trim() != "// </sample>")];
        int indent = lines.Where(l => l.Length > 0).Min(l => l.Length - l.TrimStart().Length);
        string text = string.Join('\n', lines.Select(l => l.Length > 0 ? l[indent..] : l));
        text = text.Replace("console.", "Console.", StringComparison.Ordinal).Replace("(state, file)", "(state, \"speech.state\")", StringComparison.Ordinal).Replace("Load(file,", "Load(\"speech.state\",", StringComparison.Ordinal);
        return $"```csharp\n{text}\n```\n";
    });

    [Theory]
    [InlineData("bench/record.json")]
    [InlineData("bench/record-amx.json")]
    public void TheRecordsAreTheBenchmarks(string source) => Check("record", source, path =>
    {
        using JsonDocument record = JsonDocument.Parse(File.ReadAllBytes(path));
        var table = new StringBuilder();
        foreach (IGrouping<(string, string), JsonElement> part in record.RootElement.EnumerateArray().GroupBy(r => (Text(r, "machine"), Text(r, "date"))))
        {
            table.Append(CultureInfo.InvariantCulture, $"{part.Key.Item1}, {part.Key.Item2}\n\n| what | measured | goal | |\n|---|--:|--:|---|\n");
            foreach (JsonElement row in part.Where(r => r.GetProperty("goal").ValueKind == JsonValueKind.Number))
            {
                double value = row.GetProperty("value").GetDouble(), goal = row.GetProperty("goal").GetDouble();
                bool atMost = row.TryGetProperty("atMost", out JsonElement limit) && limit.ValueKind == JsonValueKind.True, isMet = atMost ? value <= goal : value >= goal;
                table.Append(CultureInfo.InvariantCulture, $"| {Text(row, "name")} | {value:0.00} | {(atMost ? "at most " : "")}{goal} | {(isMet ? "" : "short")} |\n");
            }

            table.Append('\n');
        }

        return table.ToString().TrimEnd('\n') + "\n";
    }, "docs/measurements.md");

    private static string Text(JsonElement row, string key) => row.GetProperty(key).GetString()!;

    private static void Check(string mark, string source, Func<string, string> make, string file = "README.md")
    {
        string readme = Path.Combine(Repository.Root, file);
        string text = File.ReadAllText(readme).ReplaceLineEndings("\n");
        string expected = $"<!-- {mark}: {source} -->\n{make(Path.Combine(Repository.Root, source))}<!-- /{mark} -->";
        var part = new Regex($"<!-- {mark}: {Regex.Escape(source)} -->.*?<!-- /{mark} -->", RegexOptions.Singleline);
        Assert.Matches(part, text);
        if (Environment.GetEnvironmentVariable("WEFT_UPDATE_README") == "1")
        {
            File.WriteAllText(readme, part.Replace(text, expected.Replace("$", "$$", StringComparison.Ordinal)));
            return;
        }

        Assert.Equal(expected, part.Match(text).Value);
    }
}
