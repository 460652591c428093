using Weft.Tensors;

namespace Weft.Models;

/// <summary>What a block is: the row that lists, presets, documentation and default learning rates are made from.</summary>
public sealed record BlockInfo
{
    /// <summary>The architecture's own name: Gated DeltaNet.</summary>
    public required string Title { get; init; }

    /// <summary>A line on what it is, with options for an example.</summary>
    public required string Line { get; init; }

    /// <summary>What it computes, in a line: the recurrence and its output.</summary>
    public required string Equation { get; init; }

    /// <summary>What it remembers, as float32 values a layer and sequence.</summary>
    public required string State { get; init; }

    /// <summary>How it is computed over many tokens.</summary>
    public required string Algorithm { get; init; }

    /// <summary>Where it was published: arXiv numbers, with the equations or sections.</summary>
    public required string Source { get; init; }

    /// <summary>The peak learning rate that suits models of it at width 96: from a sweep (docs/measurements.md), or the field's habit.</summary>
    public required double Rate { get; init; }

    /// <summary>The pattern of the preset model named after the block; null where there is none: for MLPs, for attention, whose preset is "transformer", and for mixers of published models without a record of their own.</summary>
    public string? Preset { get; init; }
}

/// <summary>The blocks that patterns can name: a row a mixer.</summary>
public static partial class BlockTable
{
    /// <summary>The width at which the rates of the rows were found.</summary>
    private const int RateWidth = 96;

    /// <summary>The names of all blocks.</summary>
    public static IReadOnlyCollection<string> Names => Rows.Keys;

    /// <summary>What is known of a block besides how it is made.</summary>
    public static BlockInfo Of(string name) => Rows[name].Info;

    /// <summary>Makes the mixer that a block of a pattern names.</summary>
    /// <exception cref="InputException">The name or an option is not known or not possible.</exception>
    public static Mixer Create(BlockSpec spec, int index, Builder builder) => Create(spec, index, builder, out _);

    /// <summary>The same, and the block with all options that it has, those not given at their usual values.</summary>
    /// <exception cref="InputException">The name or an option is not known or not possible.</exception>
    public static Mixer Create(BlockSpec spec, int index, Builder builder, out BlockSpec inForce)
    {
        Row row = Find(spec, index);
        var options = new BlockOptions(spec, index);
        Mixer mixer = row.Create(options, builder);
        inForce = options.Done();
        return mixer;
    }

    /// <summary>Makes the block that a pattern names: its mixer, joined to the residual stream as its options say (<see cref="Wiring"/>).</summary>
    /// <exception cref="InputException">The name or an option is not known or not possible.</exception>
    internal static ResidualBlock CreateBlock(BlockSpec spec, int index, Builder builder, float epsilon, out BlockSpec inForce)
    {
        Row row = Find(spec, index);
        var options = new BlockOptions(spec, index);
        var block = new ResidualBlock(builder, Wiring.Read(options), b => row.Create(options, b), epsilon);
        inForce = options.DoneOr(Wiring.Options);
        return block;
    }

    private static Row Find(BlockSpec spec, int index) => Rows.TryGetValue(spec.Name, out Row? row) ? row
        : throw new InputException($"block {index}: there is no block '{spec.Name}'; nearest: {string.Join(", ", NearestNames.Of(spec.Name, Names, 3))}");

    /// <summary>
    /// A sensible peak learning rate for a model: the lowest of its mixers' rates, which were found by sweeps at width 96, times
    /// sqrt(96 / width). A sweep of one's own (<c>--sweep</c>) is better.
    /// </summary>
    public static double DefaultRate(ModelConfig config)
    {
        double rate = config.Blocks.Min(b => Rows.TryGetValue(b.Name, out Row? row) ? row.Info.Rate : double.PositiveInfinity);
        return Math.Round((double.IsFinite(rate) ? rate : 2e-3) * Math.Sqrt((double)RateWidth / config.Width), 6);
    }
}
