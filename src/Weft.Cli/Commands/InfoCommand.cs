using System.CommandLine;
using System.Runtime.InteropServices;
using Weft.Lab;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Cli.Commands;

/// <summary>weft info: the machine as weft sees it.</summary>
internal sealed class InfoCommand(Terminal terminal) : WeftCommand(terminal, "info", "the machine as weft sees it: threads, instruction set, memory",
    new Example("weft info", "threads, instruction set, memory, versions"))
{
    public override IReadOnlyList<string> Notes =>
        ["WEFT_ISA=avx2 in the environment (or amx, avx512bf16, avx512, sse, neon) forces an instruction set, for comparison."];

    protected override int Run(ParseResult given)
    {
        using Device device = Device.Open();
        (string Name, string Value)[] rows =
        [
            ("weft", typeof(InfoCommand).Assembly.GetName().Version!.ToString(3)),
            ("device", device.Description),
            ("vectors", device.Instructions),
            ("products", $"{Device.FastestPrecision.Word()} unless --precision says otherwise"),
            ("processor", $"{Machine.Processor}, {Environment.ProcessorCount} logical cores"),
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
