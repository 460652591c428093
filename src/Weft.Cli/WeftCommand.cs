using System.CommandLine;
using Weft.Tensors;

namespace Weft.Cli;

/// <summary>A command line that works, and what it does.</summary>
internal sealed record Example(string Line, string Does);

/// <summary>A command of weft: its options, the examples that its help begins with, and what it does.</summary>
internal abstract class WeftCommand : Command
{
    protected WeftCommand(Terminal terminal, string name, string summary, params Example[] examples) : base(name, summary)
    {
        Terminal = terminal;
        Examples = examples;
        SetAction(Run);
    }

    /// <summary>The most useful first.</summary>
    public IReadOnlyList<Example> Examples { get; }

    /// <summary>What to know besides, below the options.</summary>
    public virtual IReadOnlyList<string> Notes => [];

    protected Terminal Terminal { get; }

    /// <summary>Opens the device; what a person should know of it goes to standard error.</summary>
    protected Device OpenDevice(int threads, Precision? precision)
    {
        Device device = Device.Open(threads, precision ?? Device.FastestPrecision);
        if (device.Notice is string notice)
        {
            Terminal.Error.WriteLine($"weft: {notice}");
        }
        return device;
    }

    /// <summary>Does it; returns the exit code.</summary>
    protected abstract int Run(ParseResult given);
}
