using System.Globalization;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Softmax attention (Vaswani et al., "Attention is all you need", arXiv 1706.03762) as Llama has it: causal, with rotary positions
/// (Su et al., arXiv 2104.09864), grouped queries (Ainslie et al., arXiv 2305.13245) and, if wanted, a sliding window. Its state is a
/// cache of every token's key and value, or of the window's: it forgets nothing, and grows.
/// </summary>
/// <remarks>
/// With q = rope(W_q x), k = rope(W_k x), v = W_v x, split into heads of d columns:
/// y_t = W_o sum_s softmax_s(q_t . k_s / sqrt(d)) v_s over the s &lt;= t that the window shows. <see cref="AttentionDefinition"/> says it
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
    private readonly float theta;      // 0: no positions

    /// <summary>Makes the mixer; <paramref name="theta"/> 0 leaves positions out.</summary>
    public Attention(Builder builder, AttentionOptions options, float theta, bool bias)
    {
        (device, width, this.options, this.theta) = (builder.Device, builder.Width, options, theta);
        int columns = (options.Heads + (2 * options.KeyHeads)) * options.HeadDim;
        qkv = LearnLinear(builder, "qkv_proj.weight", columns, width);
        qkvBias = bias ? Learn(builder, "qkv_proj.bias", new Shape(columns), Initial.Zeros, decay: false) : null;
        output = LearnLinear(builder, "out_proj.weight", width, options.Heads * options.HeadDim, 1 / MathF.Sqrt(builder.Blocks));
    }

    /// <summary>
    /// Options: <c>heads</c> (heads of 64 columns unless given), <c>kv-heads</c> (heads of keys and values; as many as heads),
    /// <c>head-dim</c> (width / heads), <c>window</c> (tokens that a query sees, itself included; 0, the default: all),
    /// <c>rope-theta</c> (the base of the rotary angles, 10000; 0: no positions), <c>bias</c> (on queries, keys and values; false).
    /// </summary>
    public static Attention Create(BlockOptions options, Builder builder)
    {
        int width = builder.Width;
        bool hasDim = options.IsGiven("head-dim");
        int heads = options.Int("heads", hasDim ? Math.Max(1, width / options.Int("head-dim", 64, 1, 1024)) : UsualHeads(width), 1, 4096);
        if (!hasDim && width % heads != 0)
        {
            throw options.Refuse("heads", $"does not divide the width {width}; heads that do: {Divisors(width)}; or give head-dim");
        }

        int headDim = options.Int("head-dim", width / heads, 1, 1024);
        int keyHeads = options.Int("kv-heads", heads, 1, 4096);
        if (heads % keyHeads != 0)
        {
            throw options.Refuse("kv-heads", $"does not divide heads={heads}; kv-heads that do: {Divisors(heads)}");
        }

        int window = options.Int("window", 0, 0, 1 << 30);
        double theta = options.Real("rope-theta", 10000, 0, 1e12);
        if (theta is > 0 and < 1)
        {
            throw options.Refuse("rope-theta", "would turn faster for later columns; use 1 or more, as a rule 10000, or 0 for no positions");
        }

        if (theta > 0 && headDim % 2 != 0)
        {
            throw options.Refuse("head-dim", $"is odd, and rotary positions turn pairs of columns; use an even one, such as {headDim + 1}, or rope-theta=0");
        }

        var sizes = new AttentionOptions(heads, keyHeads, headDim, 1 / MathF.Sqrt(headDim), window);
        return new Attention(builder, sizes, (float)theta, options.Flag("bias", false));
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
        Tensor y = Ops.Attention(turned.Columns(0, queries), k, v, cache.Before(x.Tape!), options, cache.Position);
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

    // Heads of 64 columns where they divide the width; else the number nearest to that whose heads are whole and even, if there is one.
    private static int UsualHeads(int width)
    {
        int near = Math.Max(1, width / 64);
        return Enumerable.Range(1, width).Where(h => width % h == 0 && (width / h) % 2 == 0).OrderBy(h => Math.Abs(h - near)).FirstOrDefault(1);
    }

    private static string Divisors(int n) => string.Join(", ", Enumerable.Range(1, n).Where(d => n % d == 0).Select(d => d.ToString(CultureInfo.InvariantCulture)));
}

/// <summary>What <see cref="Attention"/> remembers: its tokens' keys and values.</summary>
public sealed class AttentionState : MixerState
{
    internal AttentionState(Device device, int batch, AttentionOptions options) =>
        Cache = Keep(new TokenCache(device, "cache", batch, options.KeyHeads * options.HeadDim, options.Window));

    /// <summary>The keys, rotated, and the values.</summary>
    public TokenCache Cache { get; }
}
