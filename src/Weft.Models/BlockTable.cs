using Weft.Tensors;

namespace Weft.Models;

/// <summary>The blocks that patterns can name: a row a mixer.</summary>
public static class BlockTable
{
    /// <summary>The width at which the rates of the rows were found.</summary>
    private const int RateWidth = 96;

    /// <summary>A mixer's maker, the learning rate that a sweep found for models of it (docs/measurements.md), and a line on what it is.</summary>
    private sealed record Row(Func<BlockOptions, Builder, Mixer> Create, double Rate, string Line);

    private static readonly SortedDictionary<string, Row> Rows = new(StringComparer.Ordinal)
    {
        ["attention"] = new(Attention.Create, 1e-3, "softmax attention with rotary positions: [heads=4, kv-heads=2, window=128]"),
        ["gated-deltanet"] = new(GatedDeltaNet.Create, 1e-3, "the gated delta rule: a matrix state corrected by what it already holds: [heads=4, expand-v=2]"),
        ["mamba2"] = new(Mamba2.Create, 2e-3, "state-space duality: a matrix state that decays by a scalar a head: [state=64, expand=2]"),
        ["swiglu"] = new(SwiGlu.Create, 2e-3, "a gated MLP between mixers: [hidden=352]"),
    };

    /// <summary>The names of all blocks.</summary>
    public static IReadOnlyCollection<string> Names => Rows.Keys;

    /// <summary>What a block is, in a line, with options for an example.</summary>
    public static string LineOf(string name) => Rows[name].Line;

    /// <summary>Makes the mixer that a block of a pattern names.</summary>
    /// <exception cref="InputException">The name or an option is not known or not possible.</exception>
    public static Mixer Create(BlockSpec spec, int index, Builder builder)
    {
        if (!Rows.TryGetValue(spec.Name, out Row? row))
        {
            throw new InputException($"block {index}: there is no block '{spec.Name}'; nearest: {string.Join(", ", NearestNames.Of(spec.Name, Names, 3))}");
        }

        var options = new BlockOptions(spec, index);
        Mixer mixer = row.Create(options, builder);
        options.Done();
        return mixer;
    }

    /// <summary>
    /// A sensible peak learning rate for a model: the lowest of its mixers' rates, which were found by sweeps at width 96, times
    /// sqrt(96 / width). A sweep of one's own (<c>--sweep</c>) is better.
    /// </summary>
    public static double DefaultRate(ModelConfig config)
    {
        double rate = config.Blocks.Min(b => Rows.TryGetValue(b.Name, out Row? row) ? row.Rate : double.PositiveInfinity);
        return Math.Round((double.IsFinite(rate) ? rate : 2e-3) * Math.Sqrt((double)RateWidth / config.Width), 6);
    }
}
