using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>One head's inputs from a token on.</summary>
internal unsafe struct MemoryGradientHead
{
    public Strided Q, K, V, Rate, Step;
    public float* Weight, Bias; // of the norm
    public int Width;
    public float Epsilon;

    public readonly MemoryGradientHead From(long t) => this with { Q = Q.From(t), K = K.From(t), V = V.From(t), Rate = Rate.From(t), Step = Step.From(t) };
}

/// <summary>The parts of a head's state, or of its gradient: W and b at the mini-batch's start, and the sums of its tokens' gradients so far.</summary>
internal readonly unsafe struct MemoryGradientState(float* at, int width)
{
    public readonly float* W = at, B = at + ((long)width * width), SumW = at + ((width + 1L) * width), SumB = at + (((2L * width) + 1) * width);

    public static long Size(int width) => 2 * MemorySize(width);

    public static long MemorySize(int width) => (width + 1L) * width;
}

/// <summary>
/// TTT-Linear's inner loop on one head (see <see cref="Ops.MemoryGradient"/>), n tokens of one mini-batch at a time. With all their keys in K, the
/// gradients G come from K W_0 alone; then Z = Q W_0 + b_0 - A G with A_ij = step_i rate_j (q_i . k_j + 1) for j &lt;= i: the dual form,
/// products of matrices instead of a memory for each token. The 1 is the bias's key.
/// </summary>
internal static unsafe partial class MemoryGradientKernel
{
    /// <summary>The floats of scratch that <see cref="Tokens"/> needs.</summary>
    public static long Scratch(int n, int width) => Rounded((3L * n * width) + ((long)n * n));

    private static long Rounded(long floats) => (floats + 15) / 16 * 16;

    private static float* Take(ref float* scratch, long floats)
    {
        float* taken = scratch;
        scratch += Rounded(floats);
        return taken;
    }

    /// <summary>
    /// Runs n tokens of a mini-batch: outputs go to the rows of <paramref name="z"/>, <paramref name="s"/> is updated in place.
    /// <paramref name="first"/> and <paramref name="last"/>: whether they begin and end it.
    /// </summary>
    public static void Tokens<S, V>(in MemoryGradientHead h, int n, bool first, bool last, MemoryGradientState s, Strided z, float* scratch)
        where S : struct, ISimd<V> where V : unmanaged
    {
        int d = h.Width;
        float* g = scratch, x = g + (n * d), a = x + (n * d);
        Gradients<S, V>(h, n, s, g, x, null, null);

        SmallGemm.NN(n, d, d, h.Q.At, (nint)h.Q.Stride, s.W, d, z.At, (nint)z.Stride, 0);
        for (int i = 0; i < n; i++)
        {
            Simd.Add(d, s.B, z[i]);
        }

        if (!first)
        {
            SmallGemm.NN(n, d, d, h.Q.At, (nint)h.Q.Stride, s.SumW, d, x, d, 0);
            for (int i = 0; i < n; i++)
            {
                Simd.Add(d, s.SumB, x + (i * d));
                Simd.Axpy(d, -*h.Step[i], x + (i * d), z[i]);
            }
        }

        Products(h, n, a, x);
        for (int i = 0; i < n; i++)
        {
            for (int j = 0; j < n; j++)
            {
                a[(i * n) + j] *= j > i ? 0 : -*h.Step[i] * *h.Rate[j];
            }
        }

        SmallGemm.NN(n, d, n, a, n, g, d, z.At, (nint)z.Stride, 1);

        // The mini-batch's sums; at its end they go into the memory, at once where none came before.
        float end = last ? -*h.Step[n - 1] : 0;
        for (int i = 0; i < n; i++)
        {
            Simd.Scale(d, *h.Rate[i], g + (i * d));
        }

        if (first && last)
        {
            SmallGemm.TN(d, d, n, h.K.At, (nint)h.K.Stride, g, d, s.W, d, 1, end);
            for (int i = 0; i < n; i++)
            {
                Simd.Axpy(d, end, g + (i * d), s.B);
            }

            return;
        }

        int size = d * d;
        if (first)
        {
            Simd.Fill(s.SumW, size, 0);
            Simd.Fill(s.SumB, d, 0);
        }

        SmallGemm.TN(d, d, n, h.K.At, (nint)h.K.Stride, g, d, s.SumW, d, 1);
        for (int i = 0; i < n; i++)
        {
            Simd.Add(d, g + (i * d), s.SumB);
        }

        if (last)
        {
            Simd.Axpy(size, end, s.SumW, s.W);
            Simd.Axpy(d, end, s.SumB, s.B);
            Simd.Fill(s.SumW, size, 0);
            Simd.Fill(s.SumB, d, 0);
        }
    }

    /// <summary>p_ij = q_i . k_j + 1 for all i and j.</summary>
    private static void Products(in MemoryGradientHead h, int n, float* p, float* scratch)
    {
        SmallGemm.NT(n, n, h.Width, h.Q.At, (nint)h.Q.Stride, h.K.At, (nint)h.K.Stride, p, n, 0, scratch);
        for (int i = 0; i < n * n; i++)
        {
            p[i] += 1;
        }
    }

    /// <summary>
    /// The inner loss's gradients g [n,D] by the norm's input u = k W + b. With x = (u - mean) r, r = (variance + epsilon)^-1/2,
    /// e = weight x + bias - (v - k) and y = weight e, g = r (y - mean(y) - x mean(y x)). Also leaves x, and y and r unless null.
    /// </summary>
    private static void Gradients<S, V>(in MemoryGradientHead h, int n, MemoryGradientState s, float* g, float* x, float* y, float* r) where S : struct, ISimd<V> where V : unmanaged
    {
        int d = h.Width;
        SmallGemm.NN(n, d, d, h.K.At, (nint)h.K.Stride, s.W, d, x, d, 0);
        for (int i = 0; i < n; i++)
        {
            float* to = g + (i * d);
            float root = Gradient<S, V>(d, x + (i * d), s.B, h.K[i], h.V[i], h.Weight, h.Bias, h.Epsilon, y is null ? to : y + (i * d), to);
            if (r is not null)
            {
                r[i] = root;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Gradient<S, V>(int d, float* x, float* b, float* k, float* v, float* weight, float* bias, float epsilon, float* y, float* g)
        where S : struct, ISimd<V> where V : unmanaged
    {
        V sum = S.Zero;
        for (int c = 0; c < d; c += S.Count)
        {
            int rest = d - c;
            V u = S.Add(Load<S, V>(x + c, rest), Load<S, V>(b + c, rest));
            Store<S, V>(u, x + c, rest);
            sum = S.Add(sum, u);
        }

        float mean = S.Sum(sum) / d, squares = 0;
        V m = S.Create(mean), square = S.Zero;
        for (int c = 0; c < d; c += S.Count)
        {
            int rest = d - c;
            Store<S, V>(S.Sub(Load<S, V>(x + c, rest), m), x + c, rest);
            V u = Load<S, V>(x + c, rest);
            square = S.Fma(u, u, square);
        }

        squares = S.Sum(square);
        float root = 1 / MathF.Sqrt((squares / d) + epsilon);
        V r = S.Create(root), sumY = S.Zero, sumXY = S.Zero;
        for (int c = 0; c < d; c += S.Count)
        {
            int rest = d - c;
            V u = S.Mul(Load<S, V>(x + c, rest), r), w = Load<S, V>(weight + c, rest);
            V e = S.Add(S.Fma(w, u, Load<S, V>(bias + c, rest)), S.Sub(Load<S, V>(k + c, rest), Load<S, V>(v + c, rest)));
            V slope = S.Mul(w, e);
            sumY = S.Add(sumY, slope);
            sumXY = S.Fma(slope, u, sumXY);
            Store<S, V>(u, x + c, rest);
            Store<S, V>(slope, y + c, rest);
        }

        V m1 = S.Create(S.Sum(sumY) / d), m2 = S.Create(-S.Sum(sumXY) / d);
        for (int c = 0; c < d; c += S.Count)
        {
            int rest = d - c;
            V p = S.Fma(Load<S, V>(x + c, rest), m2, S.Sub(Load<S, V>(y + c, rest), m1));
            Store<S, V>(S.Mul(p, r), g + c, rest);
        }

        return root;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Load<S, V>(float* p, int rest) where S : struct, ISimd<V> where V : unmanaged => rest >= S.Count ? S.Load(p) : S.LoadPartial(p, rest);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<S, V>(V value, float* p, int rest) where S : struct, ISimd<V> where V : unmanaged
    {
        if (rest >= S.Count)
        {
            S.Store(value, p);
        }
        else
        {
            S.StorePartial(value, p, rest);
        }
    }
}
