using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Weft.Tensors.Cpu;

/// <summary><see cref="FewRows"/> with a <see cref="QuantizedWeight"/>. Levels become float32 in registers; a group's sum is scaled once. A is not rounded.</summary>
internal static unsafe class QuantizedRows
{
    /// <summary>The product with the columns from <paramref name="first"/>, a multiple of 32, on.</summary>
    public static void Run(WorkerPool pool, int m, int first, int n, float* a, nint lda, QuantizedWeight w, bool accumulate, float* c, nint ldc, float* bias)
    {
        if (w.Format == WeightFormat.Int8)
            Run<Int8Format>(pool, m, first, n, a, lda, w, accumulate, c, ldc, bias);
        else
            Run<Int4Format>(pool, m, first, n, a, lda, w, accumulate, c, ldc, bias);
    }

    private static void Run<F>(WorkerPool pool, int m, int first, int n, float* a, nint lda, QuantizedWeight w, bool accumulate, float* c, nint ldc, float* bias)
        where F : unmanaged, IQuantizedFormat
    {
        if (w.K % QuantizedWeight.Group != 0)
        {
            // Zeros to the end of the last group.
            int whole = w.Groups * QuantizedWeight.Group;
            float* padded = pool.Scratch(pool.CurrentWorker, (nint)m * whole, WorkerPool.GemmSlotA);
            new Span<float>(padded, m * whole).Clear();
            Simd.Copy(m, w.K, a, lda, padded, whole);
            a = padded;
            lda = whole;
        }

        nint panelBytes = (nint)w.Groups * F.BlockBytes;
        var panels = new Panels<F> { Groups = w.Groups, A = a, Lda = lda, W = w.Blocks + (first / QuantizedWeight.Width * panelBytes) };
        FewRows.Run(pool, panels, m, n, panelBytes, accumulate, c, ldc, bias);
    }

    private struct Panels<F> : IPanelRows where F : unmanaged, IQuantizedFormat
    {
        public int Groups;
        public float* A;
        public byte* W;
        public nint Lda;

        // Two vectors of columns at a time, those that share lanes of scales. A group has sums of its even and of its odd k: more chains.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Multiply<S, V, R>(int panel, float* sums) where S : struct, ISimd<V> where V : unmanaged where R : struct, IRows
        {
            const int width = QuantizedWeight.Width, half = QuantizedWeight.Half, group = QuantizedWeight.Group;
            for (int j = 0; j < half; j += S.Count)
            {
                byte* block = W + ((nint)panel * Groups * F.BlockBytes);
                float* a0 = A, a1 = a0 + Lda, a2 = a1 + Lda, a3 = a2 + Lda;
                V s0 = S.Zero, s1 = S.Zero, s2 = S.Zero, s3 = S.Zero, t0 = S.Zero, t1 = S.Zero, t2 = S.Zero, t3 = S.Zero;
                for (int g = 0; g < Groups; g++, block += F.BlockBytes)
                {
                    V p0 = S.Zero, p1 = S.Zero, p2 = S.Zero, p3 = S.Zero, q0 = S.Zero, q1 = S.Zero, q2 = S.Zero, q3 = S.Zero;
                    V u0 = S.Zero, u1 = S.Zero, u2 = S.Zero, u3 = S.Zero, v0 = S.Zero, v1 = S.Zero, v2 = S.Zero, v3 = S.Zero;
                    for (int e = 0; e < group; e += 8)
                    {
                        if (Sse.IsSupported)
                        {
                            const int line = 64;
                            byte* ahead = block + FewRows.Ahead + (e * (F.BlockBytes / group));
                            for (int i = 0; i < F.BlockBytes / (group / 8); i += line)
                                Sse.Prefetch0(ahead + i);
                        }

                        V ex = F.Eight<S, V>(block, e, j), ey = F.Eight<S, V>(block, e, j + half);
                        for (int k = e; k < e + 8; k += 2)
                        {
                            V x = F.Next<S, V>(ref ex, block, k, j), y = F.Next<S, V>(ref ey, block, k, j + half);
                            V z = S.Create(a0[k]); p0 = S.Fma(z, x, p0); q0 = S.Fma(z, y, q0);
                            if (R.Count > 1) { z = S.Create(a1[k]); p1 = S.Fma(z, x, p1); q1 = S.Fma(z, y, q1); }
                            if (R.Count > 2) { z = S.Create(a2[k]); p2 = S.Fma(z, x, p2); q2 = S.Fma(z, y, q2); }
                            if (R.Count > 3) { z = S.Create(a3[k]); p3 = S.Fma(z, x, p3); q3 = S.Fma(z, y, q3); }
                            x = F.Next<S, V>(ref ex, block, k + 1, j);
                            y = F.Next<S, V>(ref ey, block, k + 1, j + half);
                            z = S.Create(a0[k + 1]); u0 = S.Fma(z, x, u0); v0 = S.Fma(z, y, v0);
                            if (R.Count > 1) { z = S.Create(a1[k + 1]); u1 = S.Fma(z, x, u1); v1 = S.Fma(z, y, v1); }
                            if (R.Count > 2) { z = S.Create(a2[k + 1]); u2 = S.Fma(z, x, u2); v2 = S.Fma(z, y, v2); }
                            if (R.Count > 3) { z = S.Create(a3[k + 1]); u3 = S.Fma(z, x, u3); v3 = S.Fma(z, y, v3); }
                        }
                    }

                    V pair = S.Load((float*)block + j), low = S.LowBf16(pair), high = S.HighBf16(pair);
                    s0 = S.Fma(low, S.Add(p0, u0), s0); t0 = S.Fma(high, S.Add(q0, v0), t0);
                    if (R.Count > 1) { s1 = S.Fma(low, S.Add(p1, u1), s1); t1 = S.Fma(high, S.Add(q1, v1), t1); }
                    if (R.Count > 2) { s2 = S.Fma(low, S.Add(p2, u2), s2); t2 = S.Fma(high, S.Add(q2, v2), t2); }
                    if (R.Count > 3) { s3 = S.Fma(low, S.Add(p3, u3), s3); t3 = S.Fma(high, S.Add(q3, v3), t3); }
                    a0 += group; a1 += group; a2 += group; a3 += group;
                }

                float* to = sums + j;
                S.Store(s0, to); S.Store(t0, to + half);
                if (R.Count > 1) { S.Store(s1, to + width); S.Store(t1, to + width + half); }
                if (R.Count > 2) { S.Store(s2, to + (2 * width)); S.Store(t2, to + (2 * width) + half); }
                if (R.Count > 3) { S.Store(s3, to + (3 * width)); S.Store(t3, to + (3 * width) + half); }
            }
        }
    }
}
