namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// The diagonal time-invariant recurrence on one complex state of P numbers for all channels, as S5 (arXiv 2208.04933) and the LRU
    /// (arXiv 2303.06349) have it between products with B and C: h_t = lambda h_{t-1} + gain u_t.
    /// </summary>
    /// <param name="u">Inputs [B,T,2P], B x: real parts, then imaginary ones; may be a column view.</param>
    /// <param name="lambda">Poles [2,P], of modulus up to 1.</param>
    /// <param name="gain">What inputs are multiplied by, complex [2,P]; null for 1.</param>
    /// <param name="initial">The state before the first token [B,2,P]; null for zeros.</param>
    /// <returns>
    /// All states h [B,T,2P] and the last [B,2,P]: <paramref name="initial"/> itself, overwritten, when the tape does not record and it is
    /// given; else a tensor of the tape. Pieces of a sequence give the bits of the whole, wherever they are cut.
    /// </returns>
    public static (Tensor H, Tensor Final) ComplexScan(Tensor u, Tensor lambda, Tensor? gain, Tensor? initial)
    {
        Require(u.Shape.Rank == 3 && lambda.Shape.Rank == 2 && lambda.Shape[0] == 2 && u.Shape[2] == 2 * lambda.Shape[1] && lambda.IsContiguous
            && (gain is null || (gain.Shape == lambda.Shape && gain.IsContiguous)), "ComplexScan", u, lambda, gain);
        var inputs = new ComplexScanInputs(u, lambda, gain);
        Shape stateShape = new(inputs.Batch, 2, inputs.States);
        Require(initial is null || (initial.Shape == stateShape && initial.IsContiguous), "ComplexScan", u, lambda, initial);

        Tape tape = TapeOf(u, lambda, gain);
        Tensor h = tape.Empty(u.Shape), final = initial is not null && !tape.Recording ? initial : tape.Empty(stateShape);
        tape.Device.ComplexScan(inputs, initial, h, final);
        if (Records(tape, u, lambda, gain, initial))
        {
            ComplexScanNode node = tape.Record<ComplexScanNode>(h, final);
            (node.Inputs, node.Initial) = (inputs, initial);
        }

        return (h, final);
    }

    private sealed class ComplexScanNode : Node
    {
        internal ComplexScanInputs Inputs;
        internal Tensor? Initial;

        internal override void Backward(Tape tape) => tape.Device.ComplexScanBackward(Inputs, Initial, Output, Output.GradToRead, FinalState!.GradToRead,
            new ComplexScanGrads(GradTarget.Of(Inputs.U, tape), GradTarget.Of(Inputs.Lambda, tape), GradTarget.Of(Inputs.Gain, tape), GradTarget.Of(Initial, tape)));
    }

    /// <summary>The FLOPs that <see cref="ComplexScan"/> counts forward for one sequence: a complex product a state, and one more for a gain.</summary>
    public static long ComplexScanFlops(long tokens, int states, bool gain) => (gain ? 16 : 8) * tokens * states;
}
