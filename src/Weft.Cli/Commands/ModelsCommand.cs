using System.CommandLine;
using Spectre.Console;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Cli.Commands;

/// <summary>weft models: what can be trained without writing anything down, and the blocks that patterns are made of.</summary>
internal sealed class ModelsCommand : WeftCommand
{
    /// <summary>A token costs what it does after this many others.</summary>
    private const int Context = 1024;

    private static readonly string[] PatternNotes =
    [
        "A pattern lists blocks from first to last: \"(3*mamba2 attention)*2\" is three mamba2 and one attention, twice.",
        "Options of a block stand in brackets after its name: attention[heads=8, window=256].",
    ];

    private readonly Argument<string?> name = new("NAME") { Description = "a model or block to tell all about; all of them in brief unless given", Arity = ArgumentArity.ZeroOrOne };

    public ModelsCommand(Terminal terminal) : base(terminal, "models", "the models that come with weft, and the blocks that patterns are made of",
        new Example("weft models", "models and blocks, with what they and their states cost"),
        new Example("weft models gated-deltanet", "one of them: equation, options, state, source"),
        new Example("weft compare --models mamba2,window,\"(3*mamba2 attention)*2\"", "models and patterns, side by side"),
        new Example("weft train notes.txt --model \"(3*mamba2 attention[heads=8])*4\" --out run", "a pattern with an option")) => Add(name);

    public override IReadOnlyList<string> Notes => PatternNotes;

    protected override int Run(ParseResult given)
    {
        using Device device = Device.Open(1);
        if (given.GetValue(name) is { } wanted)
        {
            return Tell(wanted.Trim(), device);
        }

        Table models = Tables.New("model", " parameters", " FLOPs a byte", "state of a sequence", "what it is");
        foreach (Preset preset in Presets.All)
        {
            LanguageModel model = new(preset.Config, device, seed: 1);
            models.AddRow(Tables.Cells(preset.Name, Human.Count(model.ParameterCount()), Human.Count(model.Cost(1, Context).Flops), StateGrowth.Of(model), preset.Description));
        }

        Terminal.Console.Write(models);
        Table blocks = Tables.New("block", " parameters", " FLOPs a byte", "state of a sequence", "what it is");
        foreach (string block in BlockTable.Names)
        {
            Mixer mixer = Make(block, device, out _);
            blocks.AddRow(Tables.Cells(block, Human.Count(mixer.ParameterCount()), Human.Count(mixer.Cost(1, Context).Flops), StateGrowth.Of(mixer), BlockTable.Of(block).Line));
        }

        Terminal.Console.Write(blocks);
        Terminal.Out.WriteLine($"FLOPs are those of one byte forward, after {Context} others. Blocks are shown at width {Presets.DefaultWidth}; 'weft models NAME' tells all about one.");
        foreach (string note in PatternNotes)
        {
            Terminal.Out.WriteLine(note);
        }

        return 0;
    }

    /// <summary>All about one model or block.</summary>
    private int Tell(string wanted, Device device)
    {
        Preset? preset = Presets.Find(wanted);
        bool isBlock = BlockTable.Names.Contains(wanted);
        if (preset is null && !isBlock)
        {
            IEnumerable<string> known = Presets.All.Select(p => p.Name).Union(BlockTable.Names);
            throw new InputException($"unknown model or block {AtomicFile.Quote(wanted)}; {NearestNames.Hint(wanted, known)}");
        }

        if (isBlock)
        {
            BlockInfo info = BlockTable.Of(wanted);
            Mixer mixer = Make(wanted, device, out BlockSpec inForce);
            Row("block", $"{wanted}: {info.Title}");
            Row("equation", info.Equation);
            Row("state", $"{info.State} values a layer and sequence");
            Row("", $"{StateGrowth.Of(mixer)}, at width {Presets.DefaultWidth}");
            Row("computed", info.Algorithm);
            Row("source", info.Source);
            Row("options", $"{inForce}, at width {Presets.DefaultWidth}");
            Row("cost", $"{Human.Count(mixer.ParameterCount())} parameters, {Human.Count(mixer.Cost(1, Context).Flops)} FLOPs a byte after {Context}, at width {Presets.DefaultWidth}");
        }

        if (preset is not null)
        {
            LanguageModel model = new(preset.Config, device, seed: 1);
            Row("model", $"{preset.Name}: {preset.Config.Blocks}, width {preset.Config.Width}");
            Row("", $"{Human.Count(model.ParameterCount())} parameters, {Human.Count(model.Cost(1, Context).Flops)} FLOPs a byte, state {StateGrowth.Of(model)}");
            Row("rate", $"{BlockTable.DefaultRate(preset.Config):R} unless told otherwise");
        }

        return 0;
    }

    private void Row(string title, string value) => Terminal.Out.WriteLine($"{title,-12}{value}");

    private static Mixer Make(string block, Device device, out BlockSpec inForce) =>
        BlockTable.Create(Pattern.Parse(block)[0], 0, new Builder(device, new RandomSource(1), Presets.DefaultWidth, 1), out inForce);
}
