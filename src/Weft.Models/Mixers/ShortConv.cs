using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The gated short convolution of LFM2 (Liquid AI, arXiv 2511.23404): a depthwise causal convolution of a few taps between two gates that
/// are linear in the token,
/// <code>
/// B, C, u = W_in x
/// y = W_out (C * conv(B * u))
/// </code>
/// without any other nonlinearity. State: the last K - 1 products B * u.
/// </summary>
public sealed class ShortConv : Mixer
{
    private readonly Device device;
    private readonly int width, taps;

    private readonly Tensor inProj;      // [3 D, D]: B, C, u
    private readonly Tensor conv;        // [D, K]
    private readonly Tensor outProj;     // [D, D]
    private readonly Tensor? inBias, convBias, outBias; // [3 D], [D], [D]

    /// <summary>Makes the mixer; with <paramref name="bias"/>, both linear maps and the convolution have one.</summary>
    public ShortConv(Builder builder, int taps, bool bias)
    {
        (device, width, this.taps) = (builder.Device, builder.Width, taps);
        float usual = 1 / MathF.Sqrt(width), tap = 1 / MathF.Sqrt(taps);
        inProj = LearnLinear(builder, "in_proj.weight", 3 * width, width);
        inBias = Bias("in_proj.bias", 3 * width, usual);
        conv = Learn(builder, "conv1d.weight", new Shape(width, taps), Initial.Uniform(tap), decay: true);
        convBias = Bias("conv1d.bias", width, tap);
        outProj = LearnLinear(builder, "out_proj.weight", width, width, 1 / MathF.Sqrt(builder.Blocks));
        outBias = Bias("out_proj.bias", width, usual);

        Tensor? Bias(string name, int length, float bound) => bias ? Learn(builder, name, new Shape(length), Initial.Uniform(bound), decay: false) : null;
    }

    /// <summary>Options: <c>conv</c>, the taps K (3), and <c>bias</c>, on the linear maps and the convolution (false).</summary>
    public static ShortConv Create(BlockOptions options, Builder builder) => new(builder, options.Int("conv", 3, 2, 64), options.Flag("bias", false));

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var before = (ShortConvState)state;
        Tensor all = Ops.Linear(x, inProj, inBias);
        Tensor gated = Ops.Multiply(all.Columns(0, width), all.Columns(2 * width, width));
        (Tensor y, Tensor last) = Ops.CausalConv(gated, conv, convBias, before.Conv.Before(x.Tape!), silu: false);
        before.Conv.After(last);
        return Ops.Linear(Ops.Multiply(all.Columns(width, width), y), outProj, outBias);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new ShortConvState(device, new Shape(batch, taps - 1, width));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        Models.Cost.Linear(tokens, width, 4L * width) + (2L * tokens * taps * width),
        ParameterCount(),
        sizeof(float) * (taps - 1L) * width);
}

/// <summary>What a <see cref="ShortConv"/> mixer remembers.</summary>
public sealed class ShortConvState : MixerState
{
    internal ShortConvState(Device device, Shape conv) => Conv = Keep(new StateTensor(device, "conv", conv));

    /// <summary>The last inputs of the convolution [B,K-1,D], oldest first.</summary>
    public StateTensor Conv { get; }
}
