namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// A forget gate f = (b + (1 - b) sigmoid(z))^(1/root) as recurrences want it: its logarithm, in a stable form, and 1 - f, what the
    /// gate leaves for the token's own input. With b = 0 and root 16 gated linear attention's (arXiv 2312.06635, section 4.4); with a lower
    /// bound b HGRN-2's (arXiv 2404.07904), with root 8 gated slot attention's (arXiv 2409.07146).
    /// </summary>
    /// <param name="z">[.., C]; may be a column view.</param>
    /// <param name="bound">The logit of the lower bound, b = sigmoid(bound) [C]; null for b = 0.</param>
    /// <param name="root">What the logarithm is divided by.</param>
    /// <returns>log f and 1 - f, both [.., C]: column views of one tensor.</returns>
    public static (Tensor Log, Tensor Input) ForgetGate(Tensor z, Tensor? bound = null, float root = 1)
    {
        int columns = z.Shape.Columns;
        Tensor both = ForgetGate(z, bound, root, 2 * columns);
        return (both.Columns(0, columns), both.Columns(columns, columns));
    }

    /// <summary>The logarithm alone of what <see cref="ForgetGate(Tensor, Tensor?, float)"/> gives.</summary>
    public static Tensor LogForgetGate(Tensor z, Tensor? bound = null, float root = 1) => ForgetGate(z, bound, root, z.Shape.Columns);

    private static Tensor ForgetGate(Tensor z, Tensor? bound, float root, int columns)
    {
        Require(bound is null || (bound.Shape.Count == z.Shape.Columns && bound.IsContiguous), "ForgetGate", z, bound);
        Tape tape = TapeOf(z, bound);
        Tensor y = tape.Empty(z.Shape.With(^1, columns));
        tape.Device.ForgetGate(z, bound, root, y);
        if (Records(tape, z, bound))
        {
            ForgetGateNode node = tape.Record<ForgetGateNode>(y);
            (node.Z, node.Bound, node.Root) = (z, bound, root);
        }

        return y;
    }

    private sealed class ForgetGateNode : Node
    {
        internal Tensor Z = null!;
        internal Tensor? Bound;
        internal float Root;

        internal override void Backward(Tape tape) =>
            tape.Device.ForgetGateBackward(Z, Bound, Root, Output, Output.GradToRead!, GradTarget.Of(Z, tape), GradTarget.Of(Bound, tape));
    }
}
