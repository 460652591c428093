using System.Text.RegularExpressions;
using Weft.Lab.Report;

namespace Weft.Tests;

/// <summary>
/// The README's figures come from the committed example report and its sample from <see cref="ReadmeSample"/>. With WEFT_UPDATE_README=1
/// in the environment the tests write them into it instead.
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

    private static void Check(string mark, string source, Func<string, string> make)
    {
        string readme = Path.Combine(Repository.Root, "README.md");
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
