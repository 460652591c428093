using Weft.Models;
using Weft.Tensors;

namespace Weft.Tests.Laws;

/// <summary>A mixer under the laws: a block of the pattern language, and what the laws need to know of it.</summary>
/// <param name="Block">The block, small enough to run a hundred times.</param>
/// <param name="Width">The model's width.</param>
/// <param name="Grid">The chunk grid: pieces that end on it give identical bits.</param>
/// <param name="Grows">Whether the state grows with the tokens seen: a cache, not a summary.</param>
public sealed record MixerRow(string Block, int Width, int Grid, bool Grows = false)
{
    public override string ToString() => Block;

    public Mixer Create(Device device, ulong seed = 1)
    {
        var builder = new Builder(device, new RandomSource(seed), Width, 4);
        Mixer mixer = BlockTable.Create(Pattern.Parse(Block)[0], 0, builder);

        // Parameters that start at zero or one are moved away from it, so that a dropped bias or weight shows.
        var random = new RandomSource(seed + 100);
        foreach (Parameter parameter in mixer.Parameters())
        {
            float[] values = parameter.Tensor.ToArray();
            for (int i = 0; i < values.Length; i++)
            {
                values[i] += 0.1f * random.NextGaussian();
            }

            parameter.Tensor.Set(values);
        }

        return mixer;
    }
}

/// <summary>Every mixer of Weft, a row each: the laws run over this table. A new mixer is done when its row is green.</summary>
public static class MixerTable
{
    public static IEnumerable<MixerRow> Rows =>
    [
        new("attention[heads=4, kv-heads=2]", 32, 64, Grows: true),
        new("attention[heads=2, window=9]", 32, 64),
        new("attention[heads=2, window=70, rope-theta=0, bias]", 16, 64),
        new("attention[heads=3, head-dim=12, positions=alibi]", 32, 64, Grows: true),
        new("attention[heads=4, kv-heads=2, positions=hard-alibi, local-heads=3, window=70]", 32, 64),
        new("block-sparse-attention[heads=4, kv-heads=2, block-size=16, budget=64]", 32, 64, Grows: true),
        new("block-sparse-attention[heads=2, block-size=6, budget=24]", 32, 60, Grows: true), // chooses within the gradient law's few tokens
        new("forgetting-attention[heads=4, kv-heads=2]", 32, 64, Grows: true),
        new("forgetting-attention[heads=2, head-dim=24, qk-norm, output-gate]", 32, 64, Grows: true),
        new("mamba2[state=16, head-dim=8, chunk=16]", 32, 16),
        new("mamba2[state=8, head-dim=16, groups=2, chunk=32]", 32, 32),
        new("gated-deltanet[heads=2, head-dim=8, chunk=16]", 32, 16),
        new("gated-deltanet[heads=3, head-dim=16, expand-v=1, chunk=32, negative-eigenvalues]", 48, 32),
        new("vertical-slash-attention[heads=4, kv-heads=2, vertical=20, slash=30, tile=32, last=8]", 32, 64, Grows: true),
        new("vertical-slash-attention[heads=1, vertical=6, slash=8, tile=20, last=3]", 32, 60, Grows: true), // chooses within the gradient law's few tokens
        new("swiglu[hidden=40]", 32, 16),
        new("swiglu[hidden=2304]", 48, 16), // sums over k long enough to be cut by a product's blocking
    ];

    /// <summary>The rows as theory data: their index and, for the test's name, their text.</summary>
    public static TheoryData<int, string> All
    {
        get
        {
            var data = new TheoryData<int, string>();
            foreach ((int index, MixerRow row) in Rows.Index())
            {
                data.Add(index, row.Block);
            }

            return data;
        }
    }

    public static MixerRow Row(int index) => Rows.ElementAt(index);
}
