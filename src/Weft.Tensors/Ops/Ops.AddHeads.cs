namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>y + f x with a factor a head: <paramref name="y"/> and <paramref name="x"/> [B,T,H P], <paramref name="factor"/> [B,T,H].</summary>
    public static Tensor AddHeads(Tensor y, Tensor x, Tensor factor)
    {
        Require(y.Shape.Rank == 3 && x.Shape == y.Shape && factor.Shape == x.Shape.With(^1, factor.Shape.Columns) && x.Shape.Columns % factor.Shape.Columns == 0, "AddHeads", y, x, factor);
        Tape tape = TapeOf(y, x, factor);
        Tensor z = tape.Empty(y.Shape);
        tape.Device.AddHeads(y, x, factor, z);
        if (Records(tape, y, x, factor))
        {
            AddHeadsNode node = tape.Record<AddHeadsNode>(z);
            (node.Y, node.X, node.Factor) = (y, x, factor);
        }

        return z;
    }

    private sealed class AddHeadsNode : Node
    {
        internal Tensor Y = null!, X = null!, Factor = null!;

        internal override void Backward(Tape tape)
        {
            Tensor dz = Output.GradToRead!;
            if (GradTarget.Of(Y, tape) is { Tensor: { } dy } y)
            {
                tape.Device.Affine(dz, 1, 0, dy, y.Accumulate);
            }

            tape.Device.AddHeadsBackward(X, Factor, dz, GradTarget.Of(X, tape), GradTarget.Of(Factor, tape));
        }
    }
}
