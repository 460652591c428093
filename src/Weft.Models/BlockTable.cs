using Weft.Tensors;

namespace Weft.Models;

/// <summary>The blocks that patterns can name: a row a mixer.</summary>
public static class BlockTable
{
    private static readonly SortedDictionary<string, Func<BlockOptions, Builder, Mixer>> Rows = new(StringComparer.Ordinal)
    {
        ["attention"] = Attention.Create,
        ["gated-deltanet"] = GatedDeltaNet.Create,
        ["mamba2"] = Mamba2.Create,
        ["swiglu"] = SwiGlu.Create,
    };

    /// <summary>The names of all blocks.</summary>
    public static IReadOnlyCollection<string> Names => Rows.Keys;

    /// <summary>Makes the mixer that a block of a pattern names.</summary>
    /// <exception cref="InputException">The name or an option is not known or not possible.</exception>
    public static Mixer Create(BlockSpec spec, int index, Builder builder)
    {
        if (!Rows.TryGetValue(spec.Name, out Func<BlockOptions, Builder, Mixer>? create))
        {
            throw new InputException($"block {index}: there is no block '{spec.Name}'; nearest: {string.Join(", ", NearestNames.Of(spec.Name, Names, 3))}");
        }

        var options = new BlockOptions(spec, index);
        Mixer mixer = create(options, builder);
        options.Done();
        return mixer;
    }
}
