using System.CommandLine;
using System.Runtime.InteropServices;
using Weft.Tensors.Cpu;
using Weft.Training;

namespace Weft.Cli.Commands;

/// <summary>weft info: the machine as weft sees it.</summary>
internal sealed class InfoCommand(Terminal terminal) : WeftCommand(terminal, "info", "the machine as weft sees it: threads, instruction set, memory",
    new Example("weft info", "threads, instruction set, memory, versions"))
{
    protected override int Run(ParseResult given)
    {
        using CpuDevice device = new();
        (string Name, string Value)[] rows =
        [
            ("weft", typeof(InfoCommand).Assembly.GetName().Version!.ToString(3)),
            ("device", device.Description),
            ("processors", Environment.ProcessorCount.ToString()),
            ("memory", Human.Bytes(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes)),
            ("system", $"{RuntimeInformation.OSDescription}, {RuntimeInformation.OSArchitecture}"),
            ("runtime", RuntimeInformation.FrameworkDescription),
        ];
        foreach ((string name, string value) in rows)
        {
            Terminal.Out.WriteLine($"{name,-12}{value}");
        }
        return 0;
    }
}
