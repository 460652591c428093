using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Gated slot attention (Zhang et al., arXiv 2409.07146, section 3): softmax attention over a memory of M slots per head, which forget
/// and are written at rates that the token chooses.
/// <code>
/// q, k, v = silu(W_q x), silu(W_k x), silu(W_v x)
/// f   = sigmoid(W_f x)^(1/8)                              by slot
/// K_t = diag(f_t) K_{t-1} + (1 - f_t) k_t^T               [M,dk], equation 8
/// V_t = diag(f_t) V_{t-1} + (1 - f_t) v_t^T               [M,dv]
/// o_t = V_t^T softmax(K_t q_t)                            equation 9
/// y   = W_o (rmsnorm(silu(o)) weight)
/// </code>
/// State: K and V.
/// </summary>
public sealed class GatedSlotAttention : Mixer
{
    private readonly GatedSlotAttentionOptions o;
    private readonly int width, gates; // model width d, H M

    private readonly Tensor inProj;  // [3 d + H M, d]: q, k, v, f
    private readonly Tensor norm;    // [d]
    private readonly Tensor outProj; // [d, d]

    /// <summary>Makes the layer; the heads must divide the width.</summary>
    public GatedSlotAttention(Builder builder, GatedSlotAttentionOptions options)
    {
        (o, width, gates) = (options, builder.Width, options.Heads * options.Slots);
        inProj = LearnLinear(builder, "in_proj.weight", (3 * width) + gates, width);
        norm = Learn(builder, "norm.weight", new Shape(width), Initial.Ones, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, width, 1 / MathF.Sqrt(builder.Blocks));
    }

    /// <summary>
    /// Options: <c>heads</c> (4), <c>slots</c> (M a head: 64, or a head's width where that is less), <c>gate-root</c> (8), <c>chunk</c>
    /// (64), <c>norm-epsilon</c>.
    /// </summary>
    /// <exception cref="InputException">An option is out of range, or the heads do not divide the width.</exception>
    public static GatedSlotAttention Create(BlockOptions options, Builder builder)
    {
        int heads = options.Int("heads", 4, 1, 4096);
        return builder.Width % heads != 0
            ? throw options.Refuse("heads", $"does not divide width {builder.Width}; 1, 2 and 4 usually do")
            : new GatedSlotAttention(builder, new GatedSlotAttentionOptions(heads, options.Int("slots", Math.Min(64, builder.Width / heads), 1, 4096))
            {
                GateRoot = (float)options.Real("gate-root", 8, 0.01, 1e6),
                Chunk = options.Int("chunk", 64, 1, 1024),
                NormEpsilon = (float)options.Real("norm-epsilon", 1e-5, 1e-12, 1),
            });
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var before = (GatedSlotAttentionState)state;
        Tape tape = x.Tape!;
        Tensor all = Ops.Linear(x, inProj), qkv = Ops.Silu(all.Columns(0, 3 * width));
        (Tensor decay, Tensor s) = Ops.ForgetGate(all.Columns(3 * width, gates), root: o.GateRoot);
        (Tensor y, Tensor keys, Tensor values) = GatedSlots.Chunked(qkv.Columns(0, width), qkv.Columns(width, width), qkv.Columns(2 * width, width), s, decay,
            before.Keys.Before(tape), before.Values.Before(tape), o.Heads, scale: 1, o.Chunk);
        before.Keys.After(keys);
        before.Values.After(values);
        return Ops.Linear(Ops.RmsNorm(Ops.Silu(y), norm, o.NormEpsilon), outProj);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new GatedSlotAttentionState(
        new StateTensor(inProj.Device, "keys", new Shape(batch, o.Heads, width / o.Heads, o.Slots)),
        new StateTensor(inProj.Device, "values", new Shape(batch, o.Heads, o.Slots, width / o.Heads)));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, (4 * width) + gates) + GatedSlots.Flops(tokens, o.Heads, width / o.Heads, width / o.Heads, o.Slots, o.Chunk),
        ParameterCount(),
        sizeof(float) * 2L * width * o.Slots);
}

/// <summary>The sizes of a <see cref="GatedSlotAttention"/> layer.</summary>
/// <param name="Heads">The number of heads H, a divisor of the width.</param>
/// <param name="Slots">A head's slots M.</param>
public sealed record GatedSlotAttentionOptions(int Heads, int Slots)
{
    /// <summary>The root that is taken of the gate: the larger, the longer the memory.</summary>
    public float GateRoot { get; init; } = 8;

    /// <summary>Tokens computed together: changes the speed, and nothing else but rounding.</summary>
    public int Chunk { get; init; } = 64;

    /// <summary>What the norm adds to the mean square.</summary>
    public float NormEpsilon { get; init; } = 1e-5f;
}

/// <summary>What a <see cref="GatedSlotAttention"/> layer remembers: 2 d M floats a sequence.</summary>
public sealed class GatedSlotAttentionState : MixerState
{
    internal GatedSlotAttentionState(StateTensor keys, StateTensor values) => (Keys, Values) = (Keep(keys), Keep(values));

    /// <summary>K^T [B,H,dk,M].</summary>
    public StateTensor Keys { get; }

    /// <summary>V [B,H,M,dv].</summary>
    public StateTensor Values { get; }
}
