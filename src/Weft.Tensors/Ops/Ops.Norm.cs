namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// Root-mean-square norm (Zhang and Sennrich, arXiv 1910.07467): each group of <paramref name="group"/> columns of
    /// <paramref name="x"/> (0: the whole row) over sqrt(mean of its squares + epsilon), times <paramref name="weight"/>
    /// (as long as the row, or as one group; null for ones).
    /// </summary>
    public static Tensor RmsNorm(Tensor x, Tensor? weight, float epsilon, int group = 0) =>
        Norm(x, weight, null, new NormOptions(group == 0 ? x.Shape.Columns : group, epsilon, false, false));

    /// <summary>
    /// The gated norm of recurrent mixers, with z = <paramref name="gate"/>: norm(x silu(z)) weight when
    /// <paramref name="gateFirst"/> (Mamba-2), else norm(x) weight silu(z) (Gated DeltaNet).
    /// </summary>
    public static Tensor GatedRmsNorm(Tensor x, Tensor gate, Tensor? weight, float epsilon, int group, bool gateFirst) =>
        Norm(x, weight, gate, new NormOptions(group == 0 ? x.Shape.Columns : group, epsilon, false, gateFirst));

    /// <summary>
    /// Layer norm (Ba et al., arXiv 1607.06450), without a bias: each group of <paramref name="group"/> columns (0: the whole row) less
    /// its mean, over sqrt(variance + epsilon), times <paramref name="weight"/> (as long as the row, or as one group; null for ones).
    /// With groups it is a group norm, or headwise.
    /// </summary>
    public static Tensor LayerNorm(Tensor x, Tensor? weight, float epsilon, int group = 0) =>
        Norm(x, weight, null, new NormOptions(group == 0 ? x.Shape.Columns : group, epsilon, false, false, Center: true));

    /// <summary>Each group of columns over its Euclidean length: x / sqrt(sum of squares + epsilon).</summary>
    public static Tensor L2Norm(Tensor x, int group, float epsilon = 1e-6f) =>
        Norm(x, null, null, new NormOptions(group, epsilon, true, false));

    private static Tensor Norm(Tensor x, Tensor? weight, Tensor? gate, NormOptions options)
    {
        int columns = x.Shape.Columns;
        Require(options.Group > 0 && columns % options.Group == 0, "Norm", x);
        Require(weight is null || weight.Shape.Count == columns || weight.Shape.Count == options.Group, "Norm", x, weight);
        Require(gate is null || gate.Shape == x.Shape, "Norm", x, gate);
        Tape tape = TapeOf(x, weight, gate);
        Tensor y = tape.Empty(x.Shape);
        tape.Device.Norm(x, weight, gate, options, y);
        if (Records(tape, x, weight, gate))
        {
            NormNode node = tape.Record<NormNode>(y);
            (node.X, node.Weight, node.Gate, node.Options) = (x, weight, gate, options);
        }

        return y;
    }

    private sealed class NormNode : Node
    {
        internal Tensor X = null!;
        internal Tensor? Weight, Gate;
        internal NormOptions Options;

        internal override void Backward(Tape tape) => tape.Device.NormBackward(
            X, Weight, Gate, Options, Output.GradToRead!, GradTarget.Of(X, tape), GradTarget.Of(Weight, tape), GradTarget.Of(Gate, tape));
    }
}
