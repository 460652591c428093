using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>The sizes and choices of a <see cref="GatedDeltaProduct"/> layer.</summary>
/// <param name="Heads">The number of heads H.</param>
/// <param name="KeyWidth">A head's key width dk.</param>
/// <param name="ValueWidth">A head's value width dv.</param>
/// <param name="Householders">Steps a token takes, n: the rank by which its transition may differ from a decay.</param>
/// <param name="Conv">The tokens that the short convolution sees, this one included.</param>
/// <param name="Chunk">Tokens computed together: how it is computed, not what.</param>
/// <param name="NegativeEigenvalues">Whether beta goes to 2 instead of 1, so that a step can reflect.</param>
public sealed record GatedDeltaProductOptions(
    int Heads, int KeyWidth, int ValueWidth, int Householders = 2, int Conv = 4, int Chunk = 32, bool NegativeEigenvalues = true);

/// <summary>
/// Gated DeltaProduct (Siems et al., "DeltaProduct: Improving State-Tracking in Linear RNNs via Householder Products", arXiv 2502.10297,
/// section 3): Gated DeltaNet with n delta-rule steps a token. With [x]_h for head h's part and i = 1 .. n:
/// <code>
/// q, k_i, v_i = silu(conv(W_q x)), silu(conv(W_k,i x)), silu(conv(W_v,i x))   short causal convolutions, one per channel
/// q, k_i  = [q]_h / |[q]_h|, [k_i]_h / |[k_i]_h|
/// a       = -exp(A_log) softplus(W_a x + dt_bias)                             log decay, once a token
/// beta_i  = 2 sigmoid(W_b,i x)                                                write strength; 2 is a reflection
/// S_t     = prod_i (I - beta_i k_i k_i^T) exp(a_t) S_{t-1} + ..               see Recurrences/DeltaProduct.cs
/// o_t     = dk^-1/2 S_t^T q_t
/// y       = W_o (rmsnorm([o]_h) weight * silu(W_g x))
/// </code>
/// </summary>
public sealed class GatedDeltaProduct : Mixer
{
    private const float NormEpsilon = 1e-5f;

    private readonly GatedDeltaProductOptions options;
    private readonly int width, steps, keys, values; // model width d, n, H dk, H dv

    private readonly Tensor inProj;  // [(1 + n) H dk + (n + 1) H dv + (n + 1) H, d]: rows q, k_1 .. k_n, v_1 .. v_n, g, b_1 .. b_n, a
    private readonly Tensor keyConv; // [(1 + n) H dk, K]: q, k
    private readonly Tensor conv;    // [n H dv, K]: v
    private readonly Tensor aLog;    // [H]
    private readonly Tensor dtBias;  // [H]
    private readonly Tensor norm;    // [dv]: one weight for all heads
    private readonly Tensor outProj; // [d, H dv]

    /// <summary>Makes the layer with its initial weights: A ~ U(0, 16), the softplus of dt_bias log-uniform in [0.001, 0.1].</summary>
    public GatedDeltaProduct(Builder builder, GatedDeltaProductOptions options)
    {
        this.options = options;
        (width, steps) = (builder.Width, options.Householders);
        (keys, values) = (options.Heads * options.KeyWidth, options.Heads * options.ValueWidth);
        inProj = LearnLinear(builder, "in_proj.weight", (steps + 1) * (keys + values + options.Heads), width);
        keyConv = Learn(builder, "key_conv.weight", new Shape(KeyChannels, options.Conv), Initial.Linear(options.Conv), decay: true);
        conv = Learn(builder, "value_conv.weight", new Shape(steps * values, options.Conv), Initial.Linear(options.Conv), decay: true);
        aLog = Learn(builder, "A_log", new Shape(options.Heads), Initial.LogUniform(0, 16), decay: false);
        dtBias = Learn(builder, "dt_bias", new Shape(options.Heads), Initial.StepBias(), decay: false);
        norm = Learn(builder, "norm.weight", new Shape(options.ValueWidth), Initial.Ones, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, values, 1 / MathF.Sqrt(builder.Blocks));
    }

    private int KeyChannels => (1 + steps) * keys; // of queries and keys

    /// <summary>
    /// Options: <c>householders</c> (n), <c>heads</c>, <c>head-dim</c> (dk), <c>expand-v</c> (dv / dk), <c>conv</c>, <c>chunk</c> (tokens),
    /// <c>negative-eigenvalues</c>. Unless told, heads are as wide as <see cref="GatedDeltaNet"/>'s, and as many fewer as the n keys and
    /// values of a token cost parameters: 8 / (5 + 3 n) of them, so that a layer stays near 6 d^2, as the paper compares them.
    /// </summary>
    /// <exception cref="InputException">An option is out of range, or the value width is not whole.</exception>
    public static GatedDeltaProduct Create(BlockOptions options, Builder builder)
    {
        int steps = options.Int("householders", 2, 1, 16), single = builder.Width < 768 ? 3 : 6;
        int heads = options.Int("heads", Math.Max(1, (int)Math.Round(single * 8.0 / (5 + (3 * steps)))), 1, 4096);
        int headDim = options.Int("head-dim", Math.Clamp((int)Math.Round(0.75 * builder.Width / single / 8) * 8, 8, 1024), 1, 1024);
        double expand = options.Real("expand-v", 2, 1.0 / 1024, 16), valueWidth = expand * headDim;
        if (valueWidth != Math.Floor(valueWidth))
        {
            throw options.Refuse("expand-v", $"times head-dim {headDim} is {valueWidth:0.###}, not a whole value width; 1, 1.5 or 2 usually do");
        }

        return new GatedDeltaProduct(builder, new GatedDeltaProductOptions(heads, headDim, (int)valueWidth, steps,
            options.Int("conv", 4, 2, 64), options.Int("chunk", Math.Max(1, 64 / steps), 1, 1024), options.Flag("negative-eigenvalues", true)));
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (GatedDeltaProductState)state;
        Tape tape = x.Tape!;
        int batch = x.Shape[0], time = x.Shape[1], heads = options.Heads, at = 0;

        Tensor all = Ops.Linear(x, inProj);
        (Tensor qk, Tensor keyTail) = Ops.CausalConv(Next(KeyChannels), keyConv, null, s.KeyConv.Before(tape), silu: true);
        s.KeyConv.After(keyTail);
        (Tensor v, Tensor tail) = Ops.CausalConv(Next(steps * values), conv, null, s.ValueConv.Before(tape), silu: true);
        s.ValueConv.After(tail);
        Tensor gate = Next(values), beta = Ops.Sigmoid(Next(steps * heads)), rates = Next(heads);
        if (options.NegativeEigenvalues)
        {
            beta = Ops.Affine(beta, 2);
        }

        Tensor q = Ops.L2Norm(qk.Columns(0, keys), options.KeyWidth);
        Tensor k = Ops.L2Norm(qk.Columns(keys, steps * keys), options.KeyWidth);
        Tensor a = Ops.Multiply(Ops.Softplus(Ops.Add(rates, dtBias)), Ops.Affine(Ops.Exp(Ops.Copy(aLog, tape)), -1));

        // A token's n keys lie in one row: seen as n rows, they are n steps.
        (Tensor o, Tensor memory) = DeltaProduct.Chunked(q, Steps(k), Steps(v), Steps(beta), a, s.Memory.Before(tape), heads, 1 / MathF.Sqrt(options.KeyWidth), options.Chunk);
        s.Memory.After(memory);
        return Ops.Linear(Ops.GatedRmsNorm(o, gate, norm, NormEpsilon, options.ValueWidth, gateFirst: false), outProj);

        Tensor Next(int columns) => all.Columns((at += columns) - columns, columns);

        Tensor Steps(Tensor y) => y.Reshape(new Shape(batch, time * steps, y.Shape.Columns / steps));
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new GatedDeltaProductState(
        new StateTensor(inProj.Device, "key_conv", new Shape(batch, options.Conv - 1, KeyChannels)),
        new StateTensor(inProj.Device, "value_conv", new Shape(batch, options.Conv - 1, steps * values)),
        new StateTensor(inProj.Device, "memory", new Shape(batch, options.Heads, options.KeyWidth, options.ValueWidth)));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, inProj.Shape[0]) + (2L * tokens * options.Conv * (KeyChannels + (steps * values)))
            + DeltaProduct.Flops(tokens, steps, options.Heads, options.KeyWidth, options.ValueWidth, options.Chunk)
            + Models.Cost.Linear(tokens, values, width),
        ParameterCount(),
        sizeof(float) * (((options.Conv - 1L) * (KeyChannels + (steps * values))) + ((long)keys * options.ValueWidth)));
}

/// <summary>What a <see cref="GatedDeltaProduct"/> layer remembers: H dk dv + (K - 1) ((1 + n) H dk + n H dv) floats a sequence.</summary>
public sealed class GatedDeltaProductState : MixerState
{
    internal GatedDeltaProductState(StateTensor keyConv, StateTensor valueConv, StateTensor memory) =>
        (KeyConv, ValueConv, Memory) = (Keep(keyConv), Keep(valueConv), Keep(memory));

    /// <summary>The last inputs of the convolution of queries and keys [B, K-1, (1 + n) H dk], oldest first.</summary>
    public StateTensor KeyConv { get; }

    /// <summary>The last inputs of the convolution of values [B, K-1, n H dv], oldest first.</summary>
    public StateTensor ValueConv { get; }

    /// <summary>S [B,H,dk,dv].</summary>
    public StateTensor Memory { get; }
}
