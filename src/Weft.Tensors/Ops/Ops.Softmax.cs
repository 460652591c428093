namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>The softmax of each group of <paramref name="group"/> columns of <paramref name="x"/> (0: of the whole row): e^(x - max) over its sum.</summary>
    public static Tensor Softmax(Tensor x, int group = 0)
    {
        group = group == 0 ? x.Shape.Columns : group;
        Require(group > 0 && x.Shape.Columns % group == 0, "Softmax", x);
        Tape tape = TapeOf(x);
        Tensor y = tape.Empty(x.Shape);
        tape.Device.Softmax(x, group, y);
        if (Records(tape, x))
        {
            SoftmaxNode node = tape.Record<SoftmaxNode>(y);
            (node.X, node.Group) = (x, group);
        }

        return y;
    }

    private sealed class SoftmaxNode : Node
    {
        internal Tensor X = null!;
        internal int Group;

        internal override void Backward(Tape tape) => tape.Device.SoftmaxBackward(Output, Group, Output.GradToRead!, GradTarget.Of(X, tape));
    }
}
