using System.CommandLine;
using System.CommandLine.Parsing;
using Weft.Cli;

namespace Weft.Tests.Cli;

public class HelpTests
{
    private const int Widest = 120;

    private static readonly RootCommand Root = CommandLine.Root(new Terminal(TextWriter.Null, TextWriter.Null));

    public static TheoryData<string> Commands => [.. Root.Subcommands.Select(c => c.Name)];

    [Theory]
    [InlineData]
    [InlineData("--help")]
    [InlineData("-h")]
    public void WeftAloneTeachesEveryCommandByExample(params string[] args)
    {
        CommandResult result = WeftProgram.Run(args);
        Assert.Equal(0, result.Code);
        Assert.Empty(result.Error);
        Assert.All(Root.Subcommands, c => Assert.Contains($"  weft {c.Name}", result.Out));
        Assert.All(result.Out.Split('\n'), line => Assert.InRange(line.Length, 0, Widest));
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public void EveryCommandShowsItsExamplesAndOptions(string name)
    {
        var command = (WeftCommand)Root.Subcommands.Single(c => c.Name == name);
        CommandResult result = WeftProgram.Run(name, "--help");
        Assert.Equal(0, result.Code);
        Assert.NotEmpty(command.Examples);
        Assert.All(command.Examples, e => Assert.Contains(e.Line, result.Out));
        Assert.All(command.Options, o => Assert.Contains(o.Name, result.Out));
        Assert.All(command.Options, o => Assert.False(string.IsNullOrEmpty(o.Description), o.Name));
        Assert.All(result.Out.Split('\n'), line => Assert.InRange(line.Length, 0, Widest));
        Assert.Equal(result.Out, WeftProgram.Run(name, "-h").Out);
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public void EveryExampleIsACommandLineThatParses(string name)
    {
        foreach (Example example in ((WeftCommand)Root.Subcommands.Single(c => c.Name == name)).Examples)
        {
            string[] words = [.. CommandLineParser.SplitCommandLine(example.Line)];
            Assert.Equal("weft", words[0]);
            ParseResult parsed = Root.Parse(words[1..]);
            Assert.True(parsed.Errors.Count == 0 && Mistakes.Find(parsed) is null, $"{example.Line}: {Mistakes.Find(parsed)}");
        }
    }
}
