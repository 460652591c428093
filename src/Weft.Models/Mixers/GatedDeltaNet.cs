using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>The sizes and choices of a <see cref="GatedDeltaNet"/> layer.</summary>
/// <param name="Heads">The number of heads H: of values, gates and memories.</param>
/// <param name="KeyHeads">The heads of queries and keys, a divisor of H: each serves H / KeyHeads heads of values, as in Qwen3-Next.</param>
/// <param name="KeyWidth">A head's key width dk.</param>
/// <param name="ValueWidth">A head's value width dv.</param>
/// <param name="Conv">The tokens that the short convolution sees, this one included.</param>
/// <param name="Chunk">Tokens computed together: how it is computed, not what.</param>
/// <param name="NegativeEigenvalues">Whether beta goes to 2 instead of 1, so that the state's transition can flip a direction (Grazzi et al., arXiv 2411.12537).</param>
/// <param name="NormEpsilon">What the norm of the outputs adds to the mean square.</param>
public sealed record GatedDeltaNetOptions(
    int Heads, int KeyHeads, int KeyWidth, int ValueWidth, int Conv = 4, int Chunk = 64, bool NegativeEigenvalues = false, float NormEpsilon = 1e-5f);

/// <summary>
/// Gated DeltaNet (Yang, Kautz and Hatamizadeh, "Gated Delta Networks: Improving Mamba2 with Delta Rule", arXiv 2412.06464; section 3.4
/// and figure 1 for the layer). With [x]_h for head h's part:
/// <code>
/// q, k, v = silu(conv(W_q x)), silu(conv(W_k x)), silu(conv(W_v x))      short causal convolutions, one per channel
/// q, k    = [q]_h / |[q]_h|, [k]_h / |[k]_h|
/// a       = -exp(A_log) softplus(W_a x + dt_bias)                        log decay, as in Mamba-2
/// beta    = sigmoid(W_b x)                                               write strength
/// S_t     = exp(a_t) (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T   equation 10
/// o_t     = dk^-1/2 S_t^T q_t
/// y       = W_o (rmsnorm([o]_h) weight * silu(W_g x))
/// </code>
/// </summary>
public sealed class GatedDeltaNet : Mixer
{
    private readonly GatedDeltaNetOptions options;
    private readonly int width, keys, values; // model width d, Hk dk, H dv

    private readonly Tensor inProj;  // [2 Hk dk + 2 H dv + 2 H, d]: rows q, k, v, g, b, a
    private readonly Tensor conv;    // [2 Hk dk + H dv, K]: q, k, v
    private readonly Tensor aLog;    // [H]
    private readonly Tensor dtBias;  // [H]
    private readonly Tensor norm;    // [dv]: one weight for all heads
    private readonly Tensor outProj; // [d, H dv]

    /// <summary>Makes the layer with its initial weights: A ~ U(0, 16), the softplus of dt_bias log-uniform in [0.001, 0.1].</summary>
    public GatedDeltaNet(Builder builder, GatedDeltaNetOptions options)
    {
        this.options = options;
        width = builder.Width;
        (keys, values) = (options.KeyHeads * options.KeyWidth, options.Heads * options.ValueWidth);
        inProj = LearnLinear(builder, "in_proj.weight", (2 * keys) + (2 * values) + (2 * options.Heads), width);
        conv = Learn(builder, "conv.weight", new Shape(Channels, options.Conv), Initial.Linear(options.Conv), decay: true);
        aLog = Learn(builder, "A_log", new Shape(options.Heads), Initial.LogUniform(0, 16), decay: false);
        dtBias = Learn(builder, "dt_bias", new Shape(options.Heads), Initial.StepBias(), decay: false);
        norm = Learn(builder, "norm.weight", new Shape(options.ValueWidth), Initial.Ones, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, values, 1 / MathF.Sqrt(builder.Blocks));
    }

    private int Channels => (2 * keys) + values; // of the convolution

    /// <summary>
    /// Options: <c>heads</c>, <c>key-heads</c>, <c>head-dim</c> (dk), <c>expand-v</c> (dv / dk) or <c>value-dim</c> (dv), <c>conv</c>, <c>chunk</c>,
    /// <c>negative-eigenvalues</c>, <c>norm-epsilon</c>. Fewer key heads than heads: several heads of values share one of queries and keys.
    /// The paper gives queries and keys 3/4 of the model's width together (H dk = 0.75 d) and values twice that, so that a layer has 6 d^2
    /// parameters. Unless told, the heads are six, as in its models of width 2048, and three below width 768: memory is dk dv a head,
    /// and the paper's ablation finds heads narrower than 128 worse. The head width is then what makes 3/4 of the model's, to a multiple of 8.
    /// </summary>
    /// <exception cref="InputException">An option is out of range, the head widths are not whole, or the key heads do not divide the heads.</exception>
    public static GatedDeltaNet Create(BlockOptions options, Builder builder)
    {
        double keys = 0.75 * builder.Width;
        int usual = builder.Width < 768 ? 3 : 6;
        int heads, headDim;
        if (options.IsGiven("head-dim") && !options.IsGiven("heads"))
        {
            headDim = options.Int("head-dim", 0, 1, 1024);
            heads = options.Int("heads", Math.Max(1, (int)Math.Round(keys / headDim)), 1, 4096);
        }
        else
        {
            heads = options.Int("heads", usual, 1, 4096);
            headDim = options.Int("head-dim", Math.Clamp((int)Math.Round(keys / heads / 8) * 8, 8, 1024), 1, 1024);
        }

        int valueWidth = options.IsGiven("value-dim") ? options.Int("value-dim", headDim, 1, 4096) : Expanded(options, headDim);
        int keyHeads = options.Int("key-heads", heads, 1, 4096);
        if (heads % keyHeads != 0)
        {
            throw options.Refuse("key-heads", $"does not divide the {heads} heads; numbers that do: {HeadSizes.Divisors(heads, heads)}");
        }

        return new GatedDeltaNet(builder, new GatedDeltaNetOptions(heads, keyHeads, headDim, valueWidth,
            options.Int("conv", 4, 2, 64), options.Int("chunk", 64, 1, 1024), options.Flag("negative-eigenvalues", false),
            (float)options.Real("norm-epsilon", 1e-5, 1e-12, 1)));
    }

    private static int Expanded(BlockOptions options, int headDim)
    {
        double width = options.Real("expand-v", 2, 1.0 / 1024, 16) * headDim;
        return width == Math.Floor(width) ? (int)width
            : throw options.Refuse("expand-v", $"times head-dim {headDim} is {width:0.###}, not a whole value width; 1, 1.5 or 2 usually do");
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (GatedDeltaNetState)state;
        Tape tape = x.Tape!;
        int heads = options.Heads;

        Tensor all = Ops.Linear(x, inProj);
        (Tensor qkv, Tensor tail) = Ops.CausalConv(all.Columns(0, Channels), conv, null, s.Conv.Before(tape), silu: true);
        s.Conv.After(tail);
        Tensor q = Ops.L2Norm(qkv.Columns(0, keys), options.KeyWidth);
        Tensor k = Ops.L2Norm(qkv.Columns(keys, keys), options.KeyWidth);
        Tensor v = qkv.Columns(2 * keys, values);
        Tensor gate = all.Columns(Channels, values);

        Tensor beta = Ops.Sigmoid(all.Columns(Channels + values, heads));
        if (options.NegativeEigenvalues)
        {
            beta = Ops.Affine(beta, 2);
        }

        Tensor rate = Ops.Affine(Ops.Exp(Ops.Copy(aLog, tape)), -1);
        Tensor a = Ops.Multiply(Ops.Softplus(Ops.Add(all.Columns(Channels + values + heads, heads), dtBias)), rate);

        (Tensor o, Tensor memory) = DeltaRule.Chunked(q, k, v, beta, a, s.Memory.Before(tape), options.KeyHeads, 1 / MathF.Sqrt(options.KeyWidth), options.Chunk);
        s.Memory.After(memory);
        return Ops.Linear(Ops.GatedRmsNorm(o, gate, norm, options.NormEpsilon, options.ValueWidth, gateFirst: false), outProj);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new GatedDeltaNetState(
        new StateTensor(inProj.Device, "conv", new Shape(batch, options.Conv - 1, Channels)),
        new StateTensor(inProj.Device, "memory", new Shape(batch, options.Heads, options.KeyWidth, options.ValueWidth)));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, inProj.Shape[0]) + (2L * tokens * Channels * options.Conv)
            + Ops.DeltaRuleFlops(tokens, options.Heads, options.KeyWidth, options.ValueWidth, options.Chunk)
            + Models.Cost.Linear(tokens, values, width),
        ParameterCount(),
        sizeof(float) * (((options.Conv - 1L) * Channels) + ((long)values * options.KeyWidth)));
}

/// <summary>What a <see cref="GatedDeltaNet"/> layer remembers, whatever the number of tokens: H dk dv + (K - 1) (2 Hk dk + H dv) floats a sequence.</summary>
public sealed class GatedDeltaNetState : MixerState
{
    internal GatedDeltaNetState(StateTensor conv, StateTensor memory) => (Conv, Memory) = (Keep(conv), Keep(memory));

    /// <summary>The convolution's last inputs [B, K-1, 2 Hk dk + H dv], oldest first.</summary>
    public StateTensor Conv { get; }

    /// <summary>S [B,H,dk,dv].</summary>
    public StateTensor Memory { get; }
}
