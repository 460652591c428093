using System.Globalization;
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
/// B and C are shared by the heads of a group, as keys and queries are in grouped attention. Later models have their own inner width,
/// other groups for the norm than for B and C, bounds on dt (Zamba2, arXiv 2411.15242), the norm before the gate or none at all, and
/// constant factors on the parts of W_in u (Falcon-H1, arXiv 2507.22448). State: h, and the last 3 inputs of the convolution.
/// </summary>
public sealed class Mamba2 : Mixer
{
    private readonly Mamba2Options o;
    private readonly Device device;
    private readonly int width, inner, heads, mixed, normGroup; // mixed: the columns of x, B and C, which the convolution sees

    private readonly Tensor inProj;     // [inner + mixed + heads, D]: z, x B C, dt
    private readonly Tensor? inBias;    // [inner + mixed + heads]
    private readonly Tensor? scales;    // [inner + mixed + heads], not learned
    private readonly Tensor convWeight; // [mixed, K]
    private readonly Tensor? convBias;  // [mixed]
    private readonly Tensor aLog;       // [heads]
    private readonly Tensor skip;       // [heads]: D
    private readonly Tensor dtBias;     // [heads]
    private readonly Tensor? norm;      // [inner]
    private readonly Tensor outProj;    // [D, inner]
    private readonly Tensor? outBias;   // [D]

    /// <summary>Makes the mixer; the head width must divide the inner width, the groups the heads, and the norm's groups the inner width.</summary>
    public Mamba2(Builder builder, Mamba2Options options)
    {
        (o, device, width) = (options, builder.Device, builder.Width);
        inner = options.InnerWidth(width);
        heads = inner / options.HeadDim;
        mixed = inner + (2 * options.Groups * options.State);
        int normGroups = options.NormGroups > 0 ? options.NormGroups : options.Groups;
        normGroup = inner / normGroups;
        if (heads * options.HeadDim != inner || heads % options.Groups != 0 || inner % normGroups != 0)
        {
            throw new ArgumentException($"heads of {options.HeadDim} channels in {options.Groups} groups, normalised in {normGroups}, do not fit {inner} channels", nameof(options));
        }

        int projected = inner + mixed + heads;
        float tap = 1 / MathF.Sqrt(options.Conv);
        inProj = LearnLinear(builder, "in_proj.weight", projected, width);
        inBias = options.Bias ? Learn(builder, "in_proj.bias", new Shape(projected), Initial.Zeros, decay: false) : null;
        scales = options.Scales == (1, 1, 1, 1, 1) ? null : device.Of(Spread(options.Scales), new Shape(projected));
        convWeight = Learn(builder, "conv1d.weight", new Shape(mixed, options.Conv), Initial.Uniform(tap), decay: true);
        convBias = options.ConvBias ? Learn(builder, "conv1d.bias", new Shape(mixed), Initial.Uniform(tap), decay: false) : null;
        aLog = Learn(builder, "A_log", new Shape(heads), Initial.LogUniform(1, 16), decay: false);
        skip = Learn(builder, "D", new Shape(heads), Initial.Ones, decay: false);
        dtBias = Learn(builder, "dt_bias", new Shape(heads), Initial.StepBias(), decay: false);
        norm = options.Norm == Mamba2Norm.None ? null : Learn(builder, "norm.weight", new Shape(inner), Initial.Ones, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, inner, 1 / MathF.Sqrt(builder.Blocks));
        outBias = options.OutBias ?? options.Bias ? Learn(builder, "out_proj.bias", new Shape(width), Initial.Zeros, decay: false) : null;
    }

    // A factor for each column of in_proj's output.
    private float[] Spread((float Z, float X, float B, float C, float Dt) factors)
    {
        int states = o.Groups * o.State;
        return [.. Enumerable.Repeat(factors.Z, inner), .. Enumerable.Repeat(factors.X, inner), .. Enumerable.Repeat(factors.B, states),
            .. Enumerable.Repeat(factors.C, states), .. Enumerable.Repeat(factors.Dt, heads)];
    }

    /// <summary>
    /// Options: <c>state</c> N, <c>head-dim</c> P, <c>expand</c>, <c>inner</c> (0: expand x width), <c>groups</c>, <c>conv</c> (taps),
    /// <c>chunk</c>, <c>bias</c> (on in_proj and out_proj; false), <c>out-bias</c> (on out_proj; as bias), <c>conv-bias</c> (true),
    /// <c>norm</c> (<c>gate-first</c>, <c>norm-first</c>, <c>none</c>), <c>norm-groups</c> (as groups), <c>norm-epsilon</c>,
    /// <c>dt-min</c>, <c>dt-max</c> (bounds of dt; 0: none), <c>scale-z</c>, <c>scale-x</c>, <c>scale-b</c>, <c>scale-c</c>,
    /// <c>scale-dt</c> (factors of the projected parts; 1); see <see cref="Mamba2Options"/>.
    /// </summary>
    public static Mamba2 Create(BlockOptions options, Builder builder) => new(builder, Read(options, builder.Width));

    /// <summary>Reads the options of a mixer in a model of a width.</summary>
    internal static Mamba2Options Read(BlockOptions options, int width)
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
            Inner = options.Int("inner", usual.Inner, 0, 1 << 18),
            Bias = options.Flag("bias", usual.Bias),
            ConvBias = options.Flag("conv-bias", usual.ConvBias),
            Norm = options.Choice("norm", "gate-first", "gate-first", "norm-first", "none") switch
            {
                "norm-first" => Mamba2Norm.NormFirst,
                "none" => Mamba2Norm.None,
                _ => Mamba2Norm.GateFirst,
            },
            NormEpsilon = (float)options.Real("norm-epsilon", usual.NormEpsilon, 1e-12, 1),
            StepMin = (float)options.Real("dt-min", usual.StepMin, 0, 1000),
            StepMax = (float)options.Real("dt-max", usual.StepMax, 0, float.MaxValue),
            Scales = (Scale("z"), Scale("x"), Scale("b"), Scale("c"), Scale("dt")),
        };
        chosen = chosen with { NormGroups = options.Int("norm-groups", chosen.Groups, 1, 1 << 18), OutBias = options.Flag("out-bias", chosen.Bias) };
        int inner = chosen.InnerWidth(width);
        if (inner % chosen.HeadDim != 0)
        {
            throw options.Refuse("head-dim", $"does not divide {(chosen.Inner > 0 ? "inner" : "expand x width")} = {inner}; head widths that do: {HeadSizes.Divisors(inner, 128)}");
        }

        int heads = inner / chosen.HeadDim;
        return heads % chosen.Groups != 0 ? throw options.Refuse("groups", $"does not divide the {heads} heads; numbers that do: {HeadSizes.Divisors(heads, heads)}")
            : inner % chosen.NormGroups != 0 ? throw options.Refuse("norm-groups", $"does not divide the {inner} channels; numbers that do: {HeadSizes.Divisors(inner, 128)}")
            : chosen.StepMax > 0 && chosen.StepMax < chosen.StepMin ? throw options.Refuse("dt-max", string.Create(CultureInfo.InvariantCulture, $"is below dt-min={chosen.StepMin}; 0 is for no upper bound"))
            : chosen;

        float Scale(string part) => (float)options.Real($"scale-{part}", 1, -1000, 1000);
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var before = (Mamba2State)state;
        Tape tape = x.Tape!;
        int states = o.Groups * o.State;

        Tensor projected = Ops.Linear(x, inProj, inBias);
        projected = scales is null ? projected : Ops.Multiply(projected, scales);
        Tensor z = projected.Columns(0, inner), xbc = projected.Columns(inner, mixed), dt = projected.Columns(inner + mixed, heads);

        (xbc, Tensor last) = Ops.CausalConv(xbc, convWeight, convBias, before.Conv.Before(tape), silu: true);
        before.Conv.After(last);

        dt = Ops.Softplus(Ops.Add(dt, dtBias));
        if (o.StepMin > 0 || o.StepMax > 0)
        {
            dt = Ops.Clamp(dt, o.StepMin, o.StepMax > 0 ? o.StepMax : float.PositiveInfinity);
        }

        Tensor a = Ops.Multiply(dt, Ops.Affine(Ops.Exp(Ops.Copy(aLog, tape)), -1));
        (Tensor y, Tensor h) = ScalarDecay.Chunked(
            q: xbc.Columns(inner + states, states), k: xbc.Columns(inner, states), v: xbc.Columns(0, inner),
            logDecay: a, gate: dt, skip, before.H.Before(tape), o.Groups, chunk: o.Chunk);
        before.H.After(h);

        y = norm is null ? Ops.SiluMul(z, y) : Ops.GatedRmsNorm(y, z, norm, o.NormEpsilon, normGroup, gateFirst: o.Norm == Mamba2Norm.GateFirst);
        return Ops.Linear(y, outProj, outBias);
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

/// <summary>How a <see cref="Mamba2"/> mixer's outputs y are gated by z and normalised.</summary>
public enum Mamba2Norm
{
    /// <summary>norm(y silu(z)) weight, as the authors have it.</summary>
    GateFirst,

    /// <summary>norm(y) weight silu(z): Falcon-H1 with a norm.</summary>
    NormFirst,

    /// <summary>y silu(z): Falcon-H1 without.</summary>
    None,
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

    /// <summary>Inner channels; 0 for <see cref="Expand"/> times the width.</summary>
    public int Inner { get; init; }

    /// <summary>Groups of heads that share B and C.</summary>
    public int Groups { get; init; } = 1;

    /// <summary>Taps of the convolution.</summary>
    public int Conv { get; init; } = 4;

    /// <summary>Tokens computed together: changes the speed, and nothing else but rounding.</summary>
    public int Chunk { get; init; } = 64;

    /// <summary>Whether the projections have biases.</summary>
    public bool Bias { get; init; }

    /// <summary>Whether the last projection has one; null for as <see cref="Bias"/> says.</summary>
    public bool? OutBias { get; init; }

    /// <summary>Whether the convolution has a bias.</summary>
    public bool ConvBias { get; init; } = true;

    /// <summary>Where the norm stands.</summary>
    public Mamba2Norm Norm { get; init; }

    /// <summary>Groups of channels that are normalised together; 0 for <see cref="Groups"/>.</summary>
    public int NormGroups { get; init; }

    /// <summary>What the norm adds to the mean square.</summary>
    public float NormEpsilon { get; init; } = 1e-5f;

    /// <summary>The least dt, after the softplus.</summary>
    public float StepMin { get; init; }

    /// <summary>The largest dt, after the softplus; 0 for any.</summary>
    public float StepMax { get; init; }

    /// <summary>Constant factors of the projected z, x, B, C and dt.</summary>
    public (float Z, float X, float B, float C, float Dt) Scales { get; init; } = (1, 1, 1, 1, 1);

    internal int InnerWidth(int width) => Inner > 0 ? Inner : Expand * width;
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
