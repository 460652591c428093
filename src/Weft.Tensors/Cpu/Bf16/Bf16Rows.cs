using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Weft.Tensors.Cpu;

/// <summary><see cref="FewRows"/> with a packed bfloat16 matrix. A is rounded, as for more rows, where the product is one in bfloat16.</summary>
internal static unsafe class Bf16Rows
{
    public static void Run(WorkerPool pool, int m, int n, int k, float* a, nint lda, bool rounds, float* packedB, bool accumulate, float* c, nint ldc, float* bias)
    {
        if (rounds)
        {
            float* rounded = pool.Scratch(pool.CurrentWorker, (nint)m * k, WorkerPool.GemmSlotA);
            var round = new RoundJob { K = k, A = a, Lda = lda, Rounded = rounded };
            pool.RunWide(ref round, m);
            a = rounded;
            lda = k;
        }

        var panels = new Panels { K = k, A = a, Lda = lda, B = packedB };
        FewRows.Run(pool, panels, m, n, Bf16Pack.LanesOf(k) * Bf16Pack.Width * sizeof(float), accumulate, c, ldc, bias);
    }

    // An item a row.
    private struct RoundJob : IWideJob
    {
        public int K;
        public float* A, Rounded;
        public nint Lda;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            float* from = A + (index * Lda), to = Rounded + ((nint)index * K);
            for (int p = 0; p < K; p += S.Count)
            {
                int n = Math.Min(S.Count, K - p);
                V x = n == S.Count ? S.Load(from + p) : S.LoadPartial(from + p, n);
                S.StorePartial(S.LowBf16(S.PairBf16(x, x)), to + p, n);
            }
        }
    }

    private struct Panels : IPanelRows
    {
        public int K;
        public float* A, B;
        public nint Lda;

        // Two vectors of columns at a time, sums of the lower and of the upper halves of lanes apart.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Multiply<S, V, R>(int panel, float* sums) where S : struct, ISimd<V> where V : unmanaged where R : struct, IRows
        {
            const int ahead = FewRows.Ahead / sizeof(float);
            float* a1 = A + Lda, a2 = a1 + Lda, a3 = a2 + Lda;
            for (int j = 0; j < Bf16Pack.Width; j += 2 * S.Count)
            {
                float* b = B + ((nint)panel * Bf16Pack.LanesOf(K) * Bf16Pack.Width) + j;
                V s0 = S.Zero, s1 = S.Zero, s2 = S.Zero, s3 = S.Zero, t0 = S.Zero, t1 = S.Zero, t2 = S.Zero, t3 = S.Zero;
                V u0 = S.Zero, u1 = S.Zero, u2 = S.Zero, u3 = S.Zero, v0 = S.Zero, v1 = S.Zero, v2 = S.Zero, v3 = S.Zero;
                for (nint p = 0; p < K; p += Bf16Pack.Block)
                {
                    // The last block may hold fewer numbers of A; B's lanes beyond them are not read.
                    int lows = (int)Math.Min(Bf16Pack.Lanes, K - p), highs = (int)Math.Clamp(K - p - Bf16Pack.Lanes, 0, Bf16Pack.Lanes);
                    float* lane = b + (p / 2 * Bf16Pack.Width);
                    for (nint l = 0; l < lows; l++, lane += Bf16Pack.Width)
                    {
                        if (Sse.IsSupported)
                        {
                            Sse.Prefetch0(lane + ahead);
                            Sse.Prefetch0(lane + ahead + 16);
                        }

                        V x = S.Load(lane), y = S.Load(lane + S.Count), xl = S.LowBf16(x), yl = S.LowBf16(y);
                        nint low = p + l;
                        V z = S.Create(A[low]); s0 = S.Fma(z, xl, s0); t0 = S.Fma(z, yl, t0);
                        if (R.Count > 1) { z = S.Create(a1[low]); s1 = S.Fma(z, xl, s1); t1 = S.Fma(z, yl, t1); }
                        if (R.Count > 2) { z = S.Create(a2[low]); s2 = S.Fma(z, xl, s2); t2 = S.Fma(z, yl, t2); }
                        if (R.Count > 3) { z = S.Create(a3[low]); s3 = S.Fma(z, xl, s3); t3 = S.Fma(z, yl, t3); }
                        if (l >= highs)
                            continue;
                        V xh = S.HighBf16(x), yh = S.HighBf16(y);
                        nint high = low + Bf16Pack.Lanes;
                        z = S.Create(A[high]); u0 = S.Fma(z, xh, u0); v0 = S.Fma(z, yh, v0);
                        if (R.Count > 1) { z = S.Create(a1[high]); u1 = S.Fma(z, xh, u1); v1 = S.Fma(z, yh, v1); }
                        if (R.Count > 2) { z = S.Create(a2[high]); u2 = S.Fma(z, xh, u2); v2 = S.Fma(z, yh, v2); }
                        if (R.Count > 3) { z = S.Create(a3[high]); u3 = S.Fma(z, xh, u3); v3 = S.Fma(z, yh, v3); }
                    }
                }

                S.Store(S.Add(s0, u0), sums + j);
                S.Store(S.Add(t0, v0), sums + j + S.Count);
                if (R.Count > 1) { S.Store(S.Add(s1, u1), sums + 32 + j); S.Store(S.Add(t1, v1), sums + 32 + j + S.Count); }
                if (R.Count > 2) { S.Store(S.Add(s2, u2), sums + 64 + j); S.Store(S.Add(t2, v2), sums + 64 + j + S.Count); }
                if (R.Count > 3) { S.Store(S.Add(s3, u3), sums + 96 + j); S.Store(S.Add(t3, v3), sums + 96 + j + S.Count); }
            }
        }
    }
}
