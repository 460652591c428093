using System.CommandLine;
using Spectre.Console;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Cli.Commands;

/// <summary>weft models: what can be trained without writing anything down, and the blocks that patterns are made of.</summary>
internal sealed class ModelsCommand(Terminal terminal) : WeftCommand(terminal, "models", "the models that come with weft, and the blocks that patterns are made of",
    new Example("weft models", "presets and blocks, with what their states cost"),
    new Example("weft compare --models mamba2,window,\"(3*mamba2 attention)*2\"", "presets and patterns, side by side"),
    new Example("weft train notes.txt --model \"(3*mamba2 attention[heads=8])*4\" --out run", "a pattern with an option"))
{
    private static readonly string[] PatternNotes =
    [
        "A pattern lists blocks from first to last: \"(3*mamba2 attention)*2\" is three mamba2 and one attention, twice.",
        "Options of a block stand in brackets after its name: attention[heads=8, window=256].",
    ];

    public override IReadOnlyList<string> Notes => PatternNotes;

    protected override int Run(ParseResult given)
    {
        using Device device = Device.Open(1);
        Table presets = Tables.New("preset", "parameters", "state of a sequence", "what it is");
        foreach (Preset preset in Presets.All)
        {
            LanguageModel model = new(preset.Config, device, seed: 1);
            presets.AddRow(Tables.Cells(preset.Name, Human.Count(model.ParameterCount()), StateGrowth.Of(model), preset.Description));
            presets.AddRow(Tables.Cells("", "", "", $"{preset.Config.Blocks}, width {preset.Config.Width}"));
        }
        Terminal.Console.Write(presets);

        Table blocks = Tables.New("block", "parameters", "state of a sequence", "what it is");
        foreach (string name in BlockTable.Names)
        {
            ModelConfig config = Presets.Resolve(name, Presets.DefaultWidth, BlockTable.Names);
            Mixer mixer = new LanguageModel(config, device, seed: 1).Blocks[0].Mixer;
            blocks.AddRow(Tables.Cells(name, Human.Count(mixer.ParameterCount()), StateGrowth.Of(mixer), BlockTable.Of(name).Line));
        }
        Terminal.Console.Write(blocks);
        Terminal.Out.WriteLine($"Blocks are shown at width {Presets.DefaultWidth}.");
        foreach (string note in PatternNotes)
        {
            Terminal.Out.WriteLine(note);
        }
        return 0;
    }
}
