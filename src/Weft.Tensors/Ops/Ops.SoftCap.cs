namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>cap tanh(x / cap): x where it is small, and nowhere beyond +-cap (Gemma 2, arXiv 2408.00118, section 2).</summary>
    public static Tensor SoftCap(Tensor x, float cap)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(cap);
        Tape tape = TapeOf(x);
        Tensor y = tape.Empty(x.Shape);
        tape.Device.SoftCap(x, cap, y);
        if (Records(tape, x))
        {
            SoftCapNode node = tape.Record<SoftCapNode>(y);
            (node.X, node.Cap) = (x, cap);
        }

        return y;
    }

    private sealed class SoftCapNode : Node
    {
        internal Tensor X = null!;
        internal float Cap;

        internal override void Backward(Tape tape) => tape.Device.SoftCapBackward(Output, Cap, Output.GradToRead!, GradTarget.Of(X, tape));
    }
}
