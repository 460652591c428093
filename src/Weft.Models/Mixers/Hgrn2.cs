using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// HGRN-2 (Qin et al., "HGRN2: Gated Linear RNNs with State Expansion", arXiv 2404.07904, section 3.2): a gated linear recurrence whose
/// state is expanded by an outer product instead of by parameters. The forget gate f is both the decay and, as 1 - f, the key. With a
/// state S [n,n] per head of n channels,
/// <code>
/// q, z, v = silu(W_q x), W_f x, W_i x
/// f   = b + (1 - b) sigmoid(z)                  b: the layer's lower bound
/// S_t = diag(f_t) S_{t-1} + (1 - f_t) v_t^T     equation 6
/// o_t = S_t^T q_t / sqrt(n)
/// y   = W_o (rmsnorm(o) weight)
/// </code>
/// The lower bound rises from 0 in the first layer towards 1 in the last, so that upper layers remember longer (HGRN, arXiv 2311.04823,
/// section 3.2): here it starts at (block's number) / (blocks), the value that the authors' cumulated softmax over layers starts from, and
/// is learned for each channel by itself; at 0 it stays there. State: S.
/// </summary>
public sealed class Hgrn2 : Mixer
{
    private readonly Hgrn2Options o;
    private readonly int width;

    private readonly Tensor inProj;      // [3 d, d]: q, z, v
    private readonly Tensor? lowerBound; // [d]: the logit of b; none for b = 0
    private readonly Tensor norm;        // [d]
    private readonly Tensor outProj;     // [d, d]

    /// <summary>Makes the layer; the expansion must divide the width.</summary>
    public Hgrn2(Builder builder, Hgrn2Options options)
    {
        (o, width) = (options, builder.Width);
        inProj = LearnLinear(builder, "in_proj.weight", 3 * width, width);
        if (o.LowerBound > 0)
        {
            float logit = MathF.Log(o.LowerBound / (1 - o.LowerBound));
            lowerBound = Learn(builder, "lower_bound", new Shape(width), (values, _) => values.Fill(logit), decay: false);
        }

        norm = Learn(builder, "norm.weight", new Shape(width), Initial.Ones, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, width, 1 / MathF.Sqrt(builder.Blocks));
    }

    /// <summary>
    /// Options: <c>expand</c> (the expansion n, 128, and at narrow widths what still leaves two heads), <c>lower-bound</c> (what b
    /// starts at: the block's number over the number of blocks), <c>chunk</c> (64), <c>norm-epsilon</c>.
    /// </summary>
    /// <exception cref="InputException">An option is out of range, or the expansion does not divide the width.</exception>
    public static Hgrn2 Create(BlockOptions options, Builder builder)
    {
        int usual = 128;
        while (usual > 1 && (builder.Width % usual != 0 || builder.Width < 2 * usual))
        {
            usual /= 2;
        }

        int expand = options.Int("expand", usual, 1, 1024);
        return builder.Width % expand != 0
            ? throw options.Refuse("expand", $"does not divide width {builder.Width}; {usual} would")
            : new Hgrn2(builder, new Hgrn2Options(expand)
            {
                LowerBound = (float)options.Real("lower-bound", Math.Min(0.99, (double)options.Index / Math.Max(1, builder.Blocks)), 0, 0.999),
                Chunk = options.Int("chunk", 64, 1, 1024),
                NormEpsilon = (float)options.Real("norm-epsilon", 1e-5, 1e-12, 1),
            });
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (Hgrn2State)state;
        Tensor all = Ops.Linear(x, inProj);
        Tensor q = Ops.Silu(all.Columns(0, width)), v = all.Columns(2 * width, width);
        (Tensor decay, Tensor k) = Ops.ForgetGate(all.Columns(width, width), lowerBound);
        (Tensor y, Tensor memory) = ChannelDecay.Chunked(q, k, v, decay, bonus: null, s.Memory.Before(x.Tape!), width / o.Expand, 1 / MathF.Sqrt(o.Expand), chunk: o.Chunk);
        s.Memory.After(memory);
        return Ops.Linear(Ops.RmsNorm(y, norm, o.NormEpsilon), outProj);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) =>
        new Hgrn2State(new StateTensor(inProj.Device, "memory", new Shape(batch, width / o.Expand, o.Expand, o.Expand)));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, 4 * width) + ChannelDecay.Flops(tokens, width / o.Expand, o.Expand, o.Expand, o.Chunk),
        ParameterCount(),
        sizeof(float) * (long)width * o.Expand);
}

/// <summary>The sizes of an <see cref="Hgrn2"/> layer.</summary>
/// <param name="Expand">The channels n of a head, which are its keys and its values: a divisor of the width.</param>
public sealed record Hgrn2Options(int Expand)
{
    /// <summary>What the forget gate's lower bound starts at; 0 for none.</summary>
    public float LowerBound { get; init; }

    /// <summary>Tokens computed together: changes the speed, and nothing else but rounding.</summary>
    public int Chunk { get; init; } = 64;

    /// <summary>What the norm adds to the mean square.</summary>
    public float NormEpsilon { get; init; } = 1e-5f;
}

/// <summary>What an <see cref="Hgrn2"/> layer remembers: d n floats a sequence.</summary>
public sealed class Hgrn2State : MixerState
{
    internal Hgrn2State(StateTensor memory) => Memory = Keep(memory);

    /// <summary>S [B,H,n,n].</summary>
    public StateTensor Memory { get; }
}
