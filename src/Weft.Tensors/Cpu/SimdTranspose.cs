using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Weft.Tensors.Cpu;

/// <summary>Transposition through registers, in blocks of 16, 8 or 4.</summary>
internal static unsafe class SimdTranspose
{
    /// <summary>target[j * ldt + i] = source[i * lds + j] for i &lt; rows, j &lt; cols. The ranges do not overlap.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(int rows, int cols, float* source, nint lds, float* target, nint ldt)
    {
        int side = Isa.Vector512 ? 16 : Isa.Vector256 ? 8 : 4;
        for (int i = 0; i < rows; i += side)
        {
            int h = Math.Min(side, rows - i);
            for (int j = 0; j < cols; j += side)
            {
                int w = Math.Min(side, cols - j);
                float* s = source + i * lds + j;
                float* t = target + j * ldt + i;
                if (Isa.Vector512) Block16(h, w, s, lds, t, ldt);
                else if (Isa.Vector256) Block8(h, w, s, lds, t, ldt);
                else if ((Sse2.IsSupported || AdvSimd.Arm64.IsSupported) && h == 4 && w == 4) Block4(s, lds, t, ldt);
                else BlockScalar(h, w, s, lds, t, ldt);
            }
        }
    }

    private static void BlockScalar(int h, int w, float* s, nint lds, float* t, nint ldt)
    {
        for (int i = 0; i < h; i++)
            for (int j = 0; j < w; j++)
                t[j * ldt + i] = s[i * lds + j];
    }

    // A block of h rows and w columns: rows beyond h repeat the last one and are cut off at the store.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Block16(int h, int w, float* s, nint lds, float* t, nint ldt)
    {
        Vector512<float> r0 = Simd512.LoadPartial(s, w);
        Vector512<float> r1 = Simd512.LoadPartial(s + Math.Min(1, h - 1) * lds, w);
        Vector512<float> r2 = Simd512.LoadPartial(s + Math.Min(2, h - 1) * lds, w);
        Vector512<float> r3 = Simd512.LoadPartial(s + Math.Min(3, h - 1) * lds, w);
        Vector512<float> r4 = Simd512.LoadPartial(s + Math.Min(4, h - 1) * lds, w);
        Vector512<float> r5 = Simd512.LoadPartial(s + Math.Min(5, h - 1) * lds, w);
        Vector512<float> r6 = Simd512.LoadPartial(s + Math.Min(6, h - 1) * lds, w);
        Vector512<float> r7 = Simd512.LoadPartial(s + Math.Min(7, h - 1) * lds, w);
        Vector512<float> r8 = Simd512.LoadPartial(s + Math.Min(8, h - 1) * lds, w);
        Vector512<float> r9 = Simd512.LoadPartial(s + Math.Min(9, h - 1) * lds, w);
        Vector512<float> r10 = Simd512.LoadPartial(s + Math.Min(10, h - 1) * lds, w);
        Vector512<float> r11 = Simd512.LoadPartial(s + Math.Min(11, h - 1) * lds, w);
        Vector512<float> r12 = Simd512.LoadPartial(s + Math.Min(12, h - 1) * lds, w);
        Vector512<float> r13 = Simd512.LoadPartial(s + Math.Min(13, h - 1) * lds, w);
        Vector512<float> r14 = Simd512.LoadPartial(s + Math.Min(14, h - 1) * lds, w);
        Vector512<float> r15 = Simd512.LoadPartial(s + Math.Min(15, h - 1) * lds, w);
        Quad(ref r0, ref r1, ref r2, ref r3);
        Quad(ref r4, ref r5, ref r6, ref r7);
        Quad(ref r8, ref r9, ref r10, ref r11);
        Quad(ref r12, ref r13, ref r14, ref r15);
        Lanes(ref r0, ref r4, ref r8, ref r12);
        Lanes(ref r1, ref r5, ref r9, ref r13);
        Lanes(ref r2, ref r6, ref r10, ref r14);
        Lanes(ref r3, ref r7, ref r11, ref r15);
        Simd512.StorePartial(r0, t, h);
        if (w > 1) Simd512.StorePartial(r1, t + 1 * ldt, h);
        if (w > 2) Simd512.StorePartial(r2, t + 2 * ldt, h);
        if (w > 3) Simd512.StorePartial(r3, t + 3 * ldt, h);
        if (w > 4) Simd512.StorePartial(r4, t + 4 * ldt, h);
        if (w > 5) Simd512.StorePartial(r5, t + 5 * ldt, h);
        if (w > 6) Simd512.StorePartial(r6, t + 6 * ldt, h);
        if (w > 7) Simd512.StorePartial(r7, t + 7 * ldt, h);
        if (w > 8) Simd512.StorePartial(r8, t + 8 * ldt, h);
        if (w > 9) Simd512.StorePartial(r9, t + 9 * ldt, h);
        if (w > 10) Simd512.StorePartial(r10, t + 10 * ldt, h);
        if (w > 11) Simd512.StorePartial(r11, t + 11 * ldt, h);
        if (w > 12) Simd512.StorePartial(r12, t + 12 * ldt, h);
        if (w > 13) Simd512.StorePartial(r13, t + 13 * ldt, h);
        if (w > 14) Simd512.StorePartial(r14, t + 14 * ldt, h);
        if (w > 15) Simd512.StorePartial(r15, t + 15 * ldt, h);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Block8(int h, int w, float* s, nint lds, float* t, nint ldt)
    {
        Vector256<float> r0 = Simd256.LoadPartial(s, w);
        Vector256<float> r1 = Simd256.LoadPartial(s + Math.Min(1, h - 1) * lds, w);
        Vector256<float> r2 = Simd256.LoadPartial(s + Math.Min(2, h - 1) * lds, w);
        Vector256<float> r3 = Simd256.LoadPartial(s + Math.Min(3, h - 1) * lds, w);
        Vector256<float> r4 = Simd256.LoadPartial(s + Math.Min(4, h - 1) * lds, w);
        Vector256<float> r5 = Simd256.LoadPartial(s + Math.Min(5, h - 1) * lds, w);
        Vector256<float> r6 = Simd256.LoadPartial(s + Math.Min(6, h - 1) * lds, w);
        Vector256<float> r7 = Simd256.LoadPartial(s + Math.Min(7, h - 1) * lds, w);
        Quad(ref r0, ref r1, ref r2, ref r3);
        Quad(ref r4, ref r5, ref r6, ref r7);
        (r0, r4) = (Avx.Permute2x128(r0, r4, 0x20), Avx.Permute2x128(r0, r4, 0x31));
        (r1, r5) = (Avx.Permute2x128(r1, r5, 0x20), Avx.Permute2x128(r1, r5, 0x31));
        (r2, r6) = (Avx.Permute2x128(r2, r6, 0x20), Avx.Permute2x128(r2, r6, 0x31));
        (r3, r7) = (Avx.Permute2x128(r3, r7, 0x20), Avx.Permute2x128(r3, r7, 0x31));
        Simd256.StorePartial(r0, t, h);
        if (w > 1) Simd256.StorePartial(r1, t + 1 * ldt, h);
        if (w > 2) Simd256.StorePartial(r2, t + 2 * ldt, h);
        if (w > 3) Simd256.StorePartial(r3, t + 3 * ldt, h);
        if (w > 4) Simd256.StorePartial(r4, t + 4 * ldt, h);
        if (w > 5) Simd256.StorePartial(r5, t + 5 * ldt, h);
        if (w > 6) Simd256.StorePartial(r6, t + 6 * ldt, h);
        if (w > 7) Simd256.StorePartial(r7, t + 7 * ldt, h);
    }

    private static void Block4(float* s, nint lds, float* t, nint ldt)
    {
        Vector128<float> r0 = Vector128.Load(s), r1 = Vector128.Load(s + lds), r2 = Vector128.Load(s + 2 * lds), r3 = Vector128.Load(s + 3 * lds);
        if (Sse2.IsSupported)
        {
            Vector128<float> t0 = Sse.UnpackLow(r0, r1), t1 = Sse.UnpackHigh(r0, r1), t2 = Sse.UnpackLow(r2, r3), t3 = Sse.UnpackHigh(r2, r3);
            r0 = Sse.MoveLowToHigh(t0, t2);
            r1 = Sse.MoveHighToLow(t2, t0);
            r2 = Sse.MoveLowToHigh(t1, t3);
            r3 = Sse.MoveHighToLow(t3, t1);
        }
        else
        {
            Vector128<double> t0 = AdvSimd.Arm64.ZipLow(r0, r1).AsDouble(), t1 = AdvSimd.Arm64.ZipHigh(r0, r1).AsDouble();
            Vector128<double> t2 = AdvSimd.Arm64.ZipLow(r2, r3).AsDouble(), t3 = AdvSimd.Arm64.ZipHigh(r2, r3).AsDouble();
            r0 = AdvSimd.Arm64.ZipLow(t0, t2).AsSingle();
            r1 = AdvSimd.Arm64.ZipHigh(t0, t2).AsSingle();
            r2 = AdvSimd.Arm64.ZipLow(t1, t3).AsSingle();
            r3 = AdvSimd.Arm64.ZipHigh(t1, t3).AsSingle();
        }
        r0.Store(t);
        r1.Store(t + ldt);
        r2.Store(t + 2 * ldt);
        r3.Store(t + 3 * ldt);
    }

    /// <summary>Transposes the 4 x 4 block in each 128-bit lane of four rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Quad(ref Vector512<float> r0, ref Vector512<float> r1, ref Vector512<float> r2, ref Vector512<float> r3)
    {
        Vector512<double> t0 = Avx512F.UnpackLow(r0, r1).AsDouble(), t1 = Avx512F.UnpackHigh(r0, r1).AsDouble();
        Vector512<double> t2 = Avx512F.UnpackLow(r2, r3).AsDouble(), t3 = Avx512F.UnpackHigh(r2, r3).AsDouble();
        r0 = Avx512F.UnpackLow(t0, t2).AsSingle();
        r1 = Avx512F.UnpackHigh(t0, t2).AsSingle();
        r2 = Avx512F.UnpackLow(t1, t3).AsSingle();
        r3 = Avx512F.UnpackHigh(t1, t3).AsSingle();
    }

    /// <summary>Transposes a 4 x 4 block of 128-bit lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Lanes(ref Vector512<float> r0, ref Vector512<float> r1, ref Vector512<float> r2, ref Vector512<float> r3)
    {
        Vector512<float> even01 = Avx512F.Shuffle4x128(r0, r1, 0x88), even23 = Avx512F.Shuffle4x128(r2, r3, 0x88);
        Vector512<float> odd01 = Avx512F.Shuffle4x128(r0, r1, 0xdd), odd23 = Avx512F.Shuffle4x128(r2, r3, 0xdd);
        r0 = Avx512F.Shuffle4x128(even01, even23, 0x88);
        r1 = Avx512F.Shuffle4x128(odd01, odd23, 0x88);
        r2 = Avx512F.Shuffle4x128(even01, even23, 0xdd);
        r3 = Avx512F.Shuffle4x128(odd01, odd23, 0xdd);
    }

    /// <summary>Transposes the 4 x 4 block in each 128-bit lane of four rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Quad(ref Vector256<float> r0, ref Vector256<float> r1, ref Vector256<float> r2, ref Vector256<float> r3)
    {
        Vector256<double> t0 = Avx.UnpackLow(r0, r1).AsDouble(), t1 = Avx.UnpackHigh(r0, r1).AsDouble();
        Vector256<double> t2 = Avx.UnpackLow(r2, r3).AsDouble(), t3 = Avx.UnpackHigh(r2, r3).AsDouble();
        r0 = Avx.UnpackLow(t0, t2).AsSingle();
        r1 = Avx.UnpackHigh(t0, t2).AsSingle();
        r2 = Avx.UnpackLow(t1, t3).AsSingle();
        r3 = Avx.UnpackHigh(t1, t3).AsSingle();
    }
}
