using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// S4D (Gu et al., "On the parameterization and initialization of diagonal state space models", arXiv 2206.11893), as the authors' minimal
/// code computes it. For each channel, with N/2 complex states (the other half are their conjugates),
/// <code>
/// A = -exp(log_A_real) + i A_imag,  dt = exp(log_dt)
/// h_t = exp(dt A) h_{t-1} + (exp(dt A) - 1) / A  x_t      zero-order hold (section 2), B = 1
/// y_t = 2 Re(C . h_t) + D x_t                             section 3.2
/// out = a * sigmoid(b),  a, b = W gelu(y) + bias
/// </code>
/// It starts as S4D-Lin, A = -1/2 + i pi n (equation 9). The gain of the discretisation is merged into C, so that x enters the state as it is.
/// The authors train A and dt without weight decay and at a rate of at most 1e-3.
/// </summary>
public sealed class S4d : Mixer
{
    private readonly Device device;
    private readonly int width, pairs; // pairs: N/2

    private readonly Tensor logReal, imaginary; // [N/2, D]: A
    private readonly Tensor logStep;            // [D]: log dt
    private readonly Tensor c;                  // [2, N/2, D]: C, real parts, then imaginary ones
    private readonly Tensor skip;               // [D]
    private readonly GluOutput output;

    /// <summary>Makes the mixer, with the given number of states a channel (even) and dt log-uniform from <paramref name="minStep"/> to <paramref name="maxStep"/>.</summary>
    public S4d(Builder builder, int states, double minStep, double maxStep)
    {
        (device, width, pairs) = (builder.Device, builder.Width, states / 2);
        var shape = new Shape(pairs, width);
        logReal = Learn(builder, "log_A_real", shape, static (values, _) => values.Fill(MathF.Log(0.5f)), decay: false);
        imaginary = Learn(builder, "A_imag", shape, StateSpace.Linear(width), decay: false);
        logStep = Learn(builder, "log_dt", new Shape(width), StateSpace.LogSteps(minStep, maxStep), decay: false);
        c = Learn(builder, "C", new Shape(2, pairs, width), Initial.Normal(MathF.Sqrt(0.5f)), decay: true);
        skip = Learn(builder, "D", new Shape(width), Initial.Normal(1), decay: true);
        output = Contain("output", new GluOutput(builder));
    }

    /// <summary>Options: <c>state</c> N, <c>dt-min</c> and <c>dt-max</c>, between which initial steps lie.</summary>
    /// <exception cref="InputException">An option is out of range, N is odd, or dt-min is above dt-max.</exception>
    public static S4d Create(BlockOptions options, Builder builder)
    {
        int states = StateSpace.Pairs(options, 64) * 2;
        (double min, double max) = StateSpace.Steps(options);
        return new S4d(builder, states, min, max);
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (StateSpaceState)state;
        Tape tape = x.Tape!;
        Tensor real = Ops.Affine(Ops.Exp(Ops.Copy(logReal, tape)), -1);
        (Tensor lambda, Tensor w) = Ops.Discretize(real, imaginary, logStep, c, Discretization.ZeroOrderHold);
        (Tensor y, Tensor h) = TimeInvariant.Fused(x, lambda, w, skip, s.H.Before(tape));
        s.H.After(h);
        return output.Forward(y);
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new StateSpaceState(device, new Shape(batch, 2, pairs, width));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) =>
        new(Ops.DiagonalSsmFlops(tokens, pairs, width) + output.Flops(tokens), ParameterCount(), sizeof(float) * 2L * pairs * width);
}

/// <summary>What a linear time-invariant state space remembers: its complex state.</summary>
public sealed class StateSpaceState : MixerState
{
    internal StateSpaceState(Device device, Shape h) => H = Keep(new StateTensor(device, "h", h));

    /// <summary>The state, real parts, then imaginary ones: [B,2,N/2,D] where channels have their own, [B,2,P] where they share one.</summary>
    public StateTensor H { get; }
}

/// <summary>What the state-space mixers share: options and initial values.</summary>
internal static class StateSpace
{
    /// <summary>The option <c>state</c>, an even number of states, as pairs of conjugates.</summary>
    public static int Pairs(BlockOptions options, int usual, int most = 4096)
    {
        int states = options.Int("state", usual, 2, most);
        return states % 2 == 0 ? states / 2 : throw options.Refuse("state", $"is odd: states come in pairs of conjugates; {states - 1} or {states + 1} will do");
    }

    /// <summary>The options <c>dt-min</c> and <c>dt-max</c>.</summary>
    public static (double Min, double Max) Steps(BlockOptions options)
    {
        double min = options.Real("dt-min", 0.001, 1e-9, 1e3), max = options.Real("dt-max", 0.1, 1e-9, 1e3);
        return min <= max ? (min, max) : throw options.Refuse("dt-min", $"is above dt-max={max}; give one that is not, such as {max / 100:g3}");
    }

    /// <summary>log dt for dt log-uniform between two steps.</summary>
    public static Initializer LogSteps(double min, double max) => (values, random) => random.FillUniform(values, (float)Math.Log(min), (float)Math.Log(max));

    /// <summary>S4D-Lin's imaginary parts [N/2, channels]: pi n.</summary>
    public static Initializer Linear(int channels) => (values, _) =>
    {
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = MathF.PI * (i / channels);
        }
    };
}
