namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// A linear map with a block-diagonal matrix: each run of <c>in</c> columns of <paramref name="x"/> [.., blocks in] is multiplied by
    /// its own matrix of <paramref name="weight"/> [blocks, in, out], inputs by outputs. Blocks may be as narrow as 4 columns.
    /// </summary>
    /// <returns>[.., blocks out].</returns>
    public static Tensor BlockLinear(Tensor x, Tensor weight)
    {
        Require(weight.Shape.Rank == 3 && weight.IsContiguous && x.Shape.Columns == weight.Shape[0] * weight.Shape[1], "BlockLinear", x, weight);
        Tape tape = TapeOf(x, weight);
        Tensor y = tape.Empty(x.Shape.With(^1, weight.Shape[0] * weight.Shape[2]));
        tape.Device.BlockLinear(x, weight, y);
        if (Records(tape, x, weight))
        {
            BlockLinearNode node = tape.Record<BlockLinearNode>(y);
            (node.X, node.Weight) = (x, weight);
        }

        return y;
    }

    private sealed class BlockLinearNode : Node
    {
        internal Tensor X = null!, Weight = null!;

        internal override void Backward(Tape tape) =>
            tape.Device.BlockLinearBackward(X, Weight, Output.GradToRead!, GradTarget.Of(X, tape), GradTarget.Of(Weight, tape));
    }
}
