using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>Unpacks panels of a <see cref="QuantizedWeight"/> for the products of many rows: to float32 [k][columns], or to the panels of <see cref="Bf16Pack"/>.</summary>
internal static unsafe class QuantizedUnpack
{
    /// <summary>
    /// Unpacks <paramref name="panels"/> panels from <paramref name="first"/> on. float32: k up to whole groups, rows <paramref name="panels"/> * 32
    /// apart; bfloat16: panel after panel.
    /// </summary>
    public static void Run(WorkerPool pool, QuantizedWeight w, int first, int panels, bool toBf16, float* target)
    {
        if (w.Format == WeightFormat.Int8)
            Run<Int8Format>(pool, w, first, panels, toBf16, target);
        else
            Run<Int4Format>(pool, w, first, panels, toBf16, target);
    }

    private static void Run<F>(WorkerPool pool, QuantizedWeight w, int first, int panels, bool toBf16, float* target) where F : unmanaged, IQuantizedFormat
    {
        var job = new Job<F> { Groups = w.Groups, Panels = panels, ToBf16 = toBf16, W = w.Blocks + ((nint)first * w.Groups * F.BlockBytes), Target = target };
        pool.RunWide(ref job, panels);
    }

    // An item a panel.
    private struct Job<F> : IWideJob where F : unmanaged, IQuantizedFormat
    {
        public int Groups, Panels;
        public bool ToBf16;
        public byte* W;
        public float* Target;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            const int width = QuantizedWeight.Width, group = QuantizedWeight.Group, lanes = Bf16Pack.Lanes * Bf16Pack.Width;
            float* values = stackalloc float[group * width];
            byte* block = W + ((nint)index * Groups * F.BlockBytes);
            for (int g = 0; g < Groups; g++, block += F.BlockBytes)
            {
                if (!ToBf16)
                {
                    nint ld = (nint)Panels * width;
                    Block<S, V>(block, Target + (g * group * ld) + (index * width), ld);
                    continue;
                }

                // A group is a block of 32 k: lane l holds k = l and l + 16.
                Block<S, V>(block, values, width);
                float* to = Target + (((nint)index * Groups) + g) * lanes;
                for (int i = 0; i < lanes; i += S.Count)
                    S.Store(S.PairBf16(S.Load(values + i), S.Load(values + lanes + i)), to + i);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Block<S, V>(byte* block, float* target, nint ld) where S : struct, ISimd<V> where V : unmanaged
        {
            const int half = QuantizedWeight.Half;
            for (int j = 0; j < half; j += S.Count)
            {
                V pair = S.Load((float*)block + j), low = S.LowBf16(pair), high = S.HighBf16(pair);
                float* to = target + j;
                for (int e = 0; e < QuantizedWeight.Group; e += 8)
                {
                    V ex = F.Eight<S, V>(block, e, j), ey = F.Eight<S, V>(block, e, j + half);
                    for (int k = e; k < e + 8; k++, to += ld)
                    {
                        S.Store(S.Mul(low, F.Next<S, V>(ref ex, block, k, j)), to);
                        S.Store(S.Mul(high, F.Next<S, V>(ref ey, block, k, j + half)), to + half);
                    }
                }
            }
        }
    }
}
