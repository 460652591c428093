namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// A real diagonal recurrence: for every channel, h_t = exp(a_t) h_{t-1} + w(a_t) x_t, where w is 1, 1 - exp(a) or
    /// sqrt(1 - exp(2 a)), computed without cancellation. Token by token, so that pieces of a sequence give the same bits as the whole.
    /// Inputs may be column views.
    /// </summary>
    /// <param name="x">What enters [B,T,C].</param>
    /// <param name="logDecay">a [B,T,C], not positive unless <paramref name="input"/> is whole; -infinity forgets what was before.</param>
    /// <param name="initial">The state before the first token [B,C]; null for zeros.</param>
    /// <param name="input">The weight w.</param>
    /// <param name="restart">Whether the first token's a counts as -infinity, whatever it is: then h_0 = x_0 for every w.</param>
    /// <returns>
    /// h [B,T,C] and the state after the last token [B,C]: <paramref name="initial"/> itself, overwritten, when the tape does not record
    /// and it is given; else a tensor of the tape.
    /// </returns>
    public static (Tensor H, Tensor Final) DiagonalRecurrence(Tensor x, Tensor logDecay, Tensor? initial, DiagonalInput input = DiagonalInput.Whole, bool restart = false)
    {
        (Tape tape, Tensor h, Tensor final) = ChannelOutputs("DiagonalRecurrence", x, logDecay, initial);
        var inputs = new DiagonalInputs(x, logDecay, initial, input, restart);
        tape.Device.DiagonalRecurrence(inputs, h, final);
        if (Records(tape, x, logDecay, initial))
        {
            tape.Record<DiagonalRecurrenceNode>(h, final).Inputs = inputs;
        }

        return (h, final);
    }

    private sealed class DiagonalRecurrenceNode : Node
    {
        internal DiagonalInputs Inputs;

        internal override void Backward(Tape tape) => tape.Device.DiagonalRecurrenceBackward(
            Inputs, Output, Output.GradToRead, FinalState!.GradToRead,
            GradTarget.Of(Inputs.X, tape), GradTarget.Of(Inputs.LogDecay, tape), GradTarget.Of(Inputs.Initial, tape));
    }

    /// <summary>The FLOPs that <see cref="DiagonalRecurrence"/> counts forward for one sequence of <paramref name="tokens"/> tokens.</summary>
    public static long DiagonalRecurrenceFlops(long tokens, int channels) => 2 * tokens * channels;

    /// <summary>
    /// The running maximum that keeps exponential gates in range: for every channel, m_t = max(m_{t-1} + f_t, i_t), with f the log of a
    /// decay and i the log of an input's weight (xLSTM, arXiv 2405.04517, equation 15; RWKV, arXiv 2305.13048, appendix). Each
    /// gradient goes to the argument that was the larger, to i where they are equal. No value becomes NaN as long as neither input
    /// is NaN or +infinity. Inputs may be column views; pieces of a sequence give the same bits as the whole.
    /// </summary>
    /// <param name="f">What is added to the maximum so far [B,T,C].</param>
    /// <param name="i">What it is compared with [B,T,C].</param>
    /// <param name="initial">The maximum before the first token [B,C]; null for -infinity.</param>
    /// <returns>
    /// m [B,T,C] and the maximum after the last token [B,C]: <paramref name="initial"/> itself, overwritten, when the tape does not
    /// record and it is given; else a tensor of the tape.
    /// </returns>
    public static (Tensor M, Tensor Final) MaxPlus(Tensor f, Tensor i, Tensor? initial)
    {
        (Tape tape, Tensor m, Tensor final) = ChannelOutputs("MaxPlus", f, i, initial);
        tape.Device.MaxPlus(f, i, initial, m, final);
        if (Records(tape, f, i, initial))
        {
            MaxPlusNode node = tape.Record<MaxPlusNode>(m, final);
            (node.F, node.I, node.Initial) = (f, i, initial);
        }

        return (m, final);
    }

    private sealed class MaxPlusNode : Node
    {
        internal Tensor F = null!, I = null!;
        internal Tensor? Initial;

        internal override void Backward(Tape tape) => tape.Device.MaxPlusBackward(
            F, I, Initial, Output, Output.GradToRead, FinalState!.GradToRead,
            GradTarget.Of(F, tape), GradTarget.Of(I, tape), GradTarget.Of(Initial, tape));
    }

    // The outputs of a recurrence of channels: a sequence [B,T,C] and a final state [B,C].
    private static (Tape Tape, Tensor Sequence, Tensor Final) ChannelOutputs(string operation, Tensor a, Tensor b, Tensor? initial)
    {
        Require(a.Shape.Rank == 3 && b.Shape == a.Shape, operation, a, b);
        Shape state = new(a.Shape[0], a.Shape.Columns);
        Require(initial is null || (initial.Shape == state && initial.IsContiguous), operation, a, b, initial);
        Tape tape = TapeOf(a, b, initial);
        return (tape, tape.Empty(a.Shape), initial is not null && !tape.Recording ? initial : tape.Empty(state));
    }
}

/// <summary>What an input of a diagonal recurrence is multiplied by, given its token's log decay a.</summary>
public enum DiagonalInput
{
    /// <summary>1.</summary>
    Whole,

    /// <summary>1 - exp(a): the state is a moving average of the inputs (minGRU, minLSTM).</summary>
    Complement,

    /// <summary>
    /// sqrt(1 - exp(2 a)): independent inputs of variance 1 give a state of variance 1 (RG-LRU, arXiv 2402.19427, equation 4). The
    /// root's slope is taken as 1000 where it is steeper, as in the authors' code.
    /// </summary>
    UnitVariance,
}
