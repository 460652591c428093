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
    private readonly Tensor qkv;            // [(H + 2 H_kv) d, inputs]: queries, keys, values, one product for all; with a gate, H d rows more
    private readonly Tensor? qkvBias;       // as many
    private readonly Tensor? qNorm, kNorm;  // [d], or [H d] and [H_kv d]
    private readonly Tensor output;         // [D, H d]
    private readonly Tensor? outputBias;    // [D]
    private readonly Device device;
    private readonly int width, inputs;
    private readonly AttentionSettings o;
    private readonly AttentionOptions sizes;
    private readonly Tensor? slopes;        // [H] of ALiBi, not learned

    /// <summary>Makes the mixer.</summary>
    public Attention(Builder builder, AttentionSettings settings)
    {
        (device, width, inputs, o, sizes) = (builder.Device, builder.Width, builder.Inputs, settings, settings.Sizes);
        slopes = o.Alibi ? device.Of(Slopes(sizes.Heads), new Shape(sizes.Heads)) : null;
        int columns = Queries + (2 * Keys) + (o.OutputGate ? Queries : 0);
        qkv = LearnLinear(builder, "qkv_proj.weight", columns, inputs);
        qkvBias = o.Bias ? Learn(builder, "qkv_proj.bias", new Shape(columns), Initial.Zeros, decay: false) : null;
        if (o.Norm != QueryKeyNorm.None)
        {
            bool each = o.Norm == QueryKeyNorm.Head;
            qNorm = Learn(builder, "q_norm.weight", new Shape(each ? sizes.HeadDim : Queries), Initial.Ones, decay: false);
            kNorm = Learn(builder, "k_norm.weight", new Shape(each ? sizes.HeadDim : Keys), Initial.Ones, decay: false);
        }

        output = LearnLinear(builder, "out_proj.weight", width, Queries, 1 / MathF.Sqrt(builder.Blocks));
        outputBias = o.OutputBias ? Learn(builder, "out_proj.bias", new Shape(width), Initial.Zeros, decay: false) : null;
    }

    private int Queries => sizes.Heads * sizes.HeadDim;

    private int Keys => sizes.KeyHeads * sizes.HeadDim;

    /// <summary>
    /// Options: <c>heads</c> (heads of 64 columns unless given), <c>kv-heads</c> (heads of keys and values; as many as heads),
    /// <c>head-dim</c> (width / heads), <c>window</c> (tokens that a query sees, itself included; 0, the default: all),
    /// <c>positions</c> (rope, the default, none, alibi or hard-alibi), <c>rope-theta</c> (the base of the rotary angles, 10000; 0: no
    /// positions), <c>rotary</c> (the columns of a head that turn, the first; 0: all), <c>rope-scaling</c> (none, linear, llama3, yarn)
    /// with <c>rope-factor</c>, <c>rope-low</c>, <c>rope-high</c>, <c>rope-original</c> and <c>rope-amplitude</c> (<see cref="RopeScaling"/>),
    /// <c>local-heads</c> (of hard-alibi: those that see 1, 2, 3 ... tokens; half of them unless given), <c>scale</c> (what scores are
    /// multiplied by; 0: 1 / sqrt(head-dim)), <c>qk-norm</c> (an RMS norm of queries and keys before they turn: none, head or all, over each
    /// head's columns or over those of all heads), <c>norm-epsilon</c> (its), <c>output-gate</c> (each output times the sigmoid of a map of
    /// the input), <c>bias</c> (on queries, keys and values; false), <c>output-bias</c> (false).
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

        int rotary = theta > 0 ? options.Int("rotary", 0, 0, headDim) : 0;
        if (rotary % 2 != 0)
        {
            throw options.Refuse("rotary", $"is odd, and rotary positions turn pairs of columns; use an even number up to {headDim}, or 0 for all");
        }

        float scale = (float)options.Real("scale", 0, -1e3, 1e3);
        return new Attention(builder, new AttentionSettings
        {
            Sizes = new AttentionOptions(heads, keyHeads, headDim, scale == 0 ? 1 / MathF.Sqrt(headDim) : scale, window) { LocalHeads = local },
            Theta = theta,
            Rotary = rotary,
            Scaling = theta > 0 ? ReadScaling(options) : default,
            Alibi = positions == "alibi",
            Norm = options.Choice("qk-norm", "none", "none", "head", "all") switch { "head" => QueryKeyNorm.Head, "all" => QueryKeyNorm.All, _ => QueryKeyNorm.None },
            NormEpsilon = (float)options.Real("norm-epsilon", 1e-6, 1e-12, 1),
            OutputGate = options.Flag("output-gate", false),
            Bias = options.Flag("bias", false),
            OutputBias = options.Flag("output-bias", false),
        });
    }

    /// <summary>Reads <c>rope-scaling</c> and its numbers.</summary>
    internal static RopeScaling ReadScaling(BlockOptions options)
    {
        string word = options.Choice("rope-scaling", "none", "none", "linear", "llama3", "yarn");
        if (word == "none")
        {
            return default;
        }

        double factor = options.Real("rope-factor", 1, 1e-3, 1e6);
        if (word == "linear")
        {
            return new RopeScaling(RopeScalingKind.Linear, factor);
        }

        bool yarn = word == "yarn";
        double low = options.Real("rope-low", 1, 1e-6, 1e6), high = options.Real("rope-high", yarn ? 32 : 4, 1e-6, 1e6);
        int original = options.Int("rope-original", 8192, 1, 1 << 30);
        return high <= low ? throw options.Refuse("rope-high", $"must be above rope-low={low}")
            : !yarn ? new RopeScaling(RopeScalingKind.Llama3, factor, low, high, original)
            : new RopeScaling(RopeScalingKind.Yarn, factor, low, high, original, options.Real("rope-amplitude", factor <= 1 ? 1 : (0.1 * Math.Log(factor)) + 1, 1e-3, 1e3));
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
        Tensor all = Ops.Linear(x, qkv, qkvBias);
        Tensor q = all.Columns(0, Queries), k = all.Columns(Queries, Keys), v = all.Columns(Queries + Keys, Keys);
        if (qNorm is not null)
        {
            q = Turned(Ops.RmsNorm(q, qNorm, o.NormEpsilon, qNorm.Shape.Columns), cache.Position);
            k = Turned(Ops.RmsNorm(k, kNorm, o.NormEpsilon, kNorm!.Shape.Columns), cache.Position);
        }
        else
        {
            Tensor turned = Turned(all.Columns(0, Queries + Keys), cache.Position); // both at once
            (q, k) = (turned.Columns(0, Queries), turned.Columns(Queries, Keys));
        }

        Tensor y = Ops.Attention(q, k, v, cache.Before(x.Tape!), sizes, cache.Position, new AttentionBias(slopes));
        cache.Append(x.Tape!, k, v);
        if (o.OutputGate)
        {
            y = Ops.Multiply(y, Ops.Sigmoid(all.Columns(Queries + (2 * Keys), Queries)));
        }

        return Ops.Linear(y, output, outputBias);
    }

    private Tensor Turned(Tensor x, long position) => o.Theta > 0 ? Ops.Rope(x, sizes.HeadDim, position, o.Theta, o.Rotary, 0, o.Scaling) : x;

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new AttentionState(device, batch, sizes);

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context)
    {
        long remembered = (long)context + tokens;
        remembered = sizes.Window == 0 ? remembered : Math.Min(remembered, sizes.Window);
        return new Cost(
            Models.Cost.Linear(tokens, inputs, qkv.Shape[0]) + sizes.Flops(tokens, context) + Models.Cost.Linear(tokens, Queries, width),
            ParameterCount(),
            2 * remembered * Keys * sizeof(float));
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

/// <summary>The norm of an <see cref="Attention"/> mixer's queries and keys.</summary>
public enum QueryKeyNorm
{
    /// <summary>None.</summary>
    None,

    /// <summary>An RMS norm over each head's columns, one weight for all heads: Qwen3.</summary>
    Head,

    /// <summary>An RMS norm over the columns of all heads: OLMo.</summary>
    All,
}

/// <summary>What an <see cref="Attention"/> mixer is made by.</summary>
public sealed record AttentionSettings
{
    /// <summary>Heads, their width, scale and window.</summary>
    public required AttentionOptions Sizes { get; init; }

    /// <summary>The base of the rotary angles; 0: no rotary positions.</summary>
    public float Theta { get; init; }

    /// <summary>The columns of a head that turn; 0: all.</summary>
    public int Rotary { get; init; }

    /// <summary>How the rotary frequencies were changed for longer contexts.</summary>
    public RopeScaling Scaling { get; init; }

    /// <summary>Whether scores fall with the distance.</summary>
    public bool Alibi { get; init; }

    /// <summary>The norm of queries and keys, before they turn.</summary>
    public QueryKeyNorm Norm { get; init; }

    /// <summary>What that norm adds to the mean square.</summary>
    public float NormEpsilon { get; init; } = 1e-6f;

    /// <summary>Whether each output is multiplied by the sigmoid of a map of the input (Qwen3-Next).</summary>
    public bool OutputGate { get; init; }

    /// <summary>Whether queries, keys and values (and gates) have biases.</summary>
    public bool Bias { get; init; }

    /// <summary>Whether the output has a bias.</summary>
    public bool OutputBias { get; init; }
}

/// <summary>What <see cref="Attention"/> remembers: its tokens' keys and values.</summary>
public sealed class AttentionState : MixerState
{
    internal AttentionState(Device device, int batch, AttentionOptions options) =>
        Cache = Keep(new TokenCache(device, "cache", batch, options.KeyHeads * options.HeadDim, options.Window));

    /// <summary>The keys, rotated, and the values.</summary>
    public TokenCache Cache { get; }
}
