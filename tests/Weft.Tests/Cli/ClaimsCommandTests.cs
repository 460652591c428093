using System.CommandLine;
using System.CommandLine.Parsing;
using Weft.Cli;
using Weft.Lab.Claims;

namespace Weft.Tests.Cli;

public class ClaimsCommandTests
{
    public static TheoryData<string> Names => [.. ClaimTable.All.Select(c => c.Name)];

    [Fact]
    public void ListsWhatIsClaimedAndTheCommandsThatTestIt()
    {
        CommandResult result = WeftProgram.Run("claims", "--list");
        Assert.Equal(0, result.Code);
        Assert.All(ClaimTable.All.SelectMany(c => c.Commands), command => Assert.Contains($"    weft {command}\n", result.Out.ReplaceLineEndings("\n")));
    }

    [Fact]
    public void AMisspeltClaimIsToldTheNearest()
    {
        CommandResult result = WeftProgram.Run("claims", "copyin");
        Assert.Equal(2, result.Code);
        Assert.Contains("unknown claim 'copyin'", result.Error);
        Assert.Contains("copying", result.Error);
    }

    [Fact]
    public void ExamplesNameClaimsThatThereAre()
    {
        var command = (WeftCommand)CommandLine.Root(new Terminal(TextWriter.Null, TextWriter.Null)).Subcommands.Single(c => c.Name == "claims");
        string[] named = [.. command.Examples.SelectMany(e => e.Line.Split(' ').Skip(2)).Where(word => !word.StartsWith('-'))];
        Assert.NotEmpty(named);
        Assert.All(named, name => Assert.Contains(name, ClaimTable.All.Select(c => c.Name)));
    }

    /// <summary>A command that cannot be understood would be found out after an hour only.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void CommandsAreUnderstood(string name)
    {
        foreach (string command in ClaimTable.All.Single(c => c.Name == name).Commands)
        {
            string[] words = [.. CommandLineParser.SplitCommandLine(command)];
            ParseResult parsed = CommandLine.Root(new Terminal(TextWriter.Null, TextWriter.Null)).Parse(words);
            Assert.Empty(parsed.Errors);
            Assert.NotNull(parsed.CommandResult.Command);
            Assert.DoesNotContain("--out", words);
        }
    }

    /// <summary>docs/claims.md is what the reports in docs/example/claims say; with WEFT_UPDATE_README=1 it is written.</summary>
    [Fact]
    public void ThePageIsWhatTheReportsSay() => WrittenTable.Check("claims.md", "claims", ClaimPage.Table(Path.Combine(Repository.Root, "docs", "example", "claims")));

    [Fact]
    public void ClaimsWithoutReportsAreListedAsNotRun()
    {
        using TemporaryFolder folder = new();
        ClaimPage.Write(folder["none"], folder["docs/claims.md"]);
        string page = File.ReadAllText(folder["docs/claims.md"]);
        Assert.All(ClaimTable.All, c => Assert.Contains($"| **{c.Name}**: ", page));
        Assert.Equal(ClaimTable.All.Count, page.Split("| not run |").Length - 1);
    }
}
