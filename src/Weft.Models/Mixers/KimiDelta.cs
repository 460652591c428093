using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>The sizes and choices of a <see cref="KimiDelta"/> layer.</summary>
/// <param name="Heads">The number of heads H.</param>
/// <param name="HeadDim">A head's width, of keys and values alike, and the rank of the maps that make decays and gates.</param>
/// <param name="Conv">The tokens that the short convolution sees, this one included.</param>
/// <param name="Chunk">Tokens computed together: how it is computed, not what.</param>
/// <param name="NegativeEigenvalues">Whether beta goes to 2 instead of 1 (Grazzi et al., arXiv 2411.12537).</param>
public sealed record KimiDeltaOptions(int Heads, int HeadDim, int Conv = 4, int Chunk = 64, bool NegativeEigenvalues = false);

/// <summary>
/// Kimi delta attention (Kimi Linear, arXiv 2510.26692, section 4 and equation 1): the gated delta rule with a decay per key channel
/// instead of one per head. With [x]_h for head h's part:
/// <code>
/// q, k, v = silu(conv(W_q x)), silu(conv(W_k x)), silu(conv(W_v x))               short causal convolutions, one per channel
/// q, k    = [q]_h / |[q]_h|, [k]_h / |[k]_h|
/// g       = -exp(A_log_h) softplus(W_f2 W_f1 x + dt_bias)                         log decay, per key channel, low rank
/// beta    = sigmoid(W_b x)                                                        write strength
/// S_t     = (I - beta_t k_t k_t^T) diag(e^g_t) S_{t-1} + beta_t k_t v_t^T
/// o_t     = d_h^-1/2 S_t^T q_t
/// y       = W_o (rmsnorm([o]_h) weight * sigmoid(W_g2 W_g1 x + b_g))              the gate low rank too
/// </code>
/// </summary>
public sealed class KimiDelta : Mixer
{
    private const float NormEpsilon = 1e-5f;

    private readonly KimiDeltaOptions options;
    private readonly int width, inner; // model width d, H head widths

    private readonly Tensor inProj;   // [3 inner + 2 head width + H, d]: rows q, k, v, f1, g1, b
    private readonly Tensor conv;     // [3 inner, K]: q, k, v
    private readonly Tensor decayUp;  // [inner, head width]: f2
    private readonly Tensor dtBias;   // [inner]
    private readonly Tensor aLog;     // [H]
    private readonly Tensor gateUp;   // [inner, head width]: g2
    private readonly Tensor gateBias; // [inner]
    private readonly Tensor norm;     // [head width]: one weight for all heads
    private readonly Tensor outProj;  // [d, inner]

    /// <summary>Makes the layer with its initial weights: A ~ U(1, 16), the softplus of dt_bias log-uniform in [0.001, 0.1].</summary>
    public KimiDelta(Builder builder, KimiDeltaOptions options)
    {
        this.options = options;
        width = builder.Width;
        inner = options.Heads * options.HeadDim;
        inProj = LearnLinear(builder, "in_proj.weight", (3 * inner) + (2 * options.HeadDim) + options.Heads, width);
        conv = Learn(builder, "conv.weight", new Shape(3 * inner, options.Conv), Initial.Linear(options.Conv), decay: true);
        decayUp = LearnLinear(builder, "f_proj.weight", inner, options.HeadDim);
        dtBias = Learn(builder, "dt_bias", new Shape(inner), Initial.StepBias(), decay: false);
        aLog = Learn(builder, "A_log", new Shape(options.Heads), Initial.LogUniform(1, 16), decay: false);
        gateUp = LearnLinear(builder, "g_proj.weight", inner, options.HeadDim);
        gateBias = Learn(builder, "g_proj.bias", new Shape(inner), Initial.Zeros, decay: false);
        norm = Learn(builder, "norm.weight", new Shape(options.HeadDim), Initial.Ones, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, inner, 1 / MathF.Sqrt(builder.Blocks));
    }

    /// <summary>
    /// Options: <c>heads</c> or <c>head-dim</c>, which together make up the model's width (unless told heads of 128, or what of its halves
    /// divides the width into two or more), <c>conv</c>, <c>chunk</c>, <c>negative-eigenvalues</c>.
    /// </summary>
    /// <exception cref="InputException">An option is out of range, or the heads do not divide the width.</exception>
    public static KimiDelta Create(BlockOptions options, Builder builder)
    {
        (int heads, int headDim) = HeadSizes.Read(options, builder.Width, 128);
        return new KimiDelta(builder, new KimiDeltaOptions(heads, headDim,
            options.Int("conv", 4, 2, 64), options.Int("chunk", 64, 1, 1024), options.Flag("negative-eigenvalues", false)));
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (KimiDeltaState)state;
        Tape tape = x.Tape!;
        int heads = options.Heads, rank = options.HeadDim;

        Tensor all = Ops.Linear(x, inProj);
        (Tensor qkv, Tensor tail) = Ops.CausalConv(all.Columns(0, 3 * inner), conv, null, s.Conv.Before(tape), silu: true);
        s.Conv.After(tail);
        Tensor q = Ops.L2Norm(qkv.Columns(0, inner), options.HeadDim);
        Tensor k = Ops.L2Norm(qkv.Columns(inner, inner), options.HeadDim);
        Tensor beta = Ops.Sigmoid(all.Columns((3 * inner) + (2 * rank), heads));
        if (options.NegativeEigenvalues)
        {
            beta = Ops.Affine(beta, 2);
        }

        // One rate a head, times a step per channel.
        Tensor rate = Ops.Affine(Ops.Exp(Ops.Copy(aLog, tape)), -1).Reshape(new Shape(heads, 1));
        Tensor steps = Ops.Softplus(Ops.Linear(all.Columns(3 * inner, rank), decayUp, dtBias));
        Tensor g = Ops.Multiply(steps.Reshape(new Shape(x.Shape[0], x.Shape[1], heads, options.HeadDim)), rate).Reshape(steps.Shape);

        (Tensor o, Tensor memory) = ChannelDelta.Chunked(q, k, qkv.Columns(2 * inner, inner), beta, g, s.Memory.Before(tape),
            1 / MathF.Sqrt(options.HeadDim), options.Chunk);
        s.Memory.After(memory);
        Tensor gate = Ops.Sigmoid(Ops.Linear(all.Columns((3 * inner) + rank, rank), gateUp, gateBias));
        return Ops.Linear(Ops.Multiply(Ops.RmsNorm(o, norm, NormEpsilon, options.HeadDim), gate), outProj);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new KimiDeltaState(
        new StateTensor(inProj.Device, "conv", new Shape(batch, options.Conv - 1, 3 * inner)),
        new StateTensor(inProj.Device, "memory", new Shape(batch, options.Heads, options.HeadDim, options.HeadDim)));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, inProj.Shape[0]) + (2L * tokens * 3 * inner * options.Conv)
            + Models.Cost.Linear(tokens, options.HeadDim, 2L * inner)
            + ChannelDelta.Flops(tokens, options.Heads, options.HeadDim, options.HeadDim, lowRank: false, options.Chunk)
            + Models.Cost.Linear(tokens, inner, width),
        ParameterCount(),
        sizeof(float) * (((options.Conv - 1L) * 3 * inner) + ((long)inner * options.HeadDim)));
}

/// <summary>What a <see cref="KimiDelta"/> layer remembers, whatever the number of tokens: d (head width) + 3 (K - 1) d floats a sequence.</summary>
public sealed class KimiDeltaState : MixerState
{
    internal KimiDeltaState(StateTensor conv, StateTensor memory) => (Conv, Memory) = (Keep(conv), Keep(memory));

    /// <summary>The convolution's last inputs [B, K-1, 3 d], oldest first.</summary>
    public StateTensor Conv { get; }

    /// <summary>S [B,H,dk,dv].</summary>
    public StateTensor Memory { get; }
}
