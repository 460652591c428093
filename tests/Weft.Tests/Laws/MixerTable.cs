using Weft.Models;
using Weft.Tensors;

namespace Weft.Tests.Laws;

/// <summary>A mixer under the laws: a block of the pattern language, and what the laws need to know of it.</summary>
/// <param name="Block">The block, small enough to run a hundred times.</param>
/// <param name="Width">The model's width.</param>
/// <param name="Grid">The chunk grid: pieces that end on it give identical bits.</param>
/// <param name="Grows">Whether the state grows with the tokens seen: a cache, not a summary.</param>
/// <param name="Sharp">Whether a slope jumps or bends sharply somewhere: derivatives by differences then take a tenth of the step.</param>
/// <param name="LearnedStart">Whether the state before the first token is learned.</param>
/// <param name="Jumps">Whether it chooses what to attend to, or has kinks: rounding then changes more than its share.</param>
public sealed record MixerRow(string Block, int Width, int Grid, bool Grows = false, bool Sharp = false, bool LearnedStart = false, bool Jumps = false)
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
        new("lstm", 32, 16),
        new("lstm[heads=3]", 48, 16),
        new("gru", 32, 16),
        new("gru[heads=2]", 48, 16),
        new("slstm", 32, 16),
        new("slstm[heads=2, conv=3]", 48, 16),
        new("mamba[state=8]", 32, 16),
        new("mamba[state=5, expand=1, conv=3, dt-rank=7, norm=learned]", 48, 16),
        new("mamba[state=4, norm=plain]", 32, 16),
        new("mamba[state=4, inner=40, bias, conv-bias=false]", 32, 16),
        new("attention[heads=3, head-dim=12, positions=alibi]", 32, 64, Grows: true),
        new("attention[heads=4, kv-heads=2, positions=hard-alibi, local-heads=3, window=70]", 32, 64),
        new("block-sparse-attention[heads=4, kv-heads=2, block-size=16, budget=64]", 32, 64, Grows: true, Jumps: true),
        new("block-sparse-attention[heads=2, block-size=6, budget=24]", 32, 60, Grows: true, Jumps: true), // chooses within the gradient law's few tokens
        new("forgetting-attention[heads=4, kv-heads=2]", 32, 64, Grows: true),
        new("forgetting-attention[heads=2, head-dim=24, qk-norm, output-gate]", 32, 64, Grows: true),
        new("mamba2[state=16, head-dim=8, chunk=16]", 32, 16),
        new("mamba2[state=8, head-dim=16, groups=2, chunk=32]", 32, 32),
        new("mamba2[state=8, head-dim=8, inner=48, groups=2, chunk=16, norm=norm-first, norm-groups=3, bias, conv-bias=false, scale-z=0.7, scale-x=1.5, scale-b=0.5, scale-c=2, scale-dt=0.8]", 32, 16),
        new("mamba2[state=8, head-dim=8, expand=1, groups=2, chunk=16, norm=none, out-bias, scale-x=1.2]", 32, 16),
        new("mamba2[state=8, head-dim=8, groups=2, norm-groups=1, chunk=16, dt-min=0.005, dt-max=0.03, scale-dt=0.05]", 32, 16), // each head within or without: no kink for differences to straddle
        new("linear-attention[heads=2, chunk=16]", 32, 16),
        new("linear-attention[heads=3, feature=relu, normalise=false, chunk=32]", 48, 32, Jumps: true),
        new("retnet[heads=2, chunk=16]", 32, 16),
        new("lightning[heads=2, chunk=16]", 32, 16),
        new("lightning[heads=3, head-dim=8, decay-factor=0.3, chunk=32]", 32, 32),
        // Input gates low enough that the floor divides: where it and the normaliser change places, differences do not see the slope.
        new("mlstm[heads=2, input-bias=-4, chunk=16]", 32, 16),
        new("mlstm[heads=3, expand=1, qkv-block=16, input-bias=-4, chunk=32]", 48, 32),
        new("xlstm[heads=2, input-bias=-4, chunk=16]", 32, 16),
        new("xlstm[heads=3, qk-dim=36, v-dim=24, gate-cap=5, bias, input-bias=-4, chunk=32]", 48, 32),
        new("mamba3[state=16, head-dim=8, chunk=16]", 32, 16),
        new("mamba3[state=8, head-dim=16, rank=2, rope-fraction=1, chunk=16]", 32, 16),
        new("mamba3[state=12, head-dim=16, expand=1, rank=4, chunk=4]", 32, 4),
        new("mamba3[state=8, head-dim=16, decay=softplus, chunk=16]", 32, 16),
        new("gated-deltanet[heads=2, head-dim=8, chunk=16]", 32, 16),
        new("gated-deltanet[heads=3, head-dim=16, expand-v=1, chunk=32, negative-eigenvalues]", 48, 32),
        new("vertical-slash-attention[heads=4, kv-heads=2, vertical=20, slash=30, tile=32, last=8]", 32, 64, Grows: true, Jumps: true),
        new("vertical-slash-attention[heads=1, vertical=6, slash=8, tile=20, last=3]", 32, 60, Grows: true, Jumps: true), // chooses within the gradient law's few tokens
        new("hyena[length=150, chunk=32, features=5, frequency=2]", 32, 32, Grows: true),
        new("hyena[length=20, chunk=16, order=3, filter-width=16, frequency=3, conv=4]", 16, 16),
        new("rg-lru[d-rnn=48, heads=4]", 32, 16),
        new("rg-lru[d-rnn=20, heads=2, conv=3]", 16, 16),
        new("hgrn", 32, 16),
        new("hgrn[expand=2, lower-bound=0.6]", 24, 16),
        new("mingru", 32, 16, Sharp: true),
        new("minlstm[expand=1]", 40, 16, Sharp: true),
        new("rwkv4", 40, 16),
        new("rwkv4[channels=24]", 40, 16),
        new("rwkv4-channels[hidden=56]", 40, 16),
        new("gla[heads=2, chunk=32]", 32, 32),
        new("gla[heads=3, expand-k=0.75, expand-v=1.5, gate-rank=5, gate-root=4, chunk=20, norm-epsilon=0.01]", 24, 20),
        new("gsa[heads=2, slots=9, chunk=32]", 32, 32),
        new("hgrn2[expand=16, chunk=32]", 32, 32),
        new("rwkv6[heads=2, chunk=32, norm-epsilon=0.1]", 32, 32, Sharp: true),
        new("rwkv6[head-dim=8, mix-rank=3, decay-rank=5, chunk=20]", 24, 20),
        new("hgrn2[expand=12, lower-bound=0.5, chunk=20]", 24, 20),
        new("gated-deltanet[heads=4, key-heads=2, head-dim=8, chunk=32]", 32, 32),
        new("gated-deltanet[heads=3, key-heads=1, head-dim=12, value-dim=7, conv=3, norm-epsilon=0.01, chunk=16]", 32, 16),
        new("deltanet[heads=2, chunk=16]", 32, 16),
        new("deltanet[head-dim=16, chunk=32, negative-eigenvalues]", 48, 32),
        new("gated-deltaproduct[heads=2, head-dim=8, chunk=16]", 32, 16),
        new("gated-deltaproduct[householders=3, heads=1, head-dim=16, expand-v=1, chunk=8, negative-eigenvalues=false]", 48, 8),
        new("kda[heads=2, chunk=32]", 32, 32),
        new("kda[head-dim=24, chunk=20, negative-eigenvalues]", 48, 20),
        new("rwkv7[heads=2, chunk=32]", 32, 32),
        new("rwkv7[head-dim=24, chunk=20]", 48, 20),
        new("s4d[state=6]", 48, 16),
        new("lru[state=20, max-phase=0.3]", 32, 16),
        new("s5[state=16, blocks=2]", 32, 16),
        new("s5[state=12, blocks=1, rule=bilinear]", 48, 16),
        new("h3[state=6, shift=5]", 32, 16),
        new("h3[state=4, shift=4, head-dim=4]", 32, 16),
        new("ttt-linear[head-dim=16, mini-batch=4]", 32, 16, LearnedStart: true),
        new("ttt-linear[head-dim=12, mini-batch=5, base-rate=2, rope-theta=0]", 24, 15, LearnedStart: true),
        new("short-conv", 32, 16),
        new("short-conv[conv=5, bias]", 48, 16),
        new("s4[state=6]", 48, 16),
        new("s4[state=4, mode=convolution, chunk=32]", 32, 32),
        new("shared-transformer[heads=4, kv-heads=2, hidden=24]", 32, 64, Grows: true),
        new("shared-transformer[heads=3, head-dim=12, rope-theta=0, hidden=20, bias, adapter-rank=3, attention-adapters]", 32, 64, Grows: true),
        new("swiglu[hidden=40]", 32, 16),
        new("swiglu[hidden=20, activation=gelu, bias, gate-scale=0.7]", 24, 16),
        new("mlp", 16, 16),
        new("mlp[hidden=40, activation=relu2, bias]", 24, 16),
        // Experts are chosen by jumps: differences are short, and no choice of these few tokens lies within them.
        new("moe[experts=4, hidden=32]", 32, 16, Sharp: true),
        new("moe[experts=5, active=1, hidden=20, renormalise=false, activation=gelu, shared=24, shared-gate]", 24, 16, Sharp: true),
        new("moe[experts=8, active=3, hidden=40, router=sigmoid, groups=4, active-groups=2, scale=2.5, activation=relu2, gated=false, latent=24, shared=20, bias]", 32, 16, Sharp: true),
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
