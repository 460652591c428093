namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>a + b; shapes broadcast: aligned at the last dimension, a length of 1 repeats.</summary>
    public static Tensor Add(Tensor a, Tensor b) => Binary(BinaryKind.Add, a, b);

    /// <summary>a - b, broadcast.</summary>
    public static Tensor Subtract(Tensor a, Tensor b) => Binary(BinaryKind.Subtract, a, b);

    /// <summary>a b, elementwise, broadcast.</summary>
    public static Tensor Multiply(Tensor a, Tensor b) => Binary(BinaryKind.Multiply, a, b);

    private static Tensor Binary(BinaryKind kind, Tensor a, Tensor b)
    {
        (int A, int B, int C, int D) s = a.Shape.Four(), t = b.Shape.Four();
        Require(Fits(s.A, t.A) && Fits(s.B, t.B) && Fits(s.C, t.C) && Fits(s.D, t.D), "a broadcast operation", a, b);
        int rank = Math.Max(a.Shape.Rank, b.Shape.Rank);
        Shape shape = rank switch
        {
            1 => new Shape(Length(s.D, t.D)),
            2 => new Shape(Length(s.C, t.C), Length(s.D, t.D)),
            3 => new Shape(Length(s.B, t.B), Length(s.C, t.C), Length(s.D, t.D)),
            _ => new Shape(Length(s.A, t.A), Length(s.B, t.B), Length(s.C, t.C), Length(s.D, t.D)),
        };
        Tape tape = TapeOf(a, b);
        Tensor y = tape.Empty(shape);
        tape.Device.Binary(kind, a, b, y);
        if (Records(tape, a, b))
        {
            BinaryNode node = tape.Record<BinaryNode>(y);
            (node.Kind, node.A, node.B) = (kind, a, b);
        }

        return y;

        static bool Fits(int x, int y) => x == y || x == 1 || y == 1;
        static int Length(int x, int y) => x == 1 ? y : x;
    }

    private sealed class BinaryNode : Node
    {
        internal BinaryKind Kind;
        internal Tensor A = null!;
        internal Tensor B = null!;

        internal override void Backward(Tape tape)
        {
            Tensor dy = Output.GradToRead!;
            Carry(tape, GradTarget.Of(A, tape), dy, B, 1);
            Carry(tape, GradTarget.Of(B, tape), dy, A, Kind == BinaryKind.Subtract ? -1 : 1);
        }

        private void Carry(Tape tape, GradTarget target, Tensor dy, Tensor other, float sign)
        {
            if (target.Tensor is not { } dx)
            {
                return;
            }

            bool whole = dx.Shape.Count == dy.Shape.Count;
            if (Kind != BinaryKind.Multiply && whole)
            {
                tape.Device.Affine(dy, sign, 0, dx, target.Accumulate);
                return;
            }

            // A broadcast product is written without gaps.
            if (whole && !target.Accumulate && (dx.IsContiguous || other.Shape.Count == dx.Shape.Count))
            {
                tape.Device.Binary(BinaryKind.Multiply, dy, other, dx);
                return;
            }

            Tensor part = tape.Rent(dy.Shape);
            if (Kind == BinaryKind.Multiply)
            {
                tape.Device.Binary(BinaryKind.Multiply, dy, other, part);
            }
            else
            {
                tape.Device.Affine(dy, sign, 0, part, false);
            }

            if (whole)
            {
                tape.Device.Affine(part, 1, 0, dx, target.Accumulate);
            }
            else if (dx.IsContiguous)
            {
                tape.Device.SumTo(part, dx, target.Accumulate);
            }
            else
            {
                Tensor sum = tape.Rent(dx.Shape); // sums are written without gaps
                tape.Device.SumTo(part, sum, false);
                tape.Device.Affine(sum, 1, 0, dx, target.Accumulate);
                tape.Return(sum);
            }

            tape.Return(part);
        }
    }

    /// <summary>e^x.</summary>
    public static Tensor Exp(Tensor x) => Unary(UnaryKind.Exp, x);

    /// <summary>The natural logarithm.</summary>
    public static Tensor Log(Tensor x) => Unary(UnaryKind.Log, x);

    /// <summary>1 / x.</summary>
    public static Tensor Reciprocal(Tensor x) => Unary(UnaryKind.Reciprocal, x);

    /// <summary>The square root.</summary>
    public static Tensor Sqrt(Tensor x) => Unary(UnaryKind.Sqrt, x);

    /// <summary>1 / (1 + e^-x).</summary>
    public static Tensor Sigmoid(Tensor x) => Unary(UnaryKind.Sigmoid, x);

    /// <summary>x sigmoid(x), also called swish.</summary>
    public static Tensor Silu(Tensor x) => Unary(UnaryKind.Silu, x);

    /// <summary>log(1 + e^x), in its stable form.</summary>
    public static Tensor Softplus(Tensor x) => Unary(UnaryKind.Softplus, x);

    /// <summary>The hyperbolic tangent.</summary>
    public static Tensor Tanh(Tensor x) => Unary(UnaryKind.Tanh, x);

    /// <summary>max(x, 0).</summary>
    public static Tensor Relu(Tensor x) => Unary(UnaryKind.Relu, x);

    /// <summary>max(x, 0)^2 (So et al., arXiv 2109.08668).</summary>
    public static Tensor ReluSquared(Tensor x) => Unary(UnaryKind.ReluSquared, x);

    /// <summary>elu(x) + 1, that is x + 1 above zero and e^x below: the feature map of linear attention (Katharopoulos et al., arXiv 2006.16236, equation 7).</summary>
    public static Tensor EluPlusOne(Tensor x) => Unary(UnaryKind.EluPlusOne, x);

    /// <summary>The Gaussian error linear unit in its tanh form: x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2.</summary>
    public static Tensor Gelu(Tensor x) => Unary(UnaryKind.Gelu, x);

    /// <summary>The Gaussian error linear unit as it is defined (Hendrycks and Gimpel, arXiv 1606.08415): x P(X &lt; x) = x (1 + erf(x / sqrt(2))) / 2.</summary>
    public static Tensor GeluExact(Tensor x) => Unary(UnaryKind.GeluExact, x);

    /// <summary>The sine, within 1.5e-7 for |x| up to 1e4.</summary>
    public static Tensor Sin(Tensor x) => Unary(UnaryKind.Sin, x);

    /// <summary>e^x - 1, as exact for small x as for large.</summary>
    public static Tensor Expm1(Tensor x) => Unary(UnaryKind.Expm1, x);

    /// <summary>x + 1/2 for x >= 0, sigmoid(x) below: a positive, continuous stand-in for the identity (arXiv 2410.01201, appendix B.3).</summary>
    public static Tensor ShiftedPositive(Tensor x) => Unary(UnaryKind.ShiftedPositive, x);

    private static Tensor Unary(UnaryKind kind, Tensor x)
    {
        Tape tape = TapeOf(x);
        Tensor y = tape.Empty(x.Shape);
        tape.Device.Unary(kind, x, y);
        if (Records(tape, x))
        {
            UnaryNode node = tape.Record<UnaryNode>(y);
            (node.Kind, node.X) = (kind, x);
        }

        return y;
    }

    private sealed class UnaryNode : Node
    {
        internal UnaryKind Kind;
        internal Tensor X = null!;

        internal override void Backward(Tape tape) =>
            tape.Device.UnaryBackward(Kind, X, Output, Output.GradToRead!, GradTarget.Of(X, tape));
    }

    /// <summary>scale x + shift.</summary>
    public static Tensor Affine(Tensor x, float scale, float shift = 0) => Affine(TapeOf(x), x, scale, shift);

    /// <summary>A copy on <paramref name="tape"/> of a tensor that may have its own memory, through which gradients reach it.</summary>
    public static Tensor Copy(Tensor x, Tape tape) => Affine(tape, x, 1, 0);

    private static Tensor Affine(Tape tape, Tensor x, float scale, float shift)
    {
        Tensor y = tape.Empty(x.Shape);
        tape.Device.Affine(x, scale, shift, y, false);
        if (Records(tape, x))
        {
            AffineNode node = tape.Record<AffineNode>(y);
            (node.X, node.Scale) = (x, scale);
        }

        return y;
    }

    private sealed class AffineNode : Node
    {
        internal Tensor X = null!;
        internal float Scale;

        internal override void Backward(Tape tape)
        {
            GradTarget dx = GradTarget.Of(X, tape);
            tape.Device.Affine(Output.GradToRead!, Scale, 0, dx.Tensor!, dx.Accumulate);
        }
    }

    /// <summary>silu(gate) x, fused: the gate of SwiGLU (Shazeer, arXiv 2002.05202). Equal shapes.</summary>
    public static Tensor SiluMul(Tensor gate, Tensor x)
    {
        Require(gate.Shape == x.Shape, "SiluMul", gate, x);
        Tape tape = TapeOf(gate, x);
        Tensor y = tape.Empty(x.Shape);
        tape.Device.SiluMul(gate, x, y);
        if (Records(tape, gate, x))
        {
            SiluMulNode node = tape.Record<SiluMulNode>(y);
            (node.Gate, node.X) = (gate, x);
        }

        return y;
    }

    private sealed class SiluMulNode : Node
    {
        internal Tensor Gate = null!;
        internal Tensor X = null!;

        internal override void Backward(Tape tape) =>
            tape.Device.SiluMulBackward(Gate, X, Output.GradToRead!, GradTarget.Of(Gate, tape), GradTarget.Of(X, tape));
    }

    /// <summary>Sums over every dimension in which <paramref name="shape"/>, of x's rank, has length 1; the other lengths must be x's.</summary>
    public static Tensor SumTo(Tensor x, Shape shape)
    {
        bool fits = shape.Rank == x.Shape.Rank;
        for (int i = 0; fits && i < shape.Rank; i++)
        {
            fits = shape[i] == 1 || shape[i] == x.Shape[i];
        }

        if (!fits)
        {
            throw new ArgumentException($"a tensor of shape {x.Shape} cannot be summed to {shape}", nameof(shape));
        }

        Tape tape = TapeOf(x);
        Tensor y = tape.Empty(shape);
        tape.Device.SumTo(x, y, false);
        if (Records(tape, x))
        {
            SumNode node = tape.Record<SumNode>(y);
            node.X = x;
        }

        return y;
    }

    /// <summary>The sum of all elements, as a tensor of one.</summary>
    public static Tensor Sum(Tensor x) => SumTo(x, x.Shape.Rank switch
    {
        1 => new Shape(1),
        2 => new Shape(1, 1),
        3 => new Shape(1, 1, 1),
        _ => new Shape(1, 1, 1, 1),
    });

    private sealed class SumNode : Node
    {
        internal Tensor X = null!;

        internal override void Backward(Tape tape)
        {
            GradTarget target = GradTarget.Of(X, tape);
            Tensor dx = target.Tensor!;
            (int A, int B, int C, int D) = dx.Shape.Four();
            (int a, int b, int c, int d) = Output.Shape.Four();
            Box from = new(0, a == 1 ? 0 : (long)b * c * d, b == 1 ? 0 : (long)c * d, c == 1 ? 0 : d, d == 1 ? 0 : 1);
            tape.Device.CopyBox(Output.GradToRead!, from, dx, Boxes.Whole(dx), (A, B, C, D), target.Accumulate);
        }
    }
}
