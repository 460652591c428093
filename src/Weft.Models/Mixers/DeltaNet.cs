using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>The sizes and choices of a <see cref="DeltaNet"/> layer.</summary>
/// <param name="Heads">The number of heads H.</param>
/// <param name="HeadDim">A head's width, of keys and values alike.</param>
/// <param name="Conv">The tokens that the short convolution sees, this one included.</param>
/// <param name="Chunk">Tokens computed together: how it is computed, not what.</param>
/// <param name="NegativeEigenvalues">Whether beta goes to 2 instead of 1, so that the state's transition can flip a direction (Grazzi et al., arXiv 2411.12537).</param>
public sealed record DeltaNetOptions(int Heads, int HeadDim, int Conv = 4, int Chunk = 64, bool NegativeEigenvalues = false);

/// <summary>
/// DeltaNet: linear attention whose memory is corrected rather than added to (Schlag, Irie and Schmidhuber, arXiv 2102.11174, section
/// 4.2), with the layer of Yang et al. (arXiv 2406.06484, section 3.3 and figure 1). With [x]_h for head h's part:
/// <code>
/// q, k, v = silu(conv(W_q x)), silu(conv(W_k x)), silu(conv(W_v x))      short causal convolutions, one per channel
/// q, k    = [q]_h / |[q]_h|, [k]_h / |[k]_h|
/// beta    = sigmoid(W_b x)                                               write strength
/// S_t     = (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T
/// o_t     = d_h^-1/2 S_t^T q_t
/// y       = W_o (rmsnorm([o]_h) weight)
/// </code>
/// </summary>
public sealed class DeltaNet : Mixer
{
    private const float NormEpsilon = 1e-5f;

    private readonly DeltaNetOptions options;
    private readonly int width, inner; // model width d, H head widths

    private readonly Tensor inProj;  // [3 inner + H, d]: rows q, k, v, b
    private readonly Tensor conv;    // [3 inner, K]: q, k, v
    private readonly Tensor norm;    // [head width]: one weight for all heads
    private readonly Tensor outProj; // [d, inner]

    /// <summary>Makes the layer with its initial weights.</summary>
    public DeltaNet(Builder builder, DeltaNetOptions options)
    {
        this.options = options;
        width = builder.Width;
        inner = options.Heads * options.HeadDim;
        inProj = LearnLinear(builder, "in_proj.weight", (3 * inner) + options.Heads, width);
        conv = Learn(builder, "conv.weight", new Shape(3 * inner, options.Conv), Initial.Linear(options.Conv), decay: true);
        norm = Learn(builder, "norm.weight", new Shape(options.HeadDim), Initial.Ones, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, inner, 1 / MathF.Sqrt(builder.Blocks));
    }

    /// <summary>
    /// Options: <c>heads</c> or <c>head-dim</c>, which together make up the model's width (unless told heads of 128, or what of its halves
    /// divides the width into two or more), <c>conv</c>, <c>chunk</c>, <c>negative-eigenvalues</c>.
    /// </summary>
    /// <exception cref="InputException">An option is out of range, or the heads do not divide the width.</exception>
    public static DeltaNet Create(BlockOptions options, Builder builder)
    {
        (int heads, int headDim) = HeadSizes.Read(options, builder.Width, 128);
        return new DeltaNet(builder, new DeltaNetOptions(heads, headDim,
            options.Int("conv", 4, 2, 64), options.Int("chunk", 64, 1, 1024), options.Flag("negative-eigenvalues", false)));
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (DeltaNetState)state;
        Tape tape = x.Tape!;

        Tensor all = Ops.Linear(x, inProj);
        (Tensor qkv, Tensor tail) = Ops.CausalConv(all.Columns(0, 3 * inner), conv, null, s.Conv.Before(tape), silu: true);
        s.Conv.After(tail);
        Tensor q = Ops.L2Norm(qkv.Columns(0, inner), options.HeadDim);
        Tensor k = Ops.L2Norm(qkv.Columns(inner, inner), options.HeadDim);
        Tensor beta = Ops.Sigmoid(all.Columns(3 * inner, options.Heads));
        if (options.NegativeEigenvalues)
        {
            beta = Ops.Affine(beta, 2);
        }

        (Tensor o, Tensor memory) = DeltaRule.Chunked(q, k, qkv.Columns(2 * inner, inner), beta, null, s.Memory.Before(tape),
            options.Heads, 1 / MathF.Sqrt(options.HeadDim), options.Chunk);
        s.Memory.After(memory);
        return Ops.Linear(Ops.RmsNorm(o, norm, NormEpsilon, options.HeadDim), outProj);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new DeltaNetState(
        new StateTensor(inProj.Device, "conv", new Shape(batch, options.Conv - 1, 3 * inner)),
        new StateTensor(inProj.Device, "memory", new Shape(batch, options.Heads, options.HeadDim, options.HeadDim)));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, inProj.Shape[0]) + (2L * tokens * 3 * inner * options.Conv)
            + Ops.DeltaRuleFlops(tokens, options.Heads, options.HeadDim, options.HeadDim, options.Chunk)
            + Models.Cost.Linear(tokens, inner, width),
        ParameterCount(),
        sizeof(float) * (((options.Conv - 1L) * 3 * inner) + ((long)inner * options.HeadDim)));
}

/// <summary>What a <see cref="DeltaNet"/> layer remembers, whatever the number of tokens: d (head width) + 3 (K - 1) d floats a sequence.</summary>
public sealed class DeltaNetState : MixerState
{
    internal DeltaNetState(StateTensor conv, StateTensor memory) => (Conv, Memory) = (Keep(conv), Keep(memory));

    /// <summary>The convolution's last inputs [B, K-1, 3 d], oldest first.</summary>
    public StateTensor Conv { get; }

    /// <summary>S [B,H,dk,dv].</summary>
    public StateTensor Memory { get; }
}
