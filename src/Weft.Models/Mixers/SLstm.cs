using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// sLSTM, the block of xLSTM whose memory is a number a channel (Beck et al., arXiv 2405.04517, section 2.2, equations 8 to 17, and figure 9),
/// as the authors' code computes it. For each of H heads of d / H channels,
/// <code>
/// u = silu(conv(x))                                    depthwise, causal, 4 taps
/// i, f = W_i u, W_f u;  z, o = W_z x, W_o x            block-diagonal, a block a head
/// i, f, z, o = i, f, z, o + R h_{t-1} + b              R block-diagonal too
/// m_t = log(e^(log sigmoid(f) + m_{t-1}) + e^i)        for equation 15's larger of the two: any m gives the same h, this one smoothly
/// i', f' = e^(i - m_t), e^(log sigmoid(f) + m_{t-1} - m_t)
/// c_t = f' c_{t-1} + i' tanh(z);  n_t = f' n_{t-1} + i'
/// h_t = sigmoid(o) c_t / n_t
/// out = norm(h_t) weight                               a layer norm a head
/// </code>
/// State: h, c, n, m, and the last 3 inputs of the convolution.
/// </summary>
public sealed class SLstm : Mixer
{
    private readonly SLstmOptions o;
    private readonly Device device;
    private readonly int width, each;

    private readonly Tensor convWeight, convBias;                 // [d, K], [d]
    private readonly Tensor inputGate, forgetGate, cell, outGate; // [H, d/H, d/H] each: W_i, W_f, W_z, W_o
    private readonly Tensor recurrent, bias;                      // R [H, d/H, 4 d/H], b [H, 4 d/H]: i, f, z, o
    private readonly Tensor norm;                                 // [d]

    /// <summary>
    /// Makes block <paramref name="index"/> of a model with the authors' initial values: R and the biases zero but for the forget gates', which
    /// fall from 5 to -7 over a head's channels, by a power that grows from the first block to the last. The heads must divide the width.
    /// </summary>
    public SLstm(Builder builder, SLstmOptions options, int index)
    {
        (o, device, width, each) = (options, builder.Device, builder.Width, builder.Width / options.Heads);
        Initializer small = Initial.Normal(MathF.Sqrt(2f / (5 * width))), tap = Initial.Uniform(1 / MathF.Sqrt(o.Conv));
        convWeight = Learn(builder, "conv1d.weight", new Shape(width, o.Conv), tap, decay: true);
        convBias = Learn(builder, "conv1d.bias", new Shape(width), tap, decay: false);
        var block = new Shape(o.Heads, each, each);
        inputGate = Learn(builder, "igate.weight", block, small, decay: true);
        forgetGate = Learn(builder, "fgate.weight", block, small, decay: true);
        cell = Learn(builder, "zgate.weight", block, small, decay: true);
        outGate = Learn(builder, "ogate.weight", block, small, decay: true);
        recurrent = Learn(builder, "recurrent.weight", new Shape(o.Heads, each, 4 * each), Initial.Zeros, decay: true);
        bias = Learn(builder, "recurrent.bias", new Shape(o.Heads, 4 * each), (values, _) =>
        {
            double power = 0.3 + (1.3 * index / Math.Max(1, builder.Blocks - 1));
            for (int i = 0; i < width; i++)
            {
                (int head, int channel) = (i / each, i % each);
                values[(((4 * head) + 1) * each) + channel] = (float)(5 - (12 * Math.Pow((double)channel / Math.Max(1, each - 1), power)));
            }
        }, decay: false);
        norm = Learn(builder, "norm.weight", new Shape(width), Initial.Ones, decay: false);
    }

    /// <summary>Options: <c>heads</c> (4), <c>conv</c> (taps), <c>norm-epsilon</c>; see <see cref="SLstmOptions"/>.</summary>
    /// <exception cref="InputException">An option is out of range, or the heads do not divide the width.</exception>
    public static SLstm Create(BlockOptions options, Builder builder) => new(builder, new SLstmOptions
    {
        Heads = Lstm.ReadHeads(options, builder.Width, 4),
        Conv = options.Int("conv", 4, 2, 64),
        NormEpsilon = (float)options.Real("norm-epsilon", 1e-5, 1e-12, 1),
    }, options.Index);

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (SLstmState)state;
        Tape tape = x.Tape!;
        (Tensor u, Tensor tail) = Ops.CausalConv(x, convWeight, convBias, s.Conv.Before(tape), silu: true);
        s.Conv.After(tail);

        (Tensor h, GatedStates final) = GatedRecurrence.Slstm(
            Ops.BlockLinear(u, inputGate), Ops.BlockLinear(u, forgetGate), Ops.BlockLinear(x, cell), Ops.BlockLinear(x, outGate), recurrent, bias,
            new GatedStates(s.H.Before(tape), s.C.Before(tape), s.N.Before(tape), s.M.Before(tape)));
        s.H.After(final.H!);
        s.C.After(final.C!);
        s.N.After(final.N!);
        s.M.After(final.M!);
        return Ops.LayerNorm(h, norm, o.NormEpsilon, each);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new SLstmState(device, new Shape(batch, o.Conv - 1, width), new Shape(batch, width));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        (2L * tokens * o.Conv * width) + (4 * Models.Cost.Linear(tokens, width, each)) + GatedRecurrence.Flops(tokens, width, o.Heads),
        ParameterCount(),
        sizeof(float) * (o.Conv - 1L + 4) * width);
}

/// <summary>The sizes of an <see cref="SLstm"/> mixer; the defaults are the authors'.</summary>
public sealed record SLstmOptions
{
    /// <summary>Heads, H, a divisor of the width.</summary>
    public int Heads { get; init; } = 4;

    /// <summary>Taps of the convolution.</summary>
    public int Conv { get; init; } = 4;

    /// <summary>What the norm adds to the variance.</summary>
    public float NormEpsilon { get; init; } = 1e-5f;
}

/// <summary>What an <see cref="SLstm"/> mixer remembers.</summary>
public sealed class SLstmState : MixerState
{
    internal SLstmState(Device device, Shape conv, Shape each)
    {
        Conv = Keep(new StateTensor(device, "conv", conv));
        H = Keep(new StateTensor(device, "h", each));
        C = Keep(new StateTensor(device, "c", each));
        N = Keep(new StateTensor(device, "n", each));
        M = Keep(new StateTensor(device, "m", each));
    }

    /// <summary>The last inputs of the convolution [B,K-1,d], oldest first.</summary>
    public StateTensor Conv { get; }

    /// <summary>The output h [B,d], which the gates read.</summary>
    public StateTensor H { get; }

    /// <summary>The cell c [B,d], over e^m.</summary>
    public StateTensor C { get; }

    /// <summary>The normaliser n [B,d], over e^m: 0 before the first token, then 1 but for rounding.</summary>
    public StateTensor N { get; }

    /// <summary>The stabiliser m [B,d]: the logarithm that c and n are scaled by.</summary>
    public StateTensor M { get; }
}
