using System.CommandLine;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Models.Checkpoints.HuggingFace;
using Weft.Tensors;

namespace Weft.Cli.Commands;

/// <summary>weft export: a model as a Hugging Face folder.</summary>
internal sealed class ExportCommand : WeftCommand
{
    private readonly Argument<string> run = new("RUN") { Description = "the folder of a trained or imported model" };
    private readonly Option<string> target = new("--out") { Description = "the folder to write; it must not hold a model yet", HelpName = "DIR", Required = true };

    public ExportCommand(Terminal terminal) : base(terminal, "export", "write a model as a Hugging Face folder",
        new Example("weft export run --out model", "config.json, model.safetensors, tokenizer.json"))
    {
        Add(run);
        Add(target);
    }

    public override IReadOnlyList<string> Notes =>
    [
        "An imported model keeps its family; any other must be what a family describes: (attention swiglu)*6, mamba*6, mamba2*6.",
        "A model of bytes gets a tokenizer whose tokens are the bytes.",
    ];

    protected override int Run(ParseResult given)
    {
        string path = given.GetRequiredValue(target);
        using Device device = OpenDevice(0, Precision.Float32);
        Family family = ModelFolder.Export(given.GetRequiredValue(run), path, device);
        Terminal.Out.WriteLine($"{family.Architecture} in {path}");
        return 0;
    }
}
