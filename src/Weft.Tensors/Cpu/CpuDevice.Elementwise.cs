using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void Fill(Tensor x, float value)
    {
        using Timed timed = Measure([x]);
        Map<FillMap>(x, p: value);
    }

    internal override void Affine(Tensor x, float scale, float shift, Tensor y, bool accumulate)
    {
        using Timed timed = Measure([x, new(y, accumulate)]);
        if (scale == 1 && shift == 0)
        {
            Map<CopyMap>(y, x, accumulate: accumulate);
        }
        else
        {
            Map<AffineMap>(y, x, p: scale, q: shift, accumulate: accumulate);
        }
    }

    internal override void Binary(BinaryKind kind, Tensor a, Tensor b, Tensor y)
    {
        using Timed timed = Measure([a, b, y]);
        if (a.Shape.Count != y.Shape.Count || b.Shape.Count != y.Shape.Count)
        {
            BroadcastBinary(kind, a, b, y);
            return;
        }

        switch (kind)
        {
            case BinaryKind.Add: Map<AddMap>(y, a, b); break;
            case BinaryKind.Subtract: Map<SubtractMap>(y, a, b); break;
            default: Map<MultiplyMap>(y, a, b); break;
        }
    }

    internal override void Unary(UnaryKind kind, Tensor x, Tensor y)
    {
        using Timed timed = Measure([x, y]);
        switch (kind)
        {
            case UnaryKind.Exp: Map<ExpMap>(y, x); break;
            case UnaryKind.Sigmoid: Map<SigmoidMap>(y, x); break;
            case UnaryKind.Silu: Map<SiluMap>(y, x); break;
            case UnaryKind.Softplus: Map<SoftplusMap>(y, x); break;
            case UnaryKind.Tanh: Map<TanhMap>(y, x); break;
            case UnaryKind.Relu: Map<ReluMap>(y, x); break;
            case UnaryKind.ReluSquared: Map<ReluSquaredMap>(y, x); break;
            case UnaryKind.Gelu: Map<GeluMap>(y, x); break;
            case UnaryKind.GeluExact: Map<GeluExactMap>(y, x); break;
            case UnaryKind.Expm1: Map<Expm1Map>(y, x); break;
            case UnaryKind.ShiftedPositive: Map<ShiftedPositiveMap>(y, x); break;
            case UnaryKind.EluPlusOne: Map<EluPlusOneMap>(y, x); break;
            case UnaryKind.Reciprocal: Map<ReciprocalMap>(y, x); break;
            case UnaryKind.Sin: Map<SinMap>(y, x); break;
            case UnaryKind.Log: Scalars(x, y, static v => MathF.Log(v)); break;
            default: Scalars(x, y, static v => MathF.Sqrt(v)); break;
        }
    }

    internal override void UnaryBackward(UnaryKind kind, Tensor x, Tensor y, Tensor dy, GradTarget dx)
    {
        using Timed timed = Measure([x, y, dy, dx]);
        Tensor to = dx.Tensor!;
        bool add = dx.Accumulate;
        switch (kind)
        {
            case UnaryKind.Exp: Map<MultiplyMap>(to, y, dy, accumulate: add); break;
            case UnaryKind.Sigmoid: Map<SigmoidGrad>(to, y, dy, accumulate: add); break;
            case UnaryKind.Silu: Map<SiluGrad>(to, x, dy, accumulate: add); break;
            case UnaryKind.Softplus: Map<SoftplusGrad>(to, x, dy, accumulate: add); break;
            case UnaryKind.Tanh: Map<TanhGrad>(to, y, dy, accumulate: add); break;
            case UnaryKind.Relu: Map<ReluGrad>(to, x, dy, accumulate: add); break;
            case UnaryKind.ReluSquared: Map<ReluSquaredGrad>(to, x, dy, accumulate: add); break;
            case UnaryKind.Gelu: Map<GeluGrad>(to, x, dy, accumulate: add); break;
            case UnaryKind.GeluExact: Map<GeluExactGrad>(to, x, dy, accumulate: add); break;
            case UnaryKind.Expm1: Map<Expm1Grad>(to, y, dy, accumulate: add); break;
            case UnaryKind.ShiftedPositive: Map<ShiftedPositiveGrad>(to, y, dy, accumulate: add); break;
            case UnaryKind.EluPlusOne: Map<EluPlusOneGrad>(to, y, dy, accumulate: add); break;
            case UnaryKind.Reciprocal: Map<ReciprocalGrad>(to, y, dy, accumulate: add); break;
            case UnaryKind.Sin: Map<SinGrad>(to, x, dy, accumulate: add); break;
            case UnaryKind.Log: Map<LogGrad>(to, x, dy, accumulate: add); break;
            default: Map<SqrtGrad>(to, y, dy, accumulate: add); break;
        }
    }

    internal override void SiluMul(Tensor gate, Tensor x, Tensor y)
    {
        using Timed timed = Measure([gate, x, y]);
        Map<SiluMulMap>(y, gate, x);
    }

    internal override void SiluMulBackward(Tensor gate, Tensor x, Tensor dy, GradTarget dgate, GradTarget dx)
    {
        using Timed timed = Measure([gate, x, dy, dgate, dx]);
        if (dy.Shape.Count == 0 || (dx.Tensor is null && dgate.Tensor is null))
        {
            return;
        }

        bool contiguous = gate.IsContiguous && x.IsContiguous && dy.IsContiguous && dgate.Tensor is null or { IsContiguous: true } && dx.Tensor is null or { IsContiguous: true };
        var tiles = new Tiles(dy.Shape, contiguous);
        SiluMulGradJob job = new()
        {
            Tiles = tiles,
            Gate = Rows(gate, false),
            X = Rows(x, false),
            Dy = Rows(dy, false),
            Dgate = Rows(dgate.Tensor, dgate.Accumulate),
            Dx = Rows(dx.Tensor, dx.Accumulate),
        };
        Pool.RunWide(ref job, tiles.Count);

        Strided Rows(Tensor? t, bool add) => t is null ? default : new Strided(t.Pointer, tiles.Stride(t), add);
    }

    /// <summary>dx = dy silu(gate) and dgate = dy x silu'(gate), from one sigmoid.</summary>
    private struct SiluMulGradJob : IWideJob
    {
        public Tiles Tiles;
        public Strided Gate, X, Dy, Dgate, Dx;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            (int from, int to) = Tiles.Part(index);
            for (int row = from; row < to; row++)
            {
                Row<S, V>(Tiles.Length(row), Gate[row], X[row], Dy[row], Dgate.IsNone ? null : Dgate[row], Dgate.Add, Dx.IsNone ? null : Dx[row], Dx.Add);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Row<S, V>(int length, float* gate, float* x, float* dy, float* dgate, bool addGate, float* dx, bool addX) where S : struct, ISimd<V> where V : unmanaged
        {
            int i = 0;
            for (; i <= length - S.Count; i += S.Count)
            {
                Part<S, V, OneVector>(gate + i, x + i, dy + i, dgate is null ? null : dgate + i, addGate, dx is null ? null : dx + i, addX, 0);
            }

            if (i < length)
            {
                Part<S, V, PartVector>(gate + i, x + i, dy + i, dgate is null ? null : dgate + i, addGate, dx is null ? null : dx + i, addX, length - i);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Part<S, V, C>(float* gate, float* x, float* dy, float* dgate, bool addGate, float* dx, bool addX, int rest)
            where S : struct, ISimd<V> where V : unmanaged where C : struct, IColumns
        {
            V g = Simd.Load<S, V, C>(gate, rest), d = Simd.Load<S, V, C>(dy, rest), open = Simd.Sigmoid<S, V>(g);
            if (dx is not null)
            {
                Simd.Store<S, V, C>(S.Mul(d, S.Mul(g, open)), dx, rest, addX);
            }

            if (dgate is not null)
            {
                Simd.Store<S, V, C>(S.Mul(S.Mul(d, Simd.Load<S, V, C>(x, rest)), SiluSlope<S, V>(g, open)), dgate, rest, addGate);
            }
        }
    }

    private void Map<TMap>(Tensor y, Tensor? x1 = null, Tensor? x2 = null, Tensor? x3 = null, float p = 0, float q = 0, bool accumulate = false)
        where TMap : IMap
    {
        if (y.Shape.Count == 0)
        {
            return;
        }

        bool contiguous = y.IsContiguous && x1 is null or { IsContiguous: true } && x2 is null or { IsContiguous: true } && x3 is null or { IsContiguous: true };
        var tiles = new Tiles(y.Shape, contiguous && y.IsContiguous);
        MapJob<TMap> job = new() { Tiles = tiles, P = p, Q = q, Accumulate = accumulate, Y = y.Pointer, StrideY = tiles.Stride(y) };
        if (x1 is not null)
        {
            job.X1 = x1.Pointer;
            job.Stride1 = tiles.Stride(x1);
        }

        if (x2 is not null)
        {
            job.X2 = x2.Pointer;
            job.Stride2 = tiles.Stride(x2);
        }

        if (x3 is not null)
        {
            job.X3 = x3.Pointer;
            job.Stride3 = tiles.Stride(x3);
        }

        Pool.RunWide(ref job, tiles.Count);
    }

    /// <summary>For functions that no model's step needs: one element at a time.</summary>
    private static void Scalars(Tensor x, Tensor y, Func<float, float> function)
    {
        for (int row = 0; row < x.Shape.Rows; row++)
        {
            Span<float> from = Row(x, row), to = Row(y, row);
            for (int i = 0; i < from.Length; i++)
            {
                to[i] = function(from[i]);
            }
        }
    }

    private void BroadcastBinary(BinaryKind kind, Tensor a, Tensor b, Tensor y)
    {
        switch (kind)
        {
            case BinaryKind.Add: Broadcast<AddMap>(a, b, y); break;
            case BinaryKind.Subtract: Broadcast<SubtractMap>(a, b, y); break;
            default: Broadcast<MultiplyMap>(a, b, y); break;
        }
    }

    private void Broadcast<TMap>(Tensor a, Tensor b, Tensor y) where TMap : IMap
    {
        if (y.Shape.Count == 0)
        {
            return;
        }

        BroadcastJob<TMap> job = new() { Tiles = new Tiles(y.Shape, contiguous: false), A = Repeating.Of(a, y.Shape), B = Repeating.Of(b, y.Shape), Y = y.Pointer, Lengths = y.Shape.Four() };
        Pool.RunWide(ref job, job.Tiles.Count);
    }

    /// <summary>A tensor seen in a larger shape: a dimension of length 1 that repeats has stride 0.</summary>
    private readonly struct Repeating
    {
        private Repeating(float* at, Box box)
        {
            At = at;
            Box = box;
        }

        public float* At { get; }

        public Box Box { get; }

        public static Repeating Of(Tensor x, Shape shape)
        {
            Box box = Boxes.Whole(x);
            (int a, int b, int c, int d) = x.Shape.Four();
            (int ya, int yb, int yc, int yd) = shape.Four();
            return new Repeating(x.Pointer, box with
            {
                A = a == ya ? box.A : 0,
                B = b == yb ? box.B : 0,
                C = c == yc ? box.C : 0,
                D = d == yd ? 1 : 0,
            });
        }
    }

    /// <summary>Rows of y, each from a row of a and of b, in which one value may repeat.</summary>
    private struct BroadcastJob<TMap> : IWideJob where TMap : IMap
    {
        public Tiles Tiles;
        public Repeating A, B;
        public float* Y;
        public (int A, int B, int C, int D) Lengths;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            (int from, int to) = Tiles.Part(index);
            bool repeatsA = A.Box.D == 0, repeatsB = B.Box.D == 0;
            for (int row = from; row < to; row++)
            {
                (int outer, int k) = Math.DivRem(row, Lengths.C);
                (int i, int j) = Math.DivRem(outer, Lengths.B);
                float* a = A.At + (i * A.Box.A) + (j * A.Box.B) + (k * A.Box.C);
                float* b = B.At + (i * B.Box.A) + (j * B.Box.B) + (k * B.Box.C);
                float* y = Y + ((long)row * Lengths.D);
                for (int l = 0; l < Lengths.D; l += S.Count)
                {
                    int n = Lengths.D - l;
                    V x1 = repeatsA ? S.Create(*a) : Simd.LoadUpTo<S, V>(a + l, n), x2 = repeatsB ? S.Create(*b) : Simd.LoadUpTo<S, V>(b + l, n);
                    Simd.StoreUpTo<S, V>(TMap.Of<S, V>(x1, x2, x2, x2, x2), y + l, n);
                }
            }
        }
    }

    // ---- the functions

    private readonly struct FillMap : IMap
    {
        public static int Arity => 0;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => p;
    }

    private readonly struct CopyMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => x1;
    }

    private readonly struct AffineMap : IMap
    {
        public static int Arity => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Of<S, V>(V x1, V x2, V x3, V p, V q) where S : struct, ISimd<V> where V : unmanaged => S.Fma(x1, p, q);
    }
}
