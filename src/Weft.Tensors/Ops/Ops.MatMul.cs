namespace Weft.Tensors;

/// <summary>
/// The operations that models are written in: each checks shapes, runs a kernel of the device and, on a recording tape, notes how
/// gradients go back. Results live on the tape of the first input that has one.
/// </summary>
public static partial class Ops
{
    /// <summary>y = x W^T + b for every row of <paramref name="x"/> [.., in], <paramref name="weight"/> [out, in], <paramref name="bias"/> [out] or null; y is [.., out].</summary>
    public static Tensor Linear(Tensor x, Tensor weight, Tensor? bias = null)
    {
        Require(weight.Shape.Rank == 2 && weight.Shape[1] == x.Shape.Columns, "Linear", x, weight);
        Require(bias is null || bias.Shape.Count == weight.Shape[0], "Linear", weight, bias);
        Tape tape = TapeOf(x, weight);
        Tensor y = tape.Empty(x.Shape.With(^1, weight.Shape[0]));
        tape.Device.MatMul(x, false, weight, true, bias, y, false);
        if (Records(tape, x, weight, bias))
        {
            RequireLearnable(weight);
            LinearNode node = tape.Record<LinearNode>(y);
            (node.X, node.Weight, node.Bias) = (x, weight, bias);
        }

        return y;
    }

    private sealed class LinearNode : Node
    {
        internal Tensor X = null!;
        internal Tensor Weight = null!;
        internal Tensor? Bias;

        internal override void Backward(Tape tape)
        {
            Tensor dy = Output.GradToRead!;
            Device device = tape.Device;
            if (GradTarget.Of(X, tape) is { Tensor: { } dx } x)
            {
                device.MatMul(dy, false, Weight, false, null, dx, x.Accumulate);
            }

            if (GradTarget.Of(Weight, tape) is { Tensor: { } dw } w)
            {
                device.MatMul(dy, true, X, false, null, dw, w.Accumulate);
            }

            if (GradTarget.Of(Bias, tape) is { Tensor: { } db } b)
            {
                device.SumTo(dy, db, b.Accumulate);
            }
        }
    }

    /// <summary>c = op(a) op(b) for each matrix of a batch: a [.., m, k] (or [.., k, m] transposed), b [.., k, n] (or [.., n, k]), equal leading dimensions; c is [.., m, n].</summary>
    public static Tensor MatMul(Tensor a, Tensor b, bool transposeA = false, bool transposeB = false)
    {
        int m = a.Shape[transposeA ? ^1 : ^2], k = a.Shape[transposeA ? ^2 : ^1];
        int n = b.Shape[transposeB ? ^2 : ^1], kb = b.Shape[transposeB ? ^1 : ^2];
        Require(k == kb && a.Shape.With(^1, 1).With(^2, 1) == b.Shape.With(^1, 1).With(^2, 1) && a.IsContiguous && b.IsContiguous, "MatMul", a, b);
        Tape tape = TapeOf(a, b);
        Tensor c = tape.Empty(a.Shape.With(^2, m).With(^1, n));
        tape.Device.BatchedMatMul(a, transposeA, b, transposeB, c, false);
        if (Records(tape, a, b))
        {
            MatMulNode node = tape.Record<MatMulNode>(c);
            (node.A, node.B, node.TransposeA, node.TransposeB) = (a, b, transposeA, transposeB);
        }

        return c;
    }

    private sealed class MatMulNode : Node
    {
        internal Tensor A = null!;
        internal Tensor B = null!;
        internal bool TransposeA, TransposeB;

        internal override void Backward(Tape tape)
        {
            Tensor dc = Output.GradToRead!;
            Device device = tape.Device;

            // C = A' B' with A' = op(A): dA' = dC B'^T and dB' = A'^T dC; a transposed operand gets the transpose of that.
            if (GradTarget.Of(A, tape) is { Tensor: { } da } ta)
            {
                if (TransposeA)
                {
                    device.BatchedMatMul(B, TransposeB, dc, true, da, ta.Accumulate);
                }
                else
                {
                    device.BatchedMatMul(dc, false, B, !TransposeB, da, ta.Accumulate);
                }
            }

            if (GradTarget.Of(B, tape) is { Tensor: { } db } tb)
            {
                if (TransposeB)
                {
                    device.BatchedMatMul(dc, true, A, TransposeA, db, tb.Accumulate);
                }
                else
                {
                    device.BatchedMatMul(A, !TransposeA, dc, false, db, tb.Accumulate);
                }
            }
        }
    }

    internal static Tape TapeOf(Tensor a, Tensor? b = null, Tensor? c = null) => a.Tape ?? b?.Tape ?? c?.Tape
        ?? throw new InvalidOperationException("none of the operands is on a tape: one of them must be, to say where the result goes");

    internal static bool Records(Tape tape, Tensor a, Tensor? b = null, Tensor? c = null, Tensor? d = null, Tensor? e = null, Tensor? f = null) =>
        tape.Recording && (a.RequiresGrad || b is { RequiresGrad: true } || c is { RequiresGrad: true }
            || d is { RequiresGrad: true } || e is { RequiresGrad: true } || f is { RequiresGrad: true });

    /// <summary>Gradients go through float32 weights only.</summary>
    internal static void RequireLearnable(Tensor weight)
    {
        if (weight.Format != WeightFormat.Float32)
        {
            throw weight.Format.NotTrained();
        }
    }

    internal static void Require(bool fits, string operation, Tensor a, Tensor? b = null, Tensor? c = null)
    {
        if (!fits)
        {
            string shapes = string.Join(", ", new[] { a, b, c }.Where(t => t is not null).Select(t => t!.Shape + (t.IsContiguous ? "" : " (strided)")));
            throw new ArgumentException($"{operation} does not take tensors of shapes {shapes}");
        }
    }
}
