namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// The time-invariant state space whose transition is diagonal plus low rank (S4, arXiv 2111.00396), one input and one output a channel: each
    /// channel has N complex states, and the N conjugate ones are implied by the factors 2 Re,
    /// h_t = lambda h_{t-1} - right 2 Re(sum_n left h_{t-1}) + b x_t and y_t = 2 Re sum_n c h_t + skip x_t.
    /// </summary>
    /// <param name="x">Inputs [B,T,C]; may be a column view.</param>
    /// <param name="lambda">The diagonal [2,N,C], real parts, then imaginary ones.</param>
    /// <param name="left">What the state is multiplied by to give the correction's size [2,N,C].</param>
    /// <param name="right">The correction's direction [2,N,C].</param>
    /// <param name="b">With what an input enters the states [2,N,C].</param>
    /// <param name="c">What states are read with [2,N,C].</param>
    /// <param name="skip">What of x is added to the output, by channel [C]: D; null for none.</param>
    /// <param name="initial">The state before the first token [B,2,N,C]; null for zeros.</param>
    /// <returns>
    /// y [B,T,C] and the state after the last token [B,2,N,C]: <paramref name="initial"/> itself, overwritten, when the tape does not
    /// record and it is given; else a tensor of the tape. Pieces of a sequence give the bits of the whole, wherever they are cut.
    /// </returns>
    public static (Tensor Y, Tensor Final) LowRankSsm(Tensor x, Tensor lambda, Tensor left, Tensor right, Tensor b, Tensor c, Tensor? skip, Tensor? initial)
    {
        Require(x.Shape.Rank == 3 && lambda.Shape.Rank == 3 && lambda.Shape[0] == 2 && lambda.Shape[2] == x.Shape[2] && lambda.IsContiguous
            && (skip is null || (skip.Shape.Count == x.Shape[2] && skip.IsContiguous)), "LowRankSsm", x, lambda, skip);
        Require(left.Shape == lambda.Shape && right.Shape == lambda.Shape && left.IsContiguous && right.IsContiguous, "LowRankSsm", lambda, left, right);
        Require(b.Shape == lambda.Shape && c.Shape == lambda.Shape && b.IsContiguous && c.IsContiguous, "LowRankSsm", lambda, b, c);
        var inputs = new LowRankSsmInputs(x, lambda, left, right, b, c, skip);
        Shape stateShape = new(inputs.Batch, 2, inputs.States, inputs.Channels);
        Require(initial is null || (initial.Shape == stateShape && initial.IsContiguous), "LowRankSsm", x, lambda, initial);

        Tape tape = TapeOf(x, lambda);
        Tensor y = tape.Empty(x.Shape), final = initial is not null && !tape.Recording ? initial : tape.Empty(stateShape);
        Tensor? states = null;
        if (Records(tape, x, lambda, left, right, b, c) || Records(tape, x, skip, initial))
        {
            states = tape.Empty(new Shape(inputs.Batch, inputs.Chunks, 2 * inputs.States, inputs.Channels));
            LowRankSsmNode node = tape.Record<LowRankSsmNode>(y, final);
            (node.Inputs, node.States, node.Initial) = (inputs, states, initial);
        }

        tape.Device.LowRankSsm(inputs, initial, y, final, states);
        return (y, final);
    }

    private sealed class LowRankSsmNode : Node
    {
        internal LowRankSsmInputs Inputs;
        internal Tensor States = null!;
        internal Tensor? Initial;

        internal override void Backward(Tape tape) => tape.Device.LowRankSsmBackward(Inputs, States, Output.GradToRead, FinalState!.GradToRead,
            new LowRankSsmGrads(GradTarget.Of(Inputs.X, tape), GradTarget.Of(Inputs.Lambda, tape), GradTarget.Of(Inputs.Left, tape),
                GradTarget.Of(Inputs.Right, tape), GradTarget.Of(Inputs.B, tape), GradTarget.Of(Inputs.C, tape),
                GradTarget.Of(Inputs.Skip, tape), GradTarget.Of(Initial, tape)));
    }

    /// <summary>The FLOPs that <see cref="LowRankSsm"/> counts forward for one sequence: twelve multiply-adds a state.</summary>
    public static long LowRankSsmFlops(long tokens, int states, int channels) => 24 * tokens * states * channels;

    /// <summary>The tokens between states kept for the backward pass, which computes those between again.</summary>
    internal const int LowRankSsmChunk = 32;
}
