namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// Angles that depend on the data (Mamba-3, arXiv 2603.15569): phi_t = phi_{t-1} + step_t rate_t for every head and pair of columns, in
    /// turns, kept within half a turn of 0. The sum is exact to 2^-40 turns however long it grows: it is kept as two float32, a
    /// multiple of 2^-20 and one of 2^-40, and only the increments are rounded. So pieces of a sequence give the same bits as the whole.
    /// </summary>
    /// <param name="rate">[B,T,S], shared by the heads.</param>
    /// <param name="step">[B,T,H].</param>
    /// <param name="initial">The angle before the first token as the sum of two parts, [B,2,H,S]; null for zeros.</param>
    /// <returns>
    /// cos 2 pi phi and sin 2 pi phi, [B,T,H 2S]: S cosines, then S sines of each head; and the angle after the last token [B,2,H,S]:
    /// <paramref name="initial"/> itself, overwritten, when the tape does not record and it is given; else a tensor of the tape. The second
    /// part only carries what the first one's rounding leaves: gradients of the final angle are the first one's.
    /// </returns>
    public static (Tensor Turns, Tensor Final) AccumulateTurns(Tensor rate, Tensor step, Tensor? initial)
    {
        Require(rate.Shape.Rank == 3 && step.Shape == rate.Shape.With(^1, step.Shape.Columns), "AccumulateTurns", rate, step);
        int heads = step.Shape.Columns, pairs = rate.Shape.Columns;
        Shape state = new(rate.Shape[0], 2, heads, pairs);
        Require(initial is null || (initial.Shape == state && initial.IsContiguous), "AccumulateTurns", rate, step, initial);
        Tape tape = TapeOf(rate, step);
        Tensor turns = tape.Empty(rate.Shape.With(^1, heads * 2 * pairs));
        Tensor final = initial is not null && !tape.Recording ? initial : tape.Empty(state);
        tape.Device.AccumulateTurns(rate, step, initial, turns, final);
        if (Records(tape, rate, step, initial))
        {
            AccumulateTurnsNode node = tape.Record<AccumulateTurnsNode>(turns, final);
            (node.Rate, node.Step, node.Initial) = (rate, step, initial);
        }

        return (turns, final);
    }

    private sealed class AccumulateTurnsNode : Node
    {
        internal Tensor Rate = null!, Step = null!;
        internal Tensor? Initial;

        internal override void Backward(Tape tape) => tape.Device.AccumulateTurnsBackward(
            Rate, Step, Output, Output.GradToRead, FinalState!.GradToRead, GradTarget.Of(Rate, tape), GradTarget.Of(Step, tape), GradTarget.Of(Initial, tape));
    }

    /// <summary>The FLOPs that <see cref="AccumulateTurns"/> counts forward for one sequence of <paramref name="tokens"/> tokens.</summary>
    public static long AccumulateTurnsFlops(long tokens, int heads, int pairs) => 2 * tokens * heads * pairs;

    /// <summary>
    /// Queries or keys of Mamba-3: the columns that all heads share, plus each head's bias, turned by each head's angles. In y's head h
    /// the pair (i, i + S) of x + bias_h turns by the head's angle i for i &lt; S; the columns from 2S on pass.
    /// </summary>
    /// <param name="x">[B,T,R N]: R rows of N columns a token.</param>
    /// <param name="bias">[H,R,N].</param>
    /// <param name="turns">Cosines and sines [B,T,H 2S] of <see cref="AccumulateTurns"/>, 2S &lt;= N.</param>
    /// <returns>y [B,T R,H N]: a token's rows follow each other.</returns>
    public static Tensor TurnHeads(Tensor x, Tensor bias, Tensor turns)
    {
        (Tape tape, TurnShape shape) = TurnChecks(x, bias, turns);
        Tensor y = tape.Empty(shape.Output);
        tape.Device.TurnHeads(x, bias, turns, shape, null, y, null);
        if (Records(tape, x, bias, turns))
        {
            TurnHeadsNode node = tape.Record<TurnHeadsNode>(y);
            (node.X, node.Bias, node.Turns, node.Size, node.Later, node.Before) = (x, bias, turns, shape, false, null);
        }

        return y;
    }

    /// <summary>
    /// The same one token later: y's rows of token t are those that <see cref="TurnHeads"/> gives for token t - 1, the first token's
    /// <paramref name="before"/> [B,R,H N] (null: zeros).
    /// </summary>
    /// <returns>
    /// y, and the rows of the last token [B,R,H N], the next call's <paramref name="before"/>: that tensor itself, overwritten, when the
    /// tape does not record and it is given; else a tensor of the tape.
    /// </returns>
    public static (Tensor Y, Tensor Last) TurnHeadsLater(Tensor x, Tensor bias, Tensor turns, Tensor? before)
    {
        (Tape tape, TurnShape shape) = TurnChecks(x, bias, turns);
        Shape lastShape = shape.Output.With(1, shape.Rank);
        Require(before is null || (before.Shape == lastShape && before.IsContiguous), "TurnHeadsLater", x, turns, before);
        Tensor y = tape.Empty(shape.Output), last = before is not null && !tape.Recording ? before : tape.Empty(lastShape);
        tape.Device.TurnHeads(x, bias, turns, shape, before, y, last);
        if (Records(tape, x, bias, turns, before))
        {
            TurnHeadsNode node = tape.Record<TurnHeadsNode>(y, last);
            (node.X, node.Bias, node.Turns, node.Size, node.Later, node.Before) = (x, bias, turns, shape, true, before);
        }

        return (y, last);
    }

    private static (Tape Tape, TurnShape Shape) TurnChecks(Tensor x, Tensor bias, Tensor turns)
    {
        Require(bias.Shape.Rank == 3 && bias.IsContiguous && x.Shape.Rank == 3 && x.Shape.Columns == bias.Shape[1] * bias.Shape[2], "TurnHeads", x, bias);
        int heads = bias.Shape[0], pairs = turns.Shape.Columns / (2 * heads);
        var shape = new TurnShape(x.Shape[0], x.Shape[1], bias.Shape[1], heads, bias.Shape[2], pairs);
        Require(turns.Shape == x.Shape.With(^1, 2 * pairs * heads) && 2 * pairs <= shape.Width, "TurnHeads", x, bias, turns);
        return (TapeOf(x, turns), shape);
    }

    private sealed class TurnHeadsNode : Node
    {
        internal Tensor X = null!, Bias = null!, Turns = null!;
        internal Tensor? Before;
        internal TurnShape Size;
        internal bool Later;

        internal override void Backward(Tape tape) => tape.Device.TurnHeadsBackward(
            X, Bias, Turns, Size, Later, Output.GradToRead, FinalState?.GradToRead,
            GradTarget.Of(X, tape), GradTarget.Of(Bias, tape), GradTarget.Of(Turns, tape), GradTarget.Of(Before, tape));
    }
}

/// <summary>The sizes of <see cref="Ops.TurnHeads"/>: B, T, R rows a token, H heads of N columns, S pairs that turn.</summary>
internal readonly record struct TurnShape(int Batch, int Time, int Rank, int Heads, int Width, int Pairs)
{
    public Shape Output => new(Batch, Time * Rank, Heads * Width);
}
