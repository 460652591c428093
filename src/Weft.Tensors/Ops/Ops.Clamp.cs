namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>min(max(x, low), high); gradients pass where x lies from <paramref name="low"/> to <paramref name="high"/>, both included.</summary>
    public static Tensor Clamp(Tensor x, float low, float high)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(low, high);
        Tape tape = TapeOf(x);
        Tensor y = tape.Empty(x.Shape);
        tape.Device.Clamp(x, low, high, y);
        if (Records(tape, x))
        {
            ClampNode node = tape.Record<ClampNode>(y);
            (node.X, node.Low, node.High) = (x, low, high);
        }

        return y;
    }

    private sealed class ClampNode : Node
    {
        internal Tensor X = null!;
        internal float Low, High;

        internal override void Backward(Tape tape) =>
            tape.Device.ClampBackward(X, Low, High, Output.GradToRead!, GradTarget.Of(X, tape));
    }
}
