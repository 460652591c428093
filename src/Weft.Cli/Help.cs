using System.CommandLine;
using System.CommandLine.Invocation;

namespace Weft.Cli;

/// <summary>Help that teaches by example: commands that work first, then what can be changed.</summary>
internal sealed class Help(TextWriter output) : SynchronousCommandLineAction
{
    public override int Invoke(ParseResult parseResult)
    {
        Write(parseResult.CommandResult.Command);
        return 0;
    }

    /// <summary>Writes the help of one command, or of weft as a whole.</summary>
    public void Write(Command command)
    {
        if (command is WeftCommand one)
        {
            Write(one);
            return;
        }
        output.WriteLine($"weft: {command.Description}");
        output.WriteLine();
        Columns(command.Subcommands.OfType<WeftCommand>().Select(c => (c.Examples[0].Line, c.Examples[0].Does)));
        output.WriteLine();
        output.WriteLine("More examples, and every option: weft COMMAND --help");
    }

    private void Write(WeftCommand command)
    {
        output.WriteLine($"weft {command.Name}: {command.Description}");
        output.WriteLine();
        foreach (Example example in command.Examples)
        {
            output.WriteLine($"  {example.Line}");
            output.WriteLine($"      {example.Does}");
        }
        output.WriteLine();
        string arguments = string.Concat(command.Arguments.Select(a => " " + Usage(a)));
        output.WriteLine($"Usage: weft {command.Name}{arguments}{(command.Options.Any(o => !o.Hidden) ? " [OPTIONS]" : "")}");
        Columns(command.Arguments.Select(a => (a.HelpName ?? a.Name, a.Description ?? ""))
            .Concat(command.Options.Where(o => !o.Hidden).Select(o => (Usage(o), o.Description ?? ""))));
        if (command.Notes.Count > 0)
        {
            output.WriteLine();
            foreach (string note in command.Notes)
            {
                output.WriteLine(note);
            }
        }
    }

    private static string Usage(Argument argument)
    {
        string name = argument.HelpName ?? argument.Name;
        name = argument.Arity.MaximumNumberOfValues > 1 ? name + "..." : name;
        return argument.Arity.MinimumNumberOfValues == 0 ? $"[{name}]" : name;
    }

    private static string Usage(Option option) => option.HelpName is null ? option.Name : $"{option.Name} {option.HelpName}";

    private void Columns(IEnumerable<(string First, string Second)> rows)
    {
        (string First, string Second)[] all = [.. rows];
        int width = all.Select(r => r.First.Length).DefaultIfEmpty(0).Max();
        foreach ((string first, string second) in all)
        {
            output.WriteLine($"  {first.PadRight(width)}  {second}".TrimEnd());
        }
    }
}
