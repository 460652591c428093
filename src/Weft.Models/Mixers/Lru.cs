using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The linear recurrent unit (Orvieto et al., "Resurrecting recurrent neural networks for long sequences", arXiv 2303.06349): one complex state
/// h of P numbers for all channels,
/// <code>
/// lambda = exp(-exp(nu_log) + i exp(theta_log))           section 3.3, stable by construction
/// h_t = lambda h_{t-1} + exp(gamma_log) (B x_t)           section 3.4, B complex
/// y_t = Re(C h_t) + D x_t                                 C complex
/// out = a * sigmoid(b),  a, b = W gelu(y) + bias
/// </code>
/// |lambda| starts uniform on the ring between r-min and r-max, its angle uniform up to max-phase, and gamma = sqrt(1 - |lambda|^2), which keeps
/// the state's size that of its inputs. The authors train nu, theta and gamma (and B) at a lower rate, without weight decay.
/// </summary>
public sealed class Lru : Mixer
{
    private readonly int width, states;

    private readonly Tensor nuLog, thetaLog, gammaLog; // [P]
    private readonly Tensor b;                         // [2 P, D]: real parts, then imaginary ones
    private readonly Tensor c;                         // [D, 2 P]: real parts, then minus the imaginary ones
    private readonly Tensor skip;                      // [D]
    private readonly GluOutput output;
    private readonly Tensor noPhase;                   // [1, P] zeros: gamma is real

    /// <summary>Makes the mixer with its initial weights.</summary>
    public Lru(Builder builder, int states, double minRadius, double maxRadius, double maxPhase)
    {
        (width, this.states) = (builder.Width, states);
        var perState = new Shape(states);
        var gamma = new float[states];
        nuLog = Learn(builder, "nu_log", perState, (values, random) =>
        {
            for (int i = 0; i < values.Length; i++)
            {
                double square = (minRadius * minRadius) + (random.NextDouble() * ((maxRadius * maxRadius) - (minRadius * minRadius))); // |lambda|^2
                square = Math.Clamp(square, 1e-12, 1 - 1e-7);
                values[i] = (float)Math.Log(-0.5 * Math.Log(square));
                gamma[i] = (float)(0.5 * Math.Log(1 - square));
            }
        }, decay: false);
        thetaLog = Learn(builder, "theta_log", perState, (values, random) =>
        {
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = (float)Math.Log(maxPhase * (1 - random.NextDouble()));
            }
        }, decay: false);
        gammaLog = Learn(builder, "gamma_log", perState, (values, _) => gamma.CopyTo(values), decay: false);
        b = Learn(builder, "B", new Shape(2 * states, width), Initial.Normal(1 / MathF.Sqrt(2 * width)), decay: true);
        c = Learn(builder, "C", new Shape(width, 2 * states), Initial.Normal(1 / MathF.Sqrt(states)), decay: true);
        skip = Learn(builder, "D", new Shape(width), Initial.Normal(1), decay: true);
        output = Contain("output", new GluOutput(builder));
        noPhase = builder.Device.Zeros(new Shape(1, states));
    }

    /// <summary>Options: <c>state</c> P (the width, unless given), <c>r-min</c>, <c>r-max</c> and <c>max-phase</c> of initial lambdas.</summary>
    /// <exception cref="InputException">An option is out of range, or r-min is above r-max.</exception>
    public static Lru Create(BlockOptions options, Builder builder)
    {
        int states = options.Int("state", builder.Width, 1, 1 << 16);
        double min = options.Real("r-min", 0.9, 0, 1), max = options.Real("r-max", 0.999, 0, 1);
        return min <= max ? new Lru(builder, states, min, max, options.Real("max-phase", 2 * Math.PI, 1e-6, 2 * Math.PI))
            : throw options.Refuse("r-min", $"is above r-max={max}; give a radius that is not");
    }

    /// <inheritdoc/>
    public override Tensor Mix(Tensor x, MixerState state)
    {
        var s = (StateSpaceState)state;
        Tape tape = x.Tape!;
        Tensor decay = Ops.Affine(Ops.Exp(Ops.Copy(nuLog, tape)), -1), phase = Ops.Exp(Ops.Copy(thetaLog, tape));
        (Tensor lambda, _) = Ops.Discretize(decay, phase, null, null, Discretization.ZeroOrderHold); // with steps of 1: e^(decay + i phase)
        Tensor gamma = Ops.Concat(Ops.Exp(Ops.Copy(gammaLog, tape)).Reshape(noPhase.Shape), noPhase, 0);
        (Tensor h, Tensor last) = TimeInvariant.FusedStates(Ops.Linear(x, b), lambda, gamma, s.H.Before(tape));
        s.H.After(last);
        return output.Forward(Ops.Add(Ops.Linear(h, c), Ops.Multiply(x, skip)));
    }

    /// <inheritdoc/>
    public override MixerState NewState(int batch) => new StateSpaceState(b.Device, new Shape(batch, 2, states));

    /// <inheritdoc/>
    public override Cost Cost(int tokens, int context) => new(
        (2 * Models.Cost.Linear(tokens, width, 2L * states)) + Ops.ComplexScanFlops(tokens, states, gain: true) + output.Flops(tokens),
        ParameterCount(),
        sizeof(float) * 2L * states);
}
