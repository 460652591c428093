using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Mamba (Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", arXiv 2312.00752; section 3.4 and figure 3 for
/// the layer, algorithm 2 for its selection), as the authors' code computes it. With N states for each of the expand x d channels,
/// <code>
/// x, z = W_in u                                   in_proj
/// x = silu(conv(x))                               conv1d: depthwise, causal, 4 taps
/// dt, B, C = W_x x                                x_proj: dt of a low rank, B and C [N] shared by all channels
/// dt = softplus(W_dt dt + bias),  A = -exp(A_log) dt_proj
/// h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t        equation 2, A discretised exactly (equation 4) and B by Euler's rule
/// y_t = C_t . h_t + D x_t
/// out = W_out (y silu(z))
/// </code>
/// Jamba (arXiv 2403.19887) puts RMS norms with weights on dt, B and C before they are used, Falcon Mamba (arXiv 2410.05355) norms
/// without. W_in and W_out may have biases, the convolution none. State: h, and the last 3 inputs of the convolution.
/// </summary>
public sealed class Mamba : Mixer
{
    private readonly MambaOptions o;
    private readonly Device device;
    private readonly int width, inner, rank;

    private readonly Tensor inProj;               // [2 inner, d]: x, z
    private readonly Tensor? inBias;              // [2 inner]
    private readonly Tensor convWeight;           // [inner, K]
    private readonly Tensor? convBias;            // [inner]
    private readonly Tensor xProj;                // [rank + 2 N, inner]: dt, B, C
    private readonly Tensor dtProj, dtBias;       // [inner, rank], [inner]
    private readonly Tensor aLog;                 // [inner, N]
    private readonly DerivedWeight a;             // [inner, N]: A = -exp(A_log)
    private readonly Tensor skip;                 // [inner]: D
    private readonly Tensor outProj;              // [d, inner]
    private readonly Tensor? outBias;             // [d]
    private readonly Tensor? dtNorm, bNorm, cNorm; // [rank], [N], [N]

    /// <summary>Makes the mixer with the authors' initial values: A = -1 .. -N in every channel (S4D-real), dt's bias for steps log-uniform from 0.001 to 0.1.</summary>
    public Mamba(Builder builder, MambaOptions options)
    {
        (o, device, width) = (options, builder.Device, builder.Width);
        (inner, rank) = (options.InnerWidth(width), options.Rank(width));
        float tap = 1 / MathF.Sqrt(options.Conv);
        inProj = LearnLinear(builder, "in_proj.weight", 2 * inner, width);
        inBias = options.Bias ? Learn(builder, "in_proj.bias", new Shape(2 * inner), Initial.Zeros, decay: false) : null;
        convWeight = Learn(builder, "conv1d.weight", new Shape(inner, options.Conv), Initial.Uniform(tap), decay: true);
        convBias = options.ConvBias ? Learn(builder, "conv1d.bias", new Shape(inner), Initial.Uniform(tap), decay: false) : null;
        xProj = LearnLinear(builder, "x_proj.weight", rank + (2 * options.State), inner);
        dtProj = LearnLinear(builder, "dt_proj.weight", inner, rank);
        dtBias = Learn(builder, "dt_proj.bias", new Shape(inner), Initial.StepBias(), decay: false);
        aLog = Learn(builder, "A_log", new Shape(inner, options.State), LogOfCounting, decay: false);
        a = new DerivedWeight(aLog, static log => Ops.Affine(Ops.Exp(log), -1));
        skip = Learn(builder, "D", new Shape(inner), Initial.Ones, decay: false);
        outProj = LearnLinear(builder, "out_proj.weight", width, inner, 1 / MathF.Sqrt(builder.Blocks));
        outBias = options.Bias ? Learn(builder, "out_proj.bias", new Shape(width), Initial.Zeros, decay: false) : null;
        if (options.Norm == MambaNorm.Learned)
        {
            dtNorm = Learn(builder, "dt_norm.weight", new Shape(rank), Initial.Ones, decay: false);
            bNorm = Learn(builder, "b_norm.weight", new Shape(options.State), Initial.Ones, decay: false);
            cNorm = Learn(builder, "c_norm.weight", new Shape(options.State), Initial.Ones, decay: false);
        }
    }

    // A_log = log 1, .. log N in every channel.
    private void LogOfCounting(Span<float> values, RandomSource random)
    {
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = MathF.Log(1 + (i % o.State));
        }
    }

    /// <summary>
    /// Options: <c>state</c> N, <c>expand</c>, <c>inner</c> (0: expand x width), <c>conv</c> (taps), <c>dt-rank</c> (0: a sixteenth of the
    /// width), <c>norm</c> of dt, B and C (<c>none</c>, <c>plain</c> as Falcon Mamba's, <c>learned</c> as Jamba's), <c>norm-epsilon</c>,
    /// <c>bias</c> (on in_proj and out_proj; false), <c>conv-bias</c> (true); see <see cref="MambaOptions"/>.
    /// </summary>
    public static Mamba Create(BlockOptions options, Builder builder) => new(builder, Read(options));

    /// <summary>Reads the options.</summary>
    internal static MambaOptions Read(BlockOptions options)
    {
        var usual = new MambaOptions();
        return new MambaOptions
        {
            State = options.Int("state", usual.State, 1, 1024),
            Expand = options.Int("expand", usual.Expand, 1, 16),
            Inner = options.Int("inner", usual.Inner, 0, 1 << 18),
            Conv = options.Int("conv", usual.Conv, 2, 64),
            DtRank = options.Int("dt-rank", usual.DtRank, 0, 4096),
            Norm = options.Choice("norm", "none", "none", "plain", "learned") switch
            {
                "plain" => MambaNorm.Plain,
                "learned" => MambaNorm.Learned,
                _ => MambaNorm.None,
            },
            NormEpsilon = (float)options.Real("norm-epsilon", usual.NormEpsilon, 1e-12, 1),
            Bias = options.Flag("bias", usual.Bias),
            ConvBias = options.Flag("conv-bias", usual.ConvBias),
        };
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var before = (MambaState)state;
        Tape tape = x.Tape!;

        Tensor projected = Ops.Linear(x, inProj, inBias), z = projected.Columns(inner, inner);
        (Tensor u, Tensor last) = Ops.CausalConv(projected.Columns(0, inner), convWeight, convBias, before.Conv.Before(tape), silu: true);
        before.Conv.After(last);

        Tensor selection = Ops.Linear(u, xProj);
        Tensor dt = Normed(selection.Columns(0, rank), dtNorm), b = Normed(selection.Columns(rank, o.State), bNorm), c = Normed(selection.Columns(rank + o.State, o.State), cNorm);
        (Tensor y, Tensor h) = SelectiveScan.Fused(u, Ops.Linear(dt, dtProj, dtBias), a.On(tape), b, c, skip, before.H.Before(tape), softplus: true);
        before.H.After(h);

        return Ops.Linear(Ops.SiluMul(z, y), outProj, outBias);
    }

    private Tensor Normed(Tensor x, Tensor? weight) => o.Norm == MambaNorm.None ? x : Ops.RmsNorm(x, weight, o.NormEpsilon);

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new MambaState(device, new Shape(batch, o.Conv - 1, inner), new Shape(batch, o.State, inner));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, 2 * inner)
            + (2L * tokens * o.Conv * inner)
            + Models.Cost.Linear(tokens, inner, rank + (2 * o.State))
            + Models.Cost.Linear(tokens, rank, inner)
            + SelectiveScan.Flops(tokens, inner, o.State)
            + Models.Cost.Linear(tokens, inner, width),
        ParameterCount(),
        sizeof(float) * (o.Conv - 1L + o.State) * inner);
}

/// <summary>The norm of a <see cref="Mamba"/> mixer's dt, B and C.</summary>
public enum MambaNorm
{
    /// <summary>None, as the authors have it.</summary>
    None,

    /// <summary>RMS norms without weights: Falcon Mamba.</summary>
    Plain,

    /// <summary>RMS norms with weights: Jamba.</summary>
    Learned,
}

/// <summary>The sizes of a <see cref="Mamba"/> mixer; the defaults are the authors'.</summary>
public sealed record MambaOptions
{
    /// <summary>States of a channel, N.</summary>
    public int State { get; init; } = 16;

    /// <summary>Inner channels for each of the model's.</summary>
    public int Expand { get; init; } = 2;

    /// <summary>Inner channels; 0 for <see cref="Expand"/> times the width.</summary>
    public int Inner { get; init; }

    /// <summary>Taps of the convolution.</summary>
    public int Conv { get; init; } = 4;

    /// <summary>The rank of the steps' projection; 0 for a sixteenth of the model's width, rounded up.</summary>
    public int DtRank { get; init; }

    /// <summary>The norm of dt, B and C.</summary>
    public MambaNorm Norm { get; init; }

    /// <summary>What that norm adds to the mean square.</summary>
    public float NormEpsilon { get; init; } = 1e-6f;

    /// <summary>Whether the first and the last projection have biases.</summary>
    public bool Bias { get; init; }

    /// <summary>Whether the convolution has a bias.</summary>
    public bool ConvBias { get; init; } = true;

    internal int InnerWidth(int width) => Inner > 0 ? Inner : Expand * width;

    internal int Rank(int width) => DtRank > 0 ? DtRank : (width + 15) / 16;
}

/// <summary>What a <see cref="Mamba"/> mixer remembers.</summary>
public sealed class MambaState : MixerState
{
    internal MambaState(Device device, Shape conv, Shape h)
    {
        Conv = Keep(new StateTensor(device, "conv", conv));
        H = Keep(new StateTensor(device, "h", h));
    }

    /// <summary>The last inputs of the convolution [B,K-1,inner], oldest first.</summary>
    public StateTensor Conv { get; }

    /// <summary>The states of every channel [B,N,inner].</summary>
    public StateTensor H { get; }
}
