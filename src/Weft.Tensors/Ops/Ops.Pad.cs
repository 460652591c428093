namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>x with zeros around it along a dimension: <paramref name="before"/> entries of them, then x, then <paramref name="after"/>.</summary>
    public static Tensor Pad(Tensor x, Index dimension, int before, int after)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(before);
        ArgumentOutOfRangeException.ThrowIfNegative(after);
        int axis = dimension.GetOffset(x.Shape.Rank);
        Tape tape = TapeOf(x);
        Tensor y = tape.Empty(x.Shape.With(axis, before + x.Shape[axis] + after));
        y.Fill(0);
        Boxes.Copy(x, Boxes.Whole(x), y, Boxes.Part(y, axis, before), x.Shape, false);
        if (Records(tape, x))
        {
            PadNode node = tape.Record<PadNode>(y);
            (node.X, node.Axis, node.Start) = (x, axis, before);
        }

        return y;
    }

    private sealed class PadNode : Node
    {
        internal Tensor X = null!;
        internal int Axis, Start;

        internal override void Backward(Tape tape)
        {
            GradTarget target = GradTarget.Of(X, tape);
            Tensor dx = target.Tensor!, dy = Output.GradToRead!;
            Boxes.Copy(dy, Boxes.Part(dy, Axis, Start), dx, Boxes.Whole(dx), dx.Shape, target.Accumulate);
        }
    }
}
