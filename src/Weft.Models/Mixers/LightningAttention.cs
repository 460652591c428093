using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Lightning attention (Qin et al., "Various lengths, constant speed", arXiv 2405.04658) as MiniMax-01 has it (arXiv 2501.08313): linear
/// attention with a fixed decay a head, slower in later heads and in deeper layers. For head h = 1 .. H,
/// <code>
/// q, k, v = silu(W_qkv x),  g = W_g x
/// S_t = e^(-s_h) S_{t-1} + k_t v_t^T,  o_t = S_t^T q_t
/// s_h = 2^(-8 h / H) (1 - l / (L - 1) + 1e-5)              in layer l of L
/// out = W_out (norm(o) weight * sigmoid(g))                the norm over all heads' columns
/// </code>
/// State: S.
/// </summary>
public sealed class LightningAttention : Mixer
{
    private readonly LightningAttentionOptions o;
    private readonly Device device;
    private readonly int width, inner;

    private readonly Tensor inProj;    // [4 H d, D]: q, k, v, g
    private readonly Tensor norm;      // [H d]
    private readonly Tensor outProj;   // [D, H d]
    private readonly Tensor logDecays; // [H]: -s, fixed

    /// <summary>Makes the mixer.</summary>
    public LightningAttention(Builder builder, LightningAttentionOptions options)
    {
        (o, device, width, inner) = (options, builder.Device, builder.Width, options.Heads * options.HeadDim);
        inProj = LearnLinear(builder, "in_proj.weight", 4 * inner, width);
        norm = Learn(builder, "norm.weight", new Shape(inner), Initial.Ones, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, inner, 1 / MathF.Sqrt(builder.Blocks));
        logDecays = device.Of([.. Enumerable.Range(1, o.Heads).Select(h => (float)(-Math.Pow(2, -8.0 * h / o.Heads) * o.DecayFactor))], new Shape(o.Heads));
    }

    /// <summary>
    /// Options: <c>heads</c> (of about 128 columns), <c>head-dim</c> (width / heads), <c>decay-factor</c> (what the slopes s are
    /// multiplied by: from 1 in the model's first block to 1e-5 in its last), <c>chunk</c> (64), <c>norm-epsilon</c>.
    /// </summary>
    /// <exception cref="InputException">An option is out of range.</exception>
    public static LightningAttention Create(BlockOptions options, Builder builder)
    {
        int heads = options.IsGiven("head-dim") ? options.Int("heads", Math.Max(1, builder.Width / options.Int("head-dim", 128, 1, 4096)), 1, 4096)
            : HeadSizes.Even(options, builder.Width, 128, "the width");
        double depth = builder.Blocks > 1 ? options.Index / (builder.Blocks - 1 + 1e-5) : 0;
        return new LightningAttention(builder, new LightningAttentionOptions
        {
            Heads = heads,
            HeadDim = options.Int("head-dim", builder.Width / heads, 1, 4096),
            DecayFactor = options.Real("decay-factor", Math.Round(1 - depth + 1e-5, 6), 0, 100),
            Chunk = options.Int("chunk", 64, 1, 1024),
            NormEpsilon = (float)options.Real("norm-epsilon", 1e-6, 1e-12, 1),
        });
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        StateTensor memory = ((LightningAttentionState)state).S;
        Tensor all = Ops.Linear(x, inProj);
        Tensor qkv = Ops.Silu(all.Columns(0, 3 * inner));
        (Tensor y, Tensor s) = ScalarDecay.Chunked(qkv.Columns(0, inner), qkv.Columns(inner, inner), qkv.Columns(2 * inner, inner),
            logDecays, gate: null, skip: null, memory.Before(x.Tape!), o.Heads, chunk: o.Chunk);
        memory.After(s);
        return Ops.Linear(Ops.Multiply(Ops.RmsNorm(y, norm, o.NormEpsilon), Ops.Sigmoid(all.Columns(3 * inner, inner))), outProj);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new LightningAttentionState(device, new Shape(batch, o.Heads, o.HeadDim, o.HeadDim));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, 5 * inner) + ScalarDecay.Flops(tokens, o.Heads, o.Heads, o.HeadDim, o.HeadDim, o.Chunk),
        ParameterCount(),
        sizeof(float) * (long)inner * o.HeadDim);
}

/// <summary>The sizes of a <see cref="LightningAttention"/> mixer.</summary>
public sealed record LightningAttentionOptions
{
    /// <summary>Heads, H.</summary>
    public required int Heads { get; init; }

    /// <summary>Columns of a head's queries, keys and values.</summary>
    public required int HeadDim { get; init; }

    /// <summary>What the slopes are multiplied by: 1 - l / (L - 1) + 1e-5 in layer l of L.</summary>
    public double DecayFactor { get; init; } = 1;

    /// <summary>Tokens computed together: changes the speed, and nothing else but rounding.</summary>
    public int Chunk { get; init; } = 64;

    /// <summary>What the norm adds to the mean square.</summary>
    public float NormEpsilon { get; init; } = 1e-6f;
}

/// <summary>What a <see cref="LightningAttention"/> mixer remembers.</summary>
public sealed class LightningAttentionState : MixerState
{
    internal LightningAttentionState(Device device, Shape s) => S = Keep(new StateTensor(device, "s", s));

    /// <summary>S [B,H,d,d].</summary>
    public StateTensor S { get; }
}
