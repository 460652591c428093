using System.CommandLine;
using System.CommandLine.Help;
using Weft.Cli.Commands;

namespace Weft.Cli;

/// <summary>The whole of <c>weft</c> as a function: words in, text and an exit code out.</summary>
internal static class CommandLine
{
    private static readonly ParserConfiguration Parser = new()
    {
        ResponseFileTokenReplacer = null, // a prompt may begin with @
        EnablePosixBundling = false,
    };

    /// <summary>Runs a command line and returns its exit code: 0 done, 1 failed while it ran, 2 bad input, 130 interrupted.</summary>
    public static int Run(string[] args, TextWriter stdout, TextWriter stderr) =>
        Run(args, new Terminal(stdout, stderr) { Args = args });

    /// <summary>Runs a command line in a terminal.</summary>
    public static int Run(string[] args, Terminal terminal)
    {
        try
        {
            ParseResult parsed = Root(terminal).Parse(args, Parser);
            if (parsed.Action is not Help && Mistakes.Find(parsed) is string mistake)
            {
                terminal.Error.WriteLine($"weft: {mistake}");
                return Failure.BadInput;
            }
            return parsed.Invoke(new InvocationConfiguration
            {
                Output = terminal.Out,
                Error = terminal.Error,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null, // Interruption does this
            });
        }
        catch (Exception e)
        {
            return Failure.Report(e, terminal.Error);
        }
    }

    /// <summary>All commands, in the order in which a newcomer needs them.</summary>
    public static RootCommand Root(Terminal terminal)
    {
        Help help = new(terminal.Out);
        RootCommand root = new("train, compare and run sequence models on your own bytes")
        {
            new CompareCommand(terminal),
            new ProbeCommand(terminal),
            new ScalingCommand(terminal),
            new ClaimsCommand(terminal),
            new TrainCommand(terminal),
            new GenerateCommand(terminal),
            new InspectCommand(terminal),
            new ImportCommand(terminal),
            new ExportCommand(terminal),
            new VerifyCommand(terminal),
            new ModelsCommand(terminal),
            new BenchCommand(terminal),
            new InfoCommand(terminal),
        };
        root.Options.Remove(root.Options.First(o => o is HelpOption));
        root.Options.Add(new HelpOption("--help", "-h") { Action = help, Description = "show this" });
        root.SetAction(help.Invoke);
        return root;
    }
}
