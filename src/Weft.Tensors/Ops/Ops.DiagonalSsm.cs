namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// The diagonal time-invariant state space with one input and one output a channel (S4D, arXiv 2206.11893; the diagonal SSM of H3,
    /// arXiv 2212.14052): each channel has N complex states, and the N conjugate ones are implied by the factor 2,
    /// h_t = lambda h_{t-1} + x_t and y_t = 2 Re sum_n w h_t + skip x_t.
    /// </summary>
    /// <param name="x">Inputs [B,T,C]; may be a column view.</param>
    /// <param name="lambda">Poles [2,N,C], real parts, then imaginary ones; of modulus up to 1.</param>
    /// <param name="w">What states are read with [2,N,C]: C times the gain of the discretisation.</param>
    /// <param name="skip">What of x is added to the output, by channel [C]: D; null for none.</param>
    /// <param name="initial">The state before the first token [B,2,N,C]; null for zeros.</param>
    /// <returns>
    /// y [B,T,C] and the state after the last token [B,2,N,C]: <paramref name="initial"/> itself, overwritten, when the tape does not
    /// record and it is given; else a tensor of the tape. Pieces of a sequence give the bits of the whole, wherever they are cut.
    /// </returns>
    public static (Tensor Y, Tensor Final) DiagonalSsm(Tensor x, Tensor lambda, Tensor w, Tensor? skip, Tensor? initial)
    {
        Require(x.Shape.Rank == 3 && lambda.Shape.Rank == 3 && lambda.Shape[0] == 2 && lambda.Shape[2] == x.Shape[2] && w.Shape == lambda.Shape
            && lambda.IsContiguous && w.IsContiguous && (skip is null || (skip.Shape.Count == x.Shape[2] && skip.IsContiguous)), "DiagonalSsm", x, lambda, w);
        var inputs = new DiagonalSsmInputs(x, lambda, w, skip);
        Shape stateShape = new(inputs.Batch, 2, inputs.States, inputs.Channels);
        Require(initial is null || (initial.Shape == stateShape && initial.IsContiguous), "DiagonalSsm", x, lambda, initial);

        Tape tape = TapeOf(x, lambda, w);
        Tensor y = tape.Empty(x.Shape), final = initial is not null && !tape.Recording ? initial : tape.Empty(stateShape);
        Tensor? states = null;
        if (Records(tape, x, lambda, w, skip, initial))
        {
            states = tape.Empty(new Shape(inputs.Batch, inputs.Chunks, 2 * inputs.States, inputs.Channels));
            DiagonalSsmNode node = tape.Record<DiagonalSsmNode>(y, final);
            (node.Inputs, node.States, node.Initial) = (inputs, states, initial);
        }

        tape.Device.DiagonalSsm(inputs, initial, y, final, states);
        return (y, final);
    }

    private sealed class DiagonalSsmNode : Node
    {
        internal DiagonalSsmInputs Inputs;
        internal Tensor States = null!;
        internal Tensor? Initial;

        internal override void Backward(Tape tape) => tape.Device.DiagonalSsmBackward(Inputs, States, Output.GradToRead, FinalState!.GradToRead,
            new DiagonalSsmGrads(GradTarget.Of(Inputs.X, tape), GradTarget.Of(Inputs.Lambda, tape), GradTarget.Of(Inputs.W, tape),
                GradTarget.Of(Inputs.Skip, tape), GradTarget.Of(Initial, tape)));
    }

    /// <summary>The FLOPs that <see cref="DiagonalSsm"/> counts forward for one sequence: six multiply-adds a state, two of them to read it.</summary>
    public static long DiagonalSsmFlops(long tokens, int states, int channels) => 12 * tokens * states * channels;

    /// <summary>The tokens between states kept for the backward pass, which computes those between again.</summary>
    internal const int DiagonalSsmChunk = 64;
}
