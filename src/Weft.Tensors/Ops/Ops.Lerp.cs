namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>a + w (b - a), elementwise and fused: from a, at w = 0, to b, at w = 1. Equal shapes.</summary>
    public static Tensor Lerp(Tensor a, Tensor b, Tensor w)
    {
        Require(a.Shape == b.Shape && a.Shape == w.Shape, "Lerp", a, b, w);
        Tape tape = TapeOf(a, b, w);
        Tensor y = tape.Empty(a.Shape);
        tape.Device.Lerp(a, b, w, y);
        if (Records(tape, a, b, w))
        {
            LerpNode node = tape.Record<LerpNode>(y);
            (node.A, node.B, node.W) = (a, b, w);
        }

        return y;
    }

    private sealed class LerpNode : Node
    {
        internal Tensor A = null!, B = null!, W = null!;

        internal override void Backward(Tape tape) =>
            tape.Device.LerpBackward(A, B, W, Output.GradToRead!, GradTarget.Of(A, tape), GradTarget.Of(B, tape), GradTarget.Of(W, tape));
    }
}
