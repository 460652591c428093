namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// Discretises the diagonal state space h' = a h + x with a step dt: the pole lambda and the gain with which an input enters,
    /// <code>
    /// zero-order hold: lambda = e^{dt a},                     gain = (e^{dt a} - 1) / a
    /// bilinear:        lambda = (1 + dt a/2) / (1 - dt a/2),  gain = dt / (1 - dt a/2)
    /// </code>
    /// (S4, arXiv 2111.00396, equation 3; S4D, arXiv 2206.11893, section 2.) Complex tensors hold their real parts, then the imaginary ones.
    /// </summary>
    /// <param name="real">Real parts of a, [N,C] or [C]; as a rule negative. Not all of a is zero.</param>
    /// <param name="imaginary">Imaginary parts of a.</param>
    /// <param name="logStep">log dt [C], shared by the N poles of a channel; null for steps of 1.</param>
    /// <param name="c">What the gain is multiplied by, complex [2,N,C] or [2,C]; null for 1.</param>
    /// <param name="rule">How.</param>
    /// <returns>lambda and c times the gain, each [2,N,C] or [2,C].</returns>
    public static (Tensor Lambda, Tensor Gain) Discretize(Tensor real, Tensor imaginary, Tensor? logStep, Tensor? c, Discretization rule)
    {
        Shape shape = real.Shape.Rank == 1 ? new Shape(2, real.Shape[0]) : new Shape(2, real.Shape[0], real.Shape.Columns);
        Require(real.Shape.Rank <= 2 && imaginary.Shape == real.Shape && real.IsContiguous && imaginary.IsContiguous
            && (logStep is null || logStep.Shape == new Shape(real.Shape.Columns)) && (c is null || (c.Shape == shape && c.IsContiguous)), "Discretize", real, logStep, c);
        var inputs = new DiscretizeInputs(real, imaginary, logStep, c, rule);
        Tape tape = TapeOf(real, imaginary, logStep);
        Tensor lambda = tape.Empty(shape), gain = tape.Empty(shape);
        tape.Device.Discretize(inputs, lambda, gain);
        if (Records(tape, real, imaginary, logStep, c))
        {
            tape.Record<DiscretizeNode>(lambda, gain).Inputs = inputs;
        }

        return (lambda, gain);
    }

    private sealed class DiscretizeNode : Node
    {
        internal DiscretizeInputs Inputs;

        internal override void Backward(Tape tape) => tape.Device.DiscretizeBackward(Inputs, Output.GradToRead, FinalState!.GradToRead,
            new DiscretizeGrads(GradTarget.Of(Inputs.Real, tape), GradTarget.Of(Inputs.Imaginary, tape), GradTarget.Of(Inputs.LogStep, tape), GradTarget.Of(Inputs.C, tape)));
    }
}

/// <summary>How a continuous state space becomes one of steps; see <see cref="Ops.Discretize"/>.</summary>
public enum Discretization
{
    /// <summary>The input is held over a step: exact for inputs that are steps.</summary>
    ZeroOrderHold,

    /// <summary>The trapezoidal rule, Tustin's method.</summary>
    Bilinear,
}
