using System.Text;
using Spectre.Console;

namespace Weft.Cli;

/// <summary>What a command talks to: its output, errors and input, and whether a person watches.</summary>
internal sealed class Terminal
{
    private const int PlainWidth = 120; // of tables that go to a file or a pipe

    private IReadOnlyList<string>? outermost;

    /// <summary>Talks to the given writers; the output is taken for no terminal, unless an <paramref name="console"/> says otherwise.</summary>
    public Terminal(TextWriter output, TextWriter error, Stream? input = null, IAnsiConsole? console = null)
    {
        Out = output;
        Error = error;
        Input = input;
        Console = console ?? Plain(output);
        IsTerminal = console is { Profile.Out.IsTerminal: true };
        IsLive = console is { Profile: { Out.IsTerminal: true, Capabilities: { Ansi: true, Interactive: true } } };
    }

    /// <summary>A console that writes tables as plain text.</summary>
    public static IAnsiConsole Plain(TextWriter output)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.No,
            ColorSystem = ColorSystemSupport.NoColors,
            Interactive = InteractionSupport.No,
            Out = new AnsiConsoleOutput(output),
            Enrichment = new ProfileEnrichment { UseDefaultEnrichers = false },
        });
        console.Profile.Width = PlainWidth;
        return console;
    }

    /// <summary>The same terminal for a command that another one runs: what goes on after an interruption is that other one.</summary>
    public Terminal Within(IReadOnlyList<string> args) => new(Out, Error, Input, Console) { Cancel = Cancel, Program = Program, Args = args, outermost = outermost ?? Args };

    /// <summary>The process's own streams.</summary>
    public static Terminal OfProcess(IReadOnlyList<string> args, CancellationToken cancel)
    {
        if (System.Console.OutputEncoding.CodePage != Encoding.UTF8.CodePage)
        {
            System.Console.OutputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
        }
        return new Terminal(
            System.Console.Out,
            System.Console.Error,
            System.Console.IsInputRedirected ? System.Console.OpenStandardInput() : null,
            System.Console.IsOutputRedirected ? null : AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(System.Console.Out) }))
        {
            Cancel = cancel,
            Program = ShellText.Program(),
            Args = args,
        };
    }

    /// <summary>Results.</summary>
    public TextWriter Out { get; }

    /// <summary>Errors, and what a person should know that is no result.</summary>
    public TextWriter Error { get; }

    /// <summary>What is piped in; null where input is a keyboard.</summary>
    public Stream? Input { get; }

    /// <summary>For tables and the live view, on <see cref="Out"/>.</summary>
    public IAnsiConsole Console { get; }

    /// <summary>Whether a person reads the output as it comes.</summary>
    public bool IsTerminal { get; }

    /// <summary>Whether the output can be redrawn in place, so that a live view makes sense.</summary>
    public bool IsLive { get; }

    /// <summary>Cancelled when the command shall save and end.</summary>
    public CancellationToken Cancel { get; init; }

    /// <summary>What a shell calls this program.</summary>
    public string Program { get; init; } = "weft";

    /// <summary>The words after it.</summary>
    public IReadOnlyList<string> Args { get; init; } = [];

    /// <summary>The command line that does the same again, ready for a shell.</summary>
    public string Again => ShellText.Join([Program, .. outermost ?? Args]);

    /// <summary>The same with the program called weft, wherever it is.</summary>
    public string Command => ShellText.Join(["weft", .. Args]);
}
