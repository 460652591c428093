using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Mamba-2 (Dao and Gu, "Transformers are SSMs", arXiv 2405.21060), as the authors' code computes it. For each head, with a state
/// h [N,P] of N states for each of its P channels,
/// <code>
/// z, x, B, C, dt = W_in u                       in_proj
/// x, B, C = silu(conv(x, B, C))                 conv1d: depthwise, causal, 4 taps
/// dt = softplus(dt + dt_bias),  A = -exp(A_log)
/// h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t^T    the paper's equation 1, A discretised exactly and B by Euler's rule
/// y_t = h_t^T C_t + D x_t
/// out = W_out (norm(y silu(z)) weight)          gate first, then an RMS norm over each group's channels
/// </code>
/// B and C are shared by the heads of a group, as keys and queries are in grouped attention. State: h, and the last 3 inputs of the
/// convolution.
/// </summary>
public sealed class Mamba2 : Mixer
{
    private readonly Mamba2Options o;
    private readonly Device device;
    private readonly int width, inner, heads, mixed; // mixed: the columns of x, B and C, which the convolution sees

    private readonly Tensor inProj;     // [inner + mixed + heads, D]: z, x B C, dt
    private readonly Tensor convWeight; // [mixed, K]
    private readonly Tensor convBias;   // [mixed]
    private readonly Tensor aLog;       // [heads]
    private readonly Tensor skip;       // [heads]: D
    private readonly Tensor dtBias;     // [heads]
    private readonly Tensor norm;       // [inner]
    private readonly Tensor outProj;    // [D, inner]

    /// <summary>Makes the mixer; the head width must divide expand x width, and the groups the heads.</summary>
    public Mamba2(Builder builder, Mamba2Options options)
    {
        (o, device, width) = (options, builder.Device, builder.Width);
        inner = options.Expand * width;
        heads = inner / options.HeadDim;
        mixed = inner + (2 * options.Groups * options.State);
        if (heads * options.HeadDim != inner || heads % options.Groups != 0)
        {
            throw new ArgumentException($"heads of {options.HeadDim} channels in {options.Groups} groups do not fit {inner} channels", nameof(options));
        }

        float tap = 1 / MathF.Sqrt(options.Conv);
        inProj = LearnLinear(builder, "in_proj.weight", inner + mixed + heads, width);
        convWeight = Learn(builder, "conv1d.weight", new Shape(mixed, options.Conv), Initial.Uniform(tap), decay: true);
        convBias = Learn(builder, "conv1d.bias", new Shape(mixed), Initial.Uniform(tap), decay: false);
        aLog = Learn(builder, "A_log", new Shape(heads), Initial.LogUniform(1, 16), decay: false);
        skip = Learn(builder, "D", new Shape(heads), Initial.Ones, decay: false);
        dtBias = Learn(builder, "dt_bias", new Shape(heads), Initial.StepBias(), decay: false);
        norm = Learn(builder, "norm.weight", new Shape(inner), Initial.Ones, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, inner, 1 / MathF.Sqrt(builder.Blocks));
    }

    /// <summary>
    /// Options: <c>state</c> N, <c>head-dim</c> P, <c>expand</c>, <c>groups</c>, <c>conv</c> (taps), <c>chunk</c>, <c>norm-epsilon</c>;
    /// see <see cref="Mamba2Options"/>.
    /// </summary>
    public static Mamba2 Create(BlockOptions options, Builder builder)
    {
        var usual = new Mamba2Options();
        var chosen = new Mamba2Options
        {
            State = options.Int("state", usual.State, 1, 4096),
            HeadDim = options.Int("head-dim", usual.HeadDim, 1, 4096),
            Expand = options.Int("expand", usual.Expand, 1, 16),
            Groups = options.Int("groups", usual.Groups, 1, 4096),
            Conv = options.Int("conv", usual.Conv, 2, 64),
            Chunk = options.Int("chunk", usual.Chunk, 1, 1024),
            NormEpsilon = (float)options.Real("norm-epsilon", usual.NormEpsilon, 1e-12, 1),
        };
        int inner = chosen.Expand * builder.Width;
        if (inner % chosen.HeadDim != 0)
        {
            throw options.Refuse("head-dim", $"does not divide expand x width = {inner}; head widths that do: {HeadSizes.Divisors(inner, 128)}");
        }

        int heads = inner / chosen.HeadDim;
        return heads % chosen.Groups == 0 ? new Mamba2(builder, chosen)
            : throw options.Refuse("groups", $"does not divide the {heads} heads; numbers that do: {HeadSizes.Divisors(heads, heads)}");

    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var before = (Mamba2State)state;
        Tape tape = x.Tape!;
        int states = o.Groups * o.State;

        Tensor projected = Ops.Linear(x, inProj);
        Tensor z = projected.Columns(0, inner), xbc = projected.Columns(inner, mixed), dt = projected.Columns(inner + mixed, heads);

        (xbc, Tensor last) = Ops.CausalConv(xbc, convWeight, convBias, before.Conv.Before(tape), silu: true);
        before.Conv.After(last);

        dt = Ops.Softplus(Ops.Add(dt, dtBias));
        Tensor a = Ops.Multiply(dt, Ops.Affine(Ops.Exp(Ops.Copy(aLog, tape)), -1));
        (Tensor y, Tensor h) = ScalarDecay.Chunked(
            q: xbc.Columns(inner + states, states), k: xbc.Columns(inner, states), v: xbc.Columns(0, inner),
            logDecay: a, gate: dt, skip, before.H.Before(tape), o.Groups, chunk: o.Chunk);
        before.H.After(h);

        return Ops.Linear(Ops.GatedRmsNorm(y, z, norm, o.NormEpsilon, inner / o.Groups, gateFirst: true), outProj);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) =>
        new Mamba2State(device, new Shape(batch, o.Conv - 1, mixed), new Shape(batch, heads, o.State, o.HeadDim));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, inner + mixed + heads)
            + (2L * tokens * o.Conv * mixed)
            + ScalarDecay.Flops(tokens, heads, o.Groups, o.State, o.HeadDim, o.Chunk)
            + Models.Cost.Linear(tokens, inner, width),
        ParameterCount(),
        sizeof(float) * (((o.Conv - 1L) * mixed) + ((long)inner * o.State)));
}

/// <summary>The sizes of a <see cref="Mamba2"/> mixer; the defaults are the authors'.</summary>
public sealed record Mamba2Options
{
    /// <summary>States of a channel, N.</summary>
    public int State { get; init; } = 128;

    /// <summary>Channels of a head, P.</summary>
    public int HeadDim { get; init; } = 64;

    /// <summary>Inner channels for each of the model's.</summary>
    public int Expand { get; init; } = 2;

    /// <summary>Groups of heads that share B and C, and of channels that are normalised together.</summary>
    public int Groups { get; init; } = 1;

    /// <summary>Taps of the convolution.</summary>
    public int Conv { get; init; } = 4;

    /// <summary>Tokens computed together: changes the speed, and nothing else but rounding.</summary>
    public int Chunk { get; init; } = 64;

    /// <summary>What the norm adds to the mean square.</summary>
    public float NormEpsilon { get; init; } = 1e-5f;
}

/// <summary>What a <see cref="Mamba2"/> mixer remembers.</summary>
public sealed class Mamba2State : MixerState
{
    internal Mamba2State(Device device, Shape conv, Shape h)
    {
        Conv = Keep(new StateTensor(device, "conv", conv));
        H = Keep(new StateTensor(device, "h", h));
    }

    /// <summary>The last inputs of the convolution [B,K-1,columns of x, B and C], oldest first.</summary>
    public StateTensor Conv { get; }

    /// <summary>The recurrent state [B,H,N,P].</summary>
    public StateTensor H { get; }
}
