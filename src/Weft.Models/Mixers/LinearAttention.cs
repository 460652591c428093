using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Linear attention (Katharopoulos, Vyas, Pappas and Fleuret, "Transformers are RNNs", arXiv 2006.16236): softmax's kernel replaced by a
/// feature map phi, so that a state of fixed size holds all keys and values. For each head,
/// <code>
/// q, k, v = W_in x
/// S_t = S_{t-1} + phi(k_t) v_t^T,  n_t = n_{t-1} + phi(k_t)     equations 18 and 19
/// o_t = S_t^T phi(q_t) / (phi(q_t) . n_t + epsilon)             equation 20
/// out = W_out o
/// </code>
/// with phi(x) = elu(x) + 1 (equation 7). Without the normaliser n an RMS norm of each head takes its place, as is usual in later work
/// (Qin et al., arXiv 2210.10340). The normaliser is the state's last column: every value ends in a one. State: S and n.
/// </summary>
public sealed class LinearAttention : Mixer
{
    private const float DivisorEpsilon = 1e-6f, NormEpsilon = 1e-5f;

    private readonly LinearAttentionOptions o;
    private readonly Device device;
    private readonly int width, headDim;

    private readonly Tensor inProj;  // [3 D, D]: q, k, v
    private readonly Tensor? norm;   // [head width]; null where there is a normaliser
    private readonly Tensor outProj; // [D, D]
    private readonly Tensor noDecay; // [H] zeros

    /// <summary>Makes the mixer; the heads must divide the width.</summary>
    public LinearAttention(Builder builder, LinearAttentionOptions options)
    {
        (o, device, width, headDim) = (options, builder.Device, builder.Width, builder.Width / options.Heads);
        inProj = LearnLinear(builder, "in_proj.weight", 3 * width, width);
        norm = o.Normalise ? null : Learn(builder, "norm.weight", new Shape(headDim), Initial.Ones, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, width, 1 / MathF.Sqrt(builder.Blocks));
        noDecay = device.Zeros(new Shape(o.Heads));
    }

    /// <summary>
    /// Options: <c>heads</c> (of about 64 columns), <c>feature</c> (<c>elu</c>, <c>relu</c> or <c>identity</c>), <c>normalise</c> (true),
    /// <c>chunk</c> (64).
    /// </summary>
    /// <exception cref="InputException">An option is out of range, or asks for a normaliser that could be zero or negative.</exception>
    public static LinearAttention Create(BlockOptions options, Builder builder)
    {
        string feature = options.Choice("feature", "elu", "elu", "relu", "identity");
        var chosen = new LinearAttentionOptions
        {
            Heads = HeadSizes.Even(options, builder.Width, 64, "the width"),
            Feature = feature,
            Normalise = options.Flag("normalise", feature != "identity"),
            Chunk = options.Int("chunk", 64, 1, 1024),
        };
        return chosen.Normalise && feature == "identity"
            ? throw options.Refuse("normalise", "divides by sums that may be zero or negative where feature=identity; use feature=elu or relu, or normalise=false")
            : new LinearAttention(builder, chosen);
    }

    private int ValueWidth => headDim + (o.Normalise ? 1 : 0);

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        StateTensor memory = ((LinearAttentionState)state).S;
        Tensor all = Ops.Linear(x, inProj);
        Tensor qk = all.Columns(0, 2 * width), v = all.Columns(2 * width, width);
        qk = o.Feature switch
        {
            "elu" => Ops.EluPlusOne(qk),
            "relu" => Ops.Relu(qk),
            _ => qk,
        };

        (Tensor y, Tensor s) = ScalarDecay.Chunked(qk.Columns(0, width), qk.Columns(width, width), o.Normalise ? Ops.AppendOnes(v, o.Heads) : v,
            noDecay, gate: null, skip: null, memory.Before(x.Tape!), o.Heads, chunk: o.Chunk);
        memory.After(s);
        y = o.Normalise ? Ops.DivideByLast(y, null, o.Heads, DivisorEpsilon) : Ops.RmsNorm(y, norm, NormEpsilon, headDim);
        return Ops.Linear(y, outProj);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new LinearAttentionState(device, new Shape(batch, o.Heads, headDim, ValueWidth));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, 4 * width) + ScalarDecay.Flops(tokens, o.Heads, o.Heads, headDim, ValueWidth, o.Chunk),
        ParameterCount(),
        sizeof(float) * (long)width * ValueWidth);
}

/// <summary>The sizes and choices of a <see cref="LinearAttention"/> mixer.</summary>
public sealed record LinearAttentionOptions
{
    /// <summary>Heads, H, a divisor of the width.</summary>
    public required int Heads { get; init; }

    /// <summary>The feature map of queries and keys: <c>elu</c> (+ 1), <c>relu</c> or <c>identity</c>.</summary>
    public string Feature { get; init; } = "elu";

    /// <summary>Whether outputs are divided by q . n; else each head's are normalised by their root mean square.</summary>
    public bool Normalise { get; init; } = true;

    /// <summary>Tokens computed together: changes the speed, and nothing else but rounding.</summary>
    public int Chunk { get; init; } = 64;
}

/// <summary>What a <see cref="LinearAttention"/> mixer remembers.</summary>
public sealed class LinearAttentionState : MixerState
{
    internal LinearAttentionState(Device device, Shape s) => S = Keep(new StateTensor(device, "s", s));

    /// <summary>S [B,H,dk,dv], and the normaliser n as one more column where there is one.</summary>
    public StateTensor S { get; }
}
