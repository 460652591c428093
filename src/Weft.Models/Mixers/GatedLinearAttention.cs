using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Gated linear attention (Yang et al., arXiv 2312.06635; section 4.4 and appendix C for the layer). Its memory forgets each key channel
/// at a rate of its own, chosen by the token. With a state S [dk,dv] per head,
/// <code>
/// q, k, v, r = W_q x, W_k x, W_v x, W_r x
/// a   = sigmoid(W_2 W_1 x + b)^(1/16)            W_2 W_1 of rank 16
/// S_t = diag(a_t) S_{t-1} + k_t v_t^T            equation 3
/// o_t = S_t^T q_t / sqrt(dk)
/// y   = W_o (rmsnorm(o) weight * silu(r))        the norm by head
/// </code>
/// H dk is half the model's width and H dv all of it, so that a layer has about 4 d^2 parameters. State: S.
/// </summary>
public sealed class GatedLinearAttention : Mixer
{
    private readonly GatedLinearAttentionOptions o;
    private readonly int width, keys, values; // model width d, H dk, H dv

    private readonly Tensor inProj;     // [2 H dk + 2 H dv + R, d]: q, k, v, r, the gate's W_1
    private readonly Tensor gateWeight; // [H dk, R]: W_2
    private readonly Tensor gateBias;   // [H dk]: b
    private readonly Tensor norm;       // [dv]: one weight for all heads
    private readonly Tensor outProj;    // [d, H dv]

    /// <summary>Makes the layer with the authors' initial weights: Xavier's bounds with gain 2^-2.5 for q, k and the gate.</summary>
    public GatedLinearAttention(Builder builder, GatedLinearAttentionOptions options)
    {
        (o, width) = (options, builder.Width);
        (keys, values) = (o.Heads * o.KeyWidth, o.Heads * o.ValueWidth);
        inProj = LearnLinear(builder, "in_proj.weight", new Shape((2 * (keys + values)) + o.GateRank, width), (weights, random) =>
        {
            int gate = weights.Length - (o.GateRank * width);
            Xavier(width, keys)(weights[..(2 * keys * width)], random);
            Initial.Linear(width)(weights[(2 * keys * width)..gate], random);
            Xavier(width, o.GateRank)(weights[gate..], random);
        });
        gateWeight = Learn(builder, "gate.weight", new Shape(keys, o.GateRank), Xavier(o.GateRank, keys), decay: true);
        gateBias = Learn(builder, "gate.bias", new Shape(keys), Initial.Linear(o.GateRank), decay: false);
        norm = Learn(builder, "norm.weight", new Shape(o.ValueWidth), Initial.Ones, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, values, 1 / MathF.Sqrt(builder.Blocks));

        static Initializer Xavier(int inputs, int outputs) => Initial.Uniform(MathF.Pow(2, -2.5f) * MathF.Sqrt(6f / (inputs + outputs)));
    }

    /// <summary>
    /// Options: <c>heads</c> (4), <c>expand-k</c> (H dk / d, 0.5), <c>expand-v</c> (H dv / d, 1), <c>gate-rank</c> (16), <c>gate-root</c> (16),
    /// <c>chunk</c> (64), <c>norm-epsilon</c>.
    /// </summary>
    /// <exception cref="InputException">An option is out of range, or the heads do not divide the columns.</exception>
    public static GatedLinearAttention Create(BlockOptions options, Builder builder)
    {
        int heads = options.Int("heads", 4, 1, 4096);
        return new GatedLinearAttention(builder, new GatedLinearAttentionOptions(heads, Width("expand-k", 0.5), Width("expand-v", 1))
        {
            GateRank = options.Int("gate-rank", 16, 1, 1024),
            GateRoot = (float)options.Real("gate-root", 16, 0.01, 1e6),
            Chunk = options.Int("chunk", 64, 1, 1024),
            NormEpsilon = (float)options.Real("norm-epsilon", 1e-5, 1e-12, 1),
        });

        int Width(string option, double usual)
        {
            double columns = options.Real(option, usual, 1.0 / 64, 16) * builder.Width, each = columns / heads;
            return each >= 1 && each == Math.Floor(each) ? (int)each
                : throw options.Refuse(option, $"times width {builder.Width} is {columns:0.###} columns, which {heads} heads do not divide; other heads or a multiple of {(double)heads / builder.Width:0.####} would");
        }
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (GatedLinearAttentionState)state;
        Tensor all = Ops.Linear(x, inProj);
        Tensor q = all.Columns(0, keys), k = all.Columns(keys, keys), v = all.Columns(2 * keys, values);
        Tensor r = all.Columns((2 * keys) + values, values), low = all.Columns(2 * (keys + values), o.GateRank);
        Tensor decay = Ops.LogForgetGate(Ops.Linear(low, gateWeight, gateBias), root: o.GateRoot);
        (Tensor y, Tensor memory) = ChannelDecay.Chunked(q, k, v, decay, bonus: null, s.Memory.Before(x.Tape!), o.Heads, 1 / MathF.Sqrt(o.KeyWidth), chunk: o.Chunk);
        s.Memory.After(memory);
        return Ops.Linear(Ops.GatedRmsNorm(y, r, norm, o.NormEpsilon, o.ValueWidth, gateFirst: false), outProj);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) =>
        new GatedLinearAttentionState(new StateTensor(inProj.Device, "memory", new Shape(batch, o.Heads, o.KeyWidth, o.ValueWidth)));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, inProj.Shape[0]) + Models.Cost.Linear(tokens, o.GateRank, keys)
            + ChannelDecay.Flops(tokens, o.Heads, o.KeyWidth, o.ValueWidth, o.Chunk) + Models.Cost.Linear(tokens, values, width),
        ParameterCount(),
        sizeof(float) * (long)keys * o.ValueWidth);
}

/// <summary>The sizes of a <see cref="GatedLinearAttention"/> layer.</summary>
/// <param name="Heads">The number of heads H.</param>
/// <param name="KeyWidth">A head's key width dk.</param>
/// <param name="ValueWidth">A head's value width dv.</param>
public sealed record GatedLinearAttentionOptions(int Heads, int KeyWidth, int ValueWidth)
{
    /// <summary>The rank of the gate's map.</summary>
    public int GateRank { get; init; } = 16;

    /// <summary>The root that is taken of the gate: the larger, the longer the memory.</summary>
    public float GateRoot { get; init; } = 16;

    /// <summary>Tokens computed together: changes the speed, and nothing else but rounding.</summary>
    public int Chunk { get; init; } = 64;

    /// <summary>What the norm adds to the mean square.</summary>
    public float NormEpsilon { get; init; } = 1e-5f;
}

/// <summary>What a <see cref="GatedLinearAttention"/> layer remembers: H dk dv floats a sequence.</summary>
public sealed class GatedLinearAttentionState : MixerState
{
    internal GatedLinearAttentionState(StateTensor memory) => Memory = Keep(memory);

    /// <summary>S [B,H,dk,dv].</summary>
    public StateTensor Memory { get; }
}
