using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>Where one head's gradients go from a token on; none where nobody wants one. Those of the norm are sums [D], added to.</summary>
internal unsafe struct MemoryGradientHeadGrads
{
    public Strided Q, K, V, Rate, Step;
    public float* Weight, Bias;

    public readonly MemoryGradientHeadGrads From(long t) => this with { Q = Q.From(t), K = K.From(t), V = V.From(t), Rate = Rate.From(t), Step = Step.From(t) };
}

internal static unsafe partial class MemoryGradientKernel
{
    /// <summary>The floats of scratch that <see cref="TokensBackward"/> needs.</summary>
    public static long BackwardScratch(int n, int width) =>
        (9 * Rounded((long)n * width)) + (3 * Rounded((long)n * n)) + (3 * Rounded(n)) + Rounded(Math.Max((long)width * width, (long)n * width));

    /// <summary>
    /// Gradients of <see cref="Tokens"/> for the same inputs, given the memory (and, unless first, the sums) <paramref name="s"/> before it and the
    /// outputs' gradients <paramref name="dz"/>. <paramref name="ds"/> is the gradient of the state after the tokens on entry, and of the one before them on return.
    /// <para>
    /// With the sums after the tokens S = S_0 + K^T diag(rate) G, their gradient is dS, at a mini-batch's end -step_last dW. Then, with E_ij = dz_i . g_j and
    /// P_ij = q_i . k_j + 1 for j &lt;= i: dG = diag(rate) (K dS) - (diag(step) P diag(rate))^T dZ, dP = -diag(step) E diag(rate),
    /// dQ = dZ W_0^T + dP K, dK = diag(rate) G dS^T + dP^T Q + dU W_0^T - dT, where dU and dT follow from dG through the norm, and dV = dT.
    /// </para>
    /// </summary>
    public static void TokensBackward<S, V>(in MemoryGradientHead h, int n, bool first, bool last, MemoryGradientState s, Strided dz, MemoryGradientState ds,
        in MemoryGradientHeadGrads to, float* scratch) where S : struct, ISimd<V> where V : unmanaged
    {
        int d = h.Width, nd = n * d, size = d * d;
        float* g = Take(ref scratch, nd), x = Take(ref scratch, nd), y = Take(ref scratch, nd), written = Take(ref scratch, nd);
        float* dg = Take(ref scratch, nd), du = Take(ref scratch, nd), dt = Take(ref scratch, nd), dq = Take(ref scratch, nd), dk = Take(ref scratch, nd);
        float* p = Take(ref scratch, n * n), e = Take(ref scratch, n * n), a = Take(ref scratch, n * n);
        float* r = Take(ref scratch, n), drate = Take(ref scratch, n), dstep = Take(ref scratch, n), transposed = scratch;

        Gradients<S, V>(h, n, s, g, x, y, r);
        Products(h, n, p, transposed);
        SmallGemm.NT(n, n, d, dz.At, (nint)dz.Stride, g, d, e, n, 0, transposed);
        Simd.Fill(dstep, n, 0);

        // What reaches the sums, dS = factor M: the memory's own gradient at a mini-batch's end, which then forgets the sums.
        MemoryGradientState m = last ? ds : new MemoryGradientState(ds.SumW, d);
        float factor = last ? -*h.Step[n - 1] : 1;
        SmallGemm.NN(n, d, d, h.K.At, (nint)h.K.Stride, m.W, d, dg, d, 0);
        for (int i = 0; i < n; i++)
        {
            Simd.Add(d, m.B, dg + (i * d));
            float reached = Simd.Dot(d, dg + (i * d), g + (i * d)), rate = *h.Rate[i];
            drate[i] = factor * reached;
            Simd.Scale(d, factor * rate, dg + (i * d));
            dstep[n - 1] -= last ? rate * reached : 0;
            Simd.Copy(1, d, g + (i * d), d, written + (i * d), d);
            Simd.Scale(d, factor * rate, written + (i * d));
        }

        if (last && !first)
        {
            dstep[n - 1] -= Simd.Dot(size, ds.W, s.SumW) + Simd.Dot(d, ds.B, s.SumB);
        }

        SmallGemm.Transpose(d, d, m.W, d, transposed, d);
        SmallGemm.NN(n, d, d, written, d, transposed, d, dk, d, 0);

        // The dual form: a = diag(step) P diag(rate), and e becomes dP.
        for (int i = 0; i < n; i++)
        {
            float step = *h.Step[i];
            for (int j = 0; j < n; j++)
            {
                int at = (i * n) + j;
                float rate = *h.Rate[j], both = j > i ? 0 : p[at] * e[at];
                dstep[i] -= rate * both;
                drate[j] -= step * both;
                a[at] = j > i ? 0 : -step * rate * p[at];
                e[at] = j > i ? 0 : -step * rate * e[at];
            }
        }

        SmallGemm.TN(n, d, n, a, n, dz.At, (nint)dz.Stride, dg, d, 1);
        SmallGemm.TN(n, d, n, e, n, h.Q.At, (nint)h.Q.Stride, dk, d, 1);
        for (int i = 0; i < n; i++)
        {
            int at = i * d;
            NormBackward<S, V>(d, x + at, y + at, r[i], h.K[i], h.V[i], h.Weight, h.Bias, dg + at, du + at, dt + at, to.Weight, to.Bias);
            Simd.Axpy(d, -1, dt + at, dk + at);
        }

        SmallGemm.Transpose(d, d, s.W, d, transposed, d);
        SmallGemm.NN(n, d, d, du, d, transposed, d, dk, d, 1);
        SmallGemm.NN(n, d, d, dz.At, (nint)dz.Stride, transposed, d, dq, d, 0);
        SmallGemm.NN(n, d, n, e, n, h.K.At, (nint)h.K.Stride, dq, d, 1);

        // The state before: sums that came from earlier tokens were read by every token, and went on.
        if (!first)
        {
            SmallGemm.Transpose(d, d, s.SumW, d, transposed, d);
            for (int i = 0; i < n; i++)
            {
                Simd.Fill(written + (i * d), d, 0);
                Simd.Axpy(d, -*h.Step[i], dz[i], written + (i * d)); // the gradient of q_i S + s
            }

            SmallGemm.NN(n, d, d, written, d, transposed, d, dq, d, 1);
            SmallGemm.NN(n, d, d, h.Q.At, (nint)h.Q.Stride, s.SumW, d, x, d, 0);
            if (last)
            {
                Simd.Fill(ds.SumW, size + d, 0);
                Simd.Axpy(size + d, factor, ds.W, ds.SumW);
            }

            SmallGemm.TN(d, d, n, h.Q.At, (nint)h.Q.Stride, written, d, ds.SumW, d, 1);
            for (int i = 0; i < n; i++)
            {
                dstep[i] -= Simd.Dot(d, x + (i * d), dz[i]) + Simd.Dot(d, s.SumB, dz[i]);
                Simd.Add(d, written + (i * d), ds.SumB);
            }
        }
        else
        {
            Simd.Fill(ds.SumW, size + d, 0);
        }

        SmallGemm.TN(d, d, n, h.K.At, (nint)h.K.Stride, du, d, ds.W, d, 1);
        SmallGemm.TN(d, d, n, h.Q.At, (nint)h.Q.Stride, dz.At, (nint)dz.Stride, ds.W, d, 1);
        for (int i = 0; i < n; i++)
        {
            Simd.Add(d, du + (i * d), ds.B);
            Simd.Add(d, dz[i], ds.B);
        }

        Put(n, d, dq, to.Q);
        Put(n, d, dk, to.K);
        Put(n, d, dt, to.V);
        Put(n, 1, drate, to.Rate);
        Put(n, 1, dstep, to.Step);
    }

    /// <summary>
    /// Through g = r (y - mean(y) - x mean(y x)), y = weight e, e = weight x + bias - t and x = (u - mean(u)) r: from dg to du and dt (t = v - k), and
    /// added to the weight's and the bias's.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void NormBackward<S, V>(int d, float* x, float* y, float r, float* k, float* v, float* weight, float* bias, float* dg, float* du, float* dt,
        float* dweight, float* dbias) where S : struct, ISimd<V> where V : unmanaged
    {
        // Sums over the row: of dg, dg x, y, y x and dg y.
        V sumG = S.Zero, sumGX = S.Zero, sumY = S.Zero, sumYX = S.Zero, sumGY = S.Zero;
        for (int c = 0; c < d; c += S.Count)
        {
            int rest = d - c;
            V dgc = Load<S, V>(dg + c, rest), xc = Load<S, V>(x + c, rest), yc = Load<S, V>(y + c, rest);
            sumG = S.Add(sumG, dgc);
            sumGX = S.Fma(dgc, xc, sumGX);
            sumY = S.Add(sumY, yc);
            sumYX = S.Fma(yc, xc, sumYX);
            sumGY = S.Fma(dgc, yc, sumGY);
        }

        float meanG = S.Sum(sumG) / d, meanGX = S.Sum(sumGX) / d, meanY = S.Sum(sumY) / d, meanYX = S.Sum(sumYX) / d;
        float dr = (S.Sum(sumGY) / d) - (meanG * meanY) - (meanGX * meanYX); // of r itself, over D

        // dy = r (dg - mean(dg) - x mean(dg x)); dx = weight^2 dy - r (dg mean(y x) + y mean(dg x)).
        V root = S.Create(r), mG = S.Create(meanG), mGX = S.Create(-meanGX), mYX = S.Create(meanYX), sumX = S.Zero, sumXX = S.Zero;
        for (int c = 0; c < d; c += S.Count)
        {
            int rest = d - c;
            V dgc = Load<S, V>(dg + c, rest), xc = Load<S, V>(x + c, rest), yc = Load<S, V>(y + c, rest), w = Load<S, V>(weight + c, rest);
            V e = S.Add(S.Fma(w, xc, Load<S, V>(bias + c, rest)), S.Sub(Load<S, V>(k + c, rest), Load<S, V>(v + c, rest)));
            V dy = S.Mul(root, S.Fma(xc, mGX, S.Sub(dgc, mG)));
            V de = S.Mul(w, dy);
            Store<S, V>(S.Sub(S.Zero, de), dt + c, rest);
            Store<S, V>(S.Add(Load<S, V>(dbias + c, rest), de), dbias + c, rest);
            Store<S, V>(S.Fma(dy, e, S.Fma(de, xc, Load<S, V>(dweight + c, rest))), dweight + c, rest);
            Store<S, V>(S.Fma(w, de, S.Mul(root, S.Sub(S.Mul(yc, mGX), S.Mul(dgc, mYX)))), du + c, rest);
            V dx = Load<S, V>(du + c, rest);
            sumX = S.Add(sumX, dx);
            sumXX = S.Fma(dx, xc, sumXX);
        }

        // du = r (dx - mean(dx) - x mean(dx x)) - r^2 x dr.
        V mX = S.Create(S.Sum(sumX) / d), mXX = S.Create(-(S.Sum(sumXX) / d) - (r * dr));
        for (int c = 0; c < d; c += S.Count)
        {
            int rest = d - c;
            V u = S.Fma(Load<S, V>(x + c, rest), mXX, S.Sub(Load<S, V>(du + c, rest), mX));
            Store<S, V>(S.Mul(root, u), du + c, rest);
        }
    }

    private static void Put(int rows, int cols, float* source, Strided to)
    {
        for (int i = 0; i < rows && !to.IsNone; i++)
        {
            if (to.Add)
            {
                Simd.Add(cols, source + ((long)i * cols), to[i]);
            }
            else
            {
                Simd.Copy(1, cols, source + ((long)i * cols), cols, to[i], cols);
            }
        }
    }
}
