using System.Globalization;
using System.Numerics;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Softmax attention (Vaswani et al., "Attention is all you need", arXiv 1706.03762) as Llama has it: causal, with rotary positions
/// (Su et al., arXiv 2104.09864), grouped queries (Ainslie et al., arXiv 2305.13245) and, if wanted, a sliding window. Its state is a
/// cache of every token's key and value, or of the window's: it forgets nothing, and grows.
/// </summary>
/// <remarks>
/// With q = rope(W_q x), k = rope(W_k x), v = W_v x, split into heads of d columns:
/// y_t = W_o sum_s softmax_s(q_t . k_s / sqrt(d)) v_s over the s &lt;= t that the window shows. Instead of turning queries and keys,
/// positions can be left out, or told by a bias: with ALiBi (Press et al., arXiv 2108.12409) head h's scores are
/// q_t . k_s / sqrt(d) - m_h (t - s) with fixed slopes m_h; with Hard-ALiBi (Jelassi et al., arXiv 2402.01032) some heads see only the last
/// 1, 2, 3 ... tokens, and the others all of them without positions. <see cref="AttentionDefinition"/> says it
/// in plain operations; <see cref="Ops.Attention"/> computes it without a T x T matrix (FlashAttention, Dao et al., arXiv 2205.14135).
/// </remarks>
public sealed class Attention : Mixer
{
    private readonly Tensor qkv;       // [(H + 2 H_kv) d, D]: queries, keys, values, one product for all
    private readonly Tensor? qkvBias;  // [(H + 2 H_kv) d]
    private readonly Tensor output;    // [D, H d]
    private readonly Device device;
    private readonly int width;
    private readonly AttentionOptions options;
    private readonly float theta;      // 0: no rotary positions
    private readonly Tensor? slopes;   // [H] of ALiBi, not learned

    /// <summary>Makes the mixer; <paramref name="theta"/> 0 leaves rotary positions out, <paramref name="alibi"/> lowers scores with the distance.</summary>
    public Attention(Builder builder, AttentionOptions options, float theta, bool bias, bool alibi = false)
    {
        (device, width, this.options, this.theta) = (builder.Device, builder.Width, options, theta);
        slopes = alibi ? device.Of(Slopes(options.Heads), new Shape(options.Heads)) : null;
        int columns = (options.Heads + (2 * options.KeyHeads)) * options.HeadDim;
        qkv = LearnLinear(builder, "qkv_proj.weight", columns, width);
        qkvBias = bias ? Learn(builder, "qkv_proj.bias", new Shape(columns), Initial.Zeros, decay: false) : null;
        output = LearnLinear(builder, "out_proj.weight", width, options.Heads * options.HeadDim, 1 / MathF.Sqrt(builder.Blocks));
    }

    /// <summary>
    /// Options: <c>heads</c> (heads of 64 columns unless given), <c>kv-heads</c> (heads of keys and values; as many as heads),
    /// <c>head-dim</c> (width / heads), <c>window</c> (tokens that a query sees, itself included; 0, the default: all),
    /// <c>positions</c> (rope, the default, none, alibi or hard-alibi), <c>rope-theta</c> (the base of the rotary angles, 10000; 0: no
    /// positions), <c>local-heads</c> (of hard-alibi: those that see 1, 2, 3 ... tokens; half of them unless given), <c>bias</c> (on
    /// queries, keys and values; false).
    /// </summary>
    public static Attention Create(BlockOptions options, Builder builder)
    {
        (int heads, int keyHeads, int headDim) = ReadHeads(options, builder.Width);
        int window = options.Int("window", 0, 0, 1 << 30);
        string positions = options.Choice("positions", "rope", "rope", "none", "alibi", "hard-alibi");
        float theta = ReadTheta(options, positions == "rope" ? 10000 : 0, headDim);
        if (theta > 0 && positions != "rope")
        {
            throw options.Refuse("rope-theta", $"turns nothing with positions={positions}; leave it out, or choose positions=rope");
        }

        int local = 0;
        if (positions == "hard-alibi")
        {
            if (heads == 1)
            {
                throw options.Refuse("positions", "needs 2 heads or more: some for the last tokens, some for all");
            }

            local = options.Int("local-heads", heads / 2, 1, heads - 1);
        }

        var sizes = new AttentionOptions(heads, keyHeads, headDim, 1 / MathF.Sqrt(headDim), window) { LocalHeads = local };
        return new Attention(builder, sizes, theta, options.Flag("bias", false), positions == "alibi");
    }

    /// <summary>Reads the heads that all kinds of attention have: <c>heads</c>, <c>kv-heads</c>, <c>head-dim</c>.</summary>
    internal static (int Heads, int KeyHeads, int HeadDim) ReadHeads(BlockOptions options, int width)
    {
        bool hasDim = options.IsGiven("head-dim");
        int heads = options.Int("heads", hasDim ? Math.Max(1, width / options.Int("head-dim", 64, 1, 1024)) : UsualHeads(width), 1, 4096);
        if (!hasDim && width % heads != 0)
        {
            throw options.Refuse("heads", $"does not divide the width {width}; heads that do: {HeadSizes.Divisors(width, width)}; or give head-dim");
        }

        int headDim = options.Int("head-dim", width / heads, 1, 1024);
        int keyHeads = options.Int("kv-heads", heads, 1, 4096);
        if (heads % keyHeads != 0)
        {
            throw options.Refuse("kv-heads", $"does not divide heads={heads}; kv-heads that do: {HeadSizes.Divisors(heads, heads)}");
        }

        return (heads, keyHeads, headDim);
    }

    /// <summary>Reads <c>rope-theta</c>, for heads of <paramref name="headDim"/> columns.</summary>
    internal static float ReadTheta(BlockOptions options, double usual, int headDim)
    {
        double theta = options.Real("rope-theta", usual, 0, 1e12);
        if (theta is > 0 and < 1)
        {
            throw options.Refuse("rope-theta", "would turn faster for later columns; use 1 or more, as a rule 10000, or 0 for no positions");
        }

        if (theta > 0 && headDim % 2 != 0)
        {
            throw options.Refuse("head-dim", $"is odd, and rotary positions turn pairs of columns; use an even one, such as {headDim + 1}, or rope-theta=0");
        }

        return (float)theta;
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        TokenCache cache = ((AttentionState)state).Cache;
        (int queries, int keys) = (options.Heads * options.HeadDim, options.KeyHeads * options.HeadDim);

        Tensor all = Ops.Linear(x, qkv, qkvBias);
        Tensor turned = all.Columns(0, queries + keys);
        if (theta > 0)
        {
            turned = Ops.Rope(turned, options.HeadDim, cache.Position, theta);
        }

        Tensor k = turned.Columns(queries, keys), v = all.Columns(queries + keys, keys);
        Tensor y = Ops.Attention(turned.Columns(0, queries), k, v, cache.Before(x.Tape!), options, cache.Position, new AttentionBias(slopes));
        cache.Append(x.Tape!, k, v);
        return Ops.Linear(y, output);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new AttentionState(device, batch, options);

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context)
    {
        (int queries, int keys) = (options.Heads * options.HeadDim, options.KeyHeads * options.HeadDim);
        long remembered = (long)context + tokens;
        remembered = options.Window == 0 ? remembered : Math.Min(remembered, options.Window);
        return new Cost(
            Models.Cost.Linear(tokens, width, queries + (2 * keys)) + options.Flops(tokens, context) + Models.Cost.Linear(tokens, queries, width),
            ParameterCount(),
            2 * remembered * keys * sizeof(float));
    }

    /// <summary>
    /// ALiBi's slopes for n heads: 2^(-8 h / n), h = 1 .. n, where n is a power of two; else those of the power of two below, then
    /// every second one of the power above, from its first on (the paper's footnote and its authors' code).
    /// </summary>
    internal static float[] Slopes(int heads)
    {
        int power = (int)BitOperations.RoundUpToPowerOf2((uint)heads + 1) / 2;
        return [.. Enumerable.Range(1, power).Select(h => Slope(h, power)), .. Enumerable.Range(0, heads - power).Select(i => Slope((2 * i) + 1, 2 * power))];

        static float Slope(int h, int n) => (float)Math.Pow(2, -8.0 * h / n);
    }

    // Heads of 64 columns where they divide the width; else the number nearest to that whose heads are whole and even, if there is one.
    private static int UsualHeads(int width)
    {
        int near = Math.Max(1, width / 64);
        return Enumerable.Range(1, width).Where(h => width % h == 0 && (width / h) % 2 == 0).OrderBy(h => Math.Abs(h - near)).FirstOrDefault(1);
    }

}

/// <summary>What <see cref="Attention"/> remembers: its tokens' keys and values.</summary>
public sealed class AttentionState : MixerState
{
    internal AttentionState(Device device, int batch, AttentionOptions options) =>
        Cache = Keep(new TokenCache(device, "cache", batch, options.KeyHeads * options.HeadDim, options.Window));

    /// <summary>The keys, rotated, and the values.</summary>
    public TokenCache Cache { get; }
}
