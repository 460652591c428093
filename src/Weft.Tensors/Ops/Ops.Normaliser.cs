namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// A copy of <paramref name="x"/> [B,T,H d] with a one behind each head's d columns: [B,T,H (d + 1)]. As the values of a linear
    /// recurrence it makes the last column of the state the normaliser n_t, the same sum of keys that the values are weighted by.
    /// </summary>
    public static Tensor AppendOnes(Tensor x, int heads)
    {
        Require(x.Shape.Rank == 3 && heads > 0 && x.Shape.Columns % heads == 0, "AppendOnes", x);
        Tape tape = TapeOf(x);
        Tensor y = tape.Empty(x.Shape.With(^1, x.Shape.Columns + heads));
        tape.Device.Fill(y, 1);
        Heads(x, y, heads, x.Shape.Columns / heads, accumulate: false);
        if (Records(tape, x))
        {
            AppendOnesNode node = tape.Record<AppendOnesNode>(y);
            (node.X, node.Heads) = (x, heads);
        }

        return y;
    }

    private sealed class AppendOnesNode : Node
    {
        internal Tensor X = null!;
        internal int Heads;

        internal override void Backward(Tape tape)
        {
            GradTarget dx = GradTarget.Of(X, tape);
            Ops.Heads(Output.GradToRead!, dx.Tensor!, Heads, X.Shape.Columns / Heads, dx.Accumulate);
        }
    }

    // Copies the first columns of every head, between heads of different widths.
    private static void Heads(Tensor from, Tensor to, int heads, int columns, bool accumulate)
    {
        from.Device.CopyBox(from, Of(from), to, Of(to), (from.Shape[0], from.Shape[1], heads, columns), accumulate);

        Box Of(Tensor x) => new(0, (long)x.Shape[1] * x.RowStride, x.RowStride, x.Shape.Columns / heads, 1);
    }

    /// <summary>
    /// What is read from a state with a normaliser, x [B,T,H (d + 1)], over it: in each head, with n its last column,
    /// y = x / (max(|n|, exp(floor)) + epsilon) for the d columns before. Linear attention has no floor and n &gt;= 0; mLSTM's
    /// (arXiv 2405.04517, equation 21) is one, stabilised exp(-m).
    /// </summary>
    /// <param name="x">[B,T,H (d + 1)].</param>
    /// <param name="logFloor">The floor's logarithm [B,T,H]; null for none.</param>
    /// <param name="heads">H.</param>
    /// <param name="epsilon">Added to the divisor.</param>
    /// <returns>y [B,T,H d].</returns>
    public static Tensor DivideByLast(Tensor x, Tensor? logFloor, int heads, float epsilon)
    {
        Require(x.Shape.Rank == 3 && heads > 0 && x.Shape.Columns % heads == 0 && x.Shape.Columns > heads, "DivideByLast", x);
        Require(logFloor is null || logFloor.Shape == x.Shape.With(^1, heads), "DivideByLast", x, logFloor);
        Tape tape = TapeOf(x);
        Tensor y = tape.Empty(x.Shape.With(^1, x.Shape.Columns - heads));
        tape.Device.DivideByLast(x, logFloor, heads, epsilon, y);
        if (Records(tape, x, logFloor))
        {
            DivideByLastNode node = tape.Record<DivideByLastNode>(y);
            (node.X, node.LogFloor, node.Heads, node.Epsilon) = (x, logFloor, heads, epsilon);
        }

        return y;
    }

    private sealed class DivideByLastNode : Node
    {
        internal Tensor X = null!;
        internal Tensor? LogFloor;
        internal int Heads;
        internal float Epsilon;

        internal override void Backward(Tape tape) => tape.Device.DivideByLastBackward(
            X, LogFloor, Heads, Epsilon, Output, Output.GradToRead!, GradTarget.Of(X, tape), GradTarget.Of(LogFloor, tape));
    }
}
