using System.CommandLine;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Cli.Commands;

/// <summary>weft import: a published checkpoint in Weft's own format.</summary>
internal sealed class ImportCommand : WeftCommand
{
    private readonly Argument<string> folder = new("DIR") { Description = "a model folder from Hugging Face" };
    private readonly Option<string> target = new("--out") { Description = "the folder to write; it must not hold a model yet", HelpName = "RUN", Required = true };

    public ImportCommand(Terminal terminal) : base(terminal, "import", "write a published checkpoint in Weft's own format",
        new Example("weft import mamba-130m --out run", "its pattern, weights and tokenizer, as a run"))
    {
        Add(folder);
        Add(target);
    }

    public override IReadOnlyList<string> Notes => ["No import is needed to use a checkpoint: every command that takes a RUN takes DIR as well.", "bfloat16 matrices stay bfloat16; all else is float32."];

    protected override int Run(ParseResult given)
    {
        string from = given.GetRequiredValue(folder), path = given.GetRequiredValue(target);
        using Device device = OpenDevice(0, Precision.Float32);
        LanguageModel model = ModelFolder.Import(from, path, device);
        Terminal.Out.WriteLine($"{model.Config.Blocks}, width {model.Config.Width}: {Human.Count(model.ParameterCount())} parameters, {Human.Bytes(model.WeightBytes)}, in {path}");
        return 0;
    }
}
