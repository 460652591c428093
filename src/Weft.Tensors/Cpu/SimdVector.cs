using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Weft.Tensors.Cpu;

/// <summary>
/// The vector operations of the CPU kernels, so that one text serves every width: a kernel is generic in (S, V), is compiled once per width
/// with every call inlined, and is entered through a test of <see cref="Isa.Vector512"/> and <see cref="Isa.Vector256"/>, which the JIT folds.
/// </summary>
/// <typeparam name="V">The vector: <see cref="Vector512{T}"/>, <see cref="Vector256{T}"/> or <see cref="Vector128{T}"/> of float.</typeparam>
internal unsafe interface ISimd<V> where V : unmanaged
{
    /// <summary>Floats in a vector.</summary>
    static abstract int Count { get; }
    /// <summary>All lanes zero.</summary>
    static abstract V Zero { get; }
    /// <summary>All lanes <paramref name="x"/>.</summary>
    static abstract V Create(float x);
    /// <summary>Loads without an alignment demand.</summary>
    static abstract V Load(float* p);
    /// <summary>Stores without an alignment demand.</summary>
    static abstract void Store(V x, float* p);
    /// <summary>Loads the first n lanes (0 &lt;= n &lt;= Count), the others zero; touches no memory beyond them.</summary>
    static abstract V LoadPartial(float* p, int n);
    /// <summary>Stores the first n lanes (0 &lt;= n &lt;= Count); touches no memory beyond them.</summary>
    static abstract void StorePartial(V x, float* p, int n);
    /// <summary>x + y.</summary>
    static abstract V Add(V x, V y);
    /// <summary>x - y.</summary>
    static abstract V Sub(V x, V y);
    /// <summary>x * y.</summary>
    static abstract V Mul(V x, V y);
    /// <summary>x / y.</summary>
    static abstract V Div(V x, V y);
    /// <summary>The square root.</summary>
    static abstract V Sqrt(V x);
    /// <summary>x * y + z, in one rounding where the machine has it.</summary>
    static abstract V Fma(V x, V y, V z);
    /// <summary>The smaller; y where either is NaN on x64 (NaN on Arm64).</summary>
    static abstract V Min(V x, V y);
    /// <summary>The larger; y where either is NaN on x64 (NaN on Arm64).</summary>
    static abstract V Max(V x, V y);
    /// <summary>|x|.</summary>
    static abstract V Abs(V x);
    /// <summary>|x| with the sign of <paramref name="sign"/>.</summary>
    static abstract V CopySign(V x, V sign);
    /// <summary>yes where x &lt; y, else no.</summary>
    static abstract V SelectLess(V x, V y, V yes, V no);
    /// <summary>x * 2^n in one rounding for integral n in [-254, 254], gradual underflow and overflow to infinity included.</summary>
    static abstract V Scale(V x, V n);
    /// <summary>Sum of the lanes: halves added to halves.</summary>
    static abstract float Sum(V x);
    /// <summary>The sums of four vectors, in four lanes.</summary>
    static abstract Vector128<float> Sums(V x, V y, V z, V w);
    /// <summary>Largest lane.</summary>
    static abstract float MaxAcross(V x);
    /// <summary>Each lane's two bfloat16 numbers, rounded to nearest, ties to even: <paramref name="low"/>'s in the lower half, <paramref name="high"/>'s in the upper.</summary>
    static abstract V PairBf16(V low, V high);
    /// <summary>The float32 values of the lower halves of <see cref="PairBf16"/>'s lanes.</summary>
    static abstract V LowBf16(V pairs);
    /// <summary>The float32 values of the upper halves of <see cref="PairBf16"/>'s lanes.</summary>
    static abstract V HighBf16(V pairs);
    /// <summary>The values of Count whole numbers of 8 bits.</summary>
    static abstract V FromInt8(sbyte* p);
    /// <summary>The values of the lowest four bits of each lane, two's complement.</summary>
    static abstract V LowInt4(V eight);
    /// <summary>Each lane's bits, four places lower.</summary>
    static abstract V ShiftInt4(V eight);
}

/// <summary>512-bit operations.</summary>
internal readonly unsafe struct Simd512 : ISimd<Vector512<float>>
{
    public static int Count => 16;
    public static Vector512<float> Zero => Vector512<float>.Zero;
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Create(float x) => Vector512.Create(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Load(float* p) => Vector512.Load(p);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static void Store(Vector512<float> x, float* p) => x.Store(p);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Add(Vector512<float> x, Vector512<float> y) => x + y;
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Sub(Vector512<float> x, Vector512<float> y) => x - y;
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Mul(Vector512<float> x, Vector512<float> y) => x * y;
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Div(Vector512<float> x, Vector512<float> y) => x / y;
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Sqrt(Vector512<float> x) => Vector512.Sqrt(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Fma(Vector512<float> x, Vector512<float> y, Vector512<float> z) => Vector512.MultiplyAddEstimate(x, y, z);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Min(Vector512<float> x, Vector512<float> y) => Vector512.MinNative(x, y);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Max(Vector512<float> x, Vector512<float> y) => Vector512.MaxNative(x, y);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> Abs(Vector512<float> x) => Vector512.Abs(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> CopySign(Vector512<float> x, Vector512<float> sign) => Vector512.CopySign(x, sign);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> SelectLess(Vector512<float> x, Vector512<float> y, Vector512<float> yes, Vector512<float> no) =>
        Vector512.ConditionalSelect(Vector512.LessThan(x, y), yes, no);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> LoadPartial(float* p, int n) =>
        Avx512F.IsSupported
            ? Avx512F.MaskLoad(p, Mask(n), Vector512<float>.Zero)
            : Vector512.Create(Simd256.LoadPartial(p, Math.Min(n, 8)), Simd256.LoadPartial(p + 8, Math.Max(n - 8, 0)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePartial(Vector512<float> x, float* p, int n)
    {
        if (Avx512F.IsSupported)
        {
            Avx512F.MaskStore(p, Mask(n), x);
            return;
        }
        Simd256.StorePartial(x.GetLower(), p, Math.Min(n, 8));
        Simd256.StorePartial(x.GetUpper(), p + 8, Math.Max(n - 8, 0));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Scale(Vector512<float> x, Vector512<float> n)
    {
        if (Avx512F.IsSupported)
            return Avx512F.Scale(x, n);
        Vector512<int> whole = Vector512.ConvertToInt32(n), half = whole >> 1, bias = Vector512.Create(127);
        return x * ((half + bias) << 23).AsSingle() * ((whole - half + bias) << 23).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static float Sum(Vector512<float> x) => Simd256.Sum(x.GetLower() + x.GetUpper());
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sums(Vector512<float> x, Vector512<float> y, Vector512<float> z, Vector512<float> w) =>
        Simd256.Sums(x.GetLower() + x.GetUpper(), y.GetLower() + y.GetUpper(), z.GetLower() + z.GetUpper(), w.GetLower() + w.GetUpper());

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static float MaxAcross(Vector512<float> x) => Simd256.MaxAcross(Vector256.MaxNative(x.GetLower(), x.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> PairBf16(Vector512<float> low, Vector512<float> high) => ((RoundBf16(low) >> 16) | (RoundBf16(high) & Vector512.Create(0xffff0000u))).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> LowBf16(Vector512<float> pairs) => (pairs.AsUInt32() << 16).AsSingle();
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> HighBf16(Vector512<float> pairs) => (pairs.AsUInt32() & Vector512.Create(0xffff0000u)).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> FromInt8(sbyte* p) =>
        Avx512F.IsSupported ? Vector512.ConvertToSingle(Avx512F.ConvertToVector512Int32(Vector128.Load(p))) : Vector512.Create(Simd256.FromInt8(p), Simd256.FromInt8(p + 8));

    // A look-up takes the lowest four bits of a lane for its index: no more than the one instruction.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> LowInt4(Vector512<float> eight) => Avx512F.IsSupported
        ? Avx512F.PermuteVar16x32(Vector512.Create(0f, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1), eight.AsInt32())
        : Vector512.ConvertToSingle(eight.AsInt32() << 28 >> 28);

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector512<float> ShiftInt4(Vector512<float> eight) => (eight.AsUInt32() >> 4).AsSingle();

    // The upper 16 bits are the rounded number. A NaN stays one: adding to it could carry into the sign.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> RoundBf16(Vector512<float> x)
    {
        Vector512<uint> bits = x.AsUInt32();
        Vector512<uint> rounded = bits + Vector512.Create(0x7fffu) + ((bits >> 16) & Vector512.Create(1u));
        return Vector512.ConditionalSelect(Vector512.Equals(x, x).AsUInt32(), rounded, bits | Vector512.Create(0x00400000u));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Mask(int n) => Vector512.LessThan(Vector512<int>.Indices, Vector512.Create(n)).AsSingle();
}

/// <summary>256-bit operations.</summary>
internal readonly unsafe struct Simd256 : ISimd<Vector256<float>>
{
    public static int Count => 8;
    public static Vector256<float> Zero => Vector256<float>.Zero;
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Create(float x) => Vector256.Create(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Load(float* p) => Vector256.Load(p);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static void Store(Vector256<float> x, float* p) => x.Store(p);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Add(Vector256<float> x, Vector256<float> y) => x + y;
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Sub(Vector256<float> x, Vector256<float> y) => x - y;
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Mul(Vector256<float> x, Vector256<float> y) => x * y;
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Div(Vector256<float> x, Vector256<float> y) => x / y;
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Sqrt(Vector256<float> x) => Vector256.Sqrt(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Fma(Vector256<float> x, Vector256<float> y, Vector256<float> z) => Vector256.MultiplyAddEstimate(x, y, z);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Min(Vector256<float> x, Vector256<float> y) => Vector256.MinNative(x, y);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Max(Vector256<float> x, Vector256<float> y) => Vector256.MaxNative(x, y);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> Abs(Vector256<float> x) => Vector256.Abs(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> CopySign(Vector256<float> x, Vector256<float> sign) => Vector256.CopySign(x, sign);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> SelectLess(Vector256<float> x, Vector256<float> y, Vector256<float> yes, Vector256<float> no) =>
        Vector256.ConditionalSelect(Vector256.LessThan(x, y), yes, no);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> LoadPartial(float* p, int n) =>
        Avx.IsSupported
            ? Avx.MaskLoad(p, Mask(n))
            : Vector256.Create(Simd128.LoadPartial(p, Math.Min(n, 4)), Simd128.LoadPartial(p + 4, Math.Max(n - 4, 0)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePartial(Vector256<float> x, float* p, int n)
    {
        if (Avx.IsSupported)
        {
            Avx.MaskStore(p, Mask(n), x);
            return;
        }
        Simd128.StorePartial(x.GetLower(), p, Math.Min(n, 4));
        Simd128.StorePartial(x.GetUpper(), p + 4, Math.Max(n - 4, 0));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Scale(Vector256<float> x, Vector256<float> n)
    {
        Vector256<int> whole = Vector256.ConvertToInt32(n), half = whole >> 1, bias = Vector256.Create(127);
        return x * ((half + bias) << 23).AsSingle() * ((whole - half + bias) << 23).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static float Sum(Vector256<float> x) => Simd128.Sum(x.GetLower() + x.GetUpper());
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sums(Vector256<float> x, Vector256<float> y, Vector256<float> z, Vector256<float> w) =>
        Simd128.Sums(x.GetLower() + x.GetUpper(), y.GetLower() + y.GetUpper(), z.GetLower() + z.GetUpper(), w.GetLower() + w.GetUpper());

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static float MaxAcross(Vector256<float> x) => Simd128.MaxAcross(Vector128.MaxNative(x.GetLower(), x.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> PairBf16(Vector256<float> low, Vector256<float> high) => ((RoundBf16(low) >> 16) | (RoundBf16(high) & Vector256.Create(0xffff0000u))).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> LowBf16(Vector256<float> pairs) => (pairs.AsUInt32() << 16).AsSingle();
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> HighBf16(Vector256<float> pairs) => (pairs.AsUInt32() & Vector256.Create(0xffff0000u)).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> FromInt8(sbyte* p) =>
        Avx2.IsSupported ? Vector256.ConvertToSingle(Avx2.ConvertToVector256Int32(p)) : Vector256.Create(Simd128.FromInt8(p), Simd128.FromInt8(p + 4));

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> LowInt4(Vector256<float> eight) => Vector256.ConvertToSingle(eight.AsInt32() << 28 >> 28);

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector256<float> ShiftInt4(Vector256<float> eight) => (eight.AsUInt32() >> 4).AsSingle();

    // The upper 16 bits are the rounded number. A NaN stays one: adding to it could carry into the sign.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> RoundBf16(Vector256<float> x)
    {
        Vector256<uint> bits = x.AsUInt32();
        Vector256<uint> rounded = bits + Vector256.Create(0x7fffu) + ((bits >> 16) & Vector256.Create(1u));
        return Vector256.ConditionalSelect(Vector256.Equals(x, x).AsUInt32(), rounded, bits | Vector256.Create(0x00400000u));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Mask(int n) => Vector256.LessThan(Vector256<int>.Indices, Vector256.Create(n)).AsSingle();
}

/// <summary>128-bit operations; in software where the machine has none.</summary>
internal readonly unsafe struct Simd128 : ISimd<Vector128<float>>
{
    public static int Count => 4;
    public static Vector128<float> Zero => Vector128<float>.Zero;
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Create(float x) => Vector128.Create(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Load(float* p) => Vector128.Load(p);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static void Store(Vector128<float> x, float* p) => x.Store(p);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Add(Vector128<float> x, Vector128<float> y) => x + y;
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Sub(Vector128<float> x, Vector128<float> y) => x - y;
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Mul(Vector128<float> x, Vector128<float> y) => x * y;
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Div(Vector128<float> x, Vector128<float> y) => x / y;
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Sqrt(Vector128<float> x) => Vector128.Sqrt(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Fma(Vector128<float> x, Vector128<float> y, Vector128<float> z) => Vector128.MultiplyAddEstimate(x, y, z);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Min(Vector128<float> x, Vector128<float> y) => Vector128.MinNative(x, y);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Max(Vector128<float> x, Vector128<float> y) => Vector128.MaxNative(x, y);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> Abs(Vector128<float> x) => Vector128.Abs(x);
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> CopySign(Vector128<float> x, Vector128<float> sign) => Vector128.CopySign(x, sign);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> SelectLess(Vector128<float> x, Vector128<float> y, Vector128<float> yes, Vector128<float> no) =>
        Vector128.ConditionalSelect(Vector128.LessThan(x, y), yes, no);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> LoadPartial(float* p, int n) =>
        Avx.IsSupported
            ? Avx.MaskLoad(p, Mask(n))
            : n switch
            {
                0 => Vector128<float>.Zero,
                1 => Vector128.CreateScalar(*p),
                2 => Vector128.Create(Vector64.Load(p), Vector64<float>.Zero),
                3 => Vector128.Create(p[0], p[1], p[2], 0),
                _ => Vector128.Load(p),
            };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePartial(Vector128<float> x, float* p, int n)
    {
        if (n >= 4)
        {
            x.Store(p);
            return;
        }
        if (n >= 2)
            x.GetLower().Store(p);
        if ((n & 1) != 0)
            p[n - 1] = n == 3 ? x.GetElement(2) : x.ToScalar();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Scale(Vector128<float> x, Vector128<float> n)
    {
        Vector128<int> whole = Vector128.ConvertToInt32(n), half = whole >> 1, bias = Vector128.Create(127);
        return x * ((half + bias) << 23).AsSingle() * ((whole - half + bias) << 23).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector128<float> x)
    {
        Vector128<float> pair = x + Vector128.Shuffle(x, Vector128.Create(2, 3, 0, 1)); // not by Vector64, which x64 emulates
        return pair.ToScalar() + pair.GetElement(1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sums(Vector128<float> x, Vector128<float> y, Vector128<float> z, Vector128<float> w)
    {
        if (Sse.IsSupported)
        {
            Vector128<float> xy = Sse.UnpackLow(x, y) + Sse.UnpackHigh(x, y), zw = Sse.UnpackLow(z, w) + Sse.UnpackHigh(z, w);
            return Sse.MoveLowToHigh(xy, zw) + Sse.MoveHighToLow(zw, xy);
        }
        return AdvSimd.Arm64.IsSupported
            ? AdvSimd.Arm64.AddPairwise(AdvSimd.Arm64.AddPairwise(x, y), AdvSimd.Arm64.AddPairwise(z, w))
            : Vector128.Create(Sum(x), Sum(y), Sum(z), Sum(w));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxAcross(Vector128<float> x) => MathF.Max(MathF.Max(x.GetElement(0), x.GetElement(1)), MathF.Max(x.GetElement(2), x.GetElement(3)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> PairBf16(Vector128<float> low, Vector128<float> high) => ((RoundBf16(low) >> 16) | (RoundBf16(high) & Vector128.Create(0xffff0000u))).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> LowBf16(Vector128<float> pairs) => (pairs.AsUInt32() << 16).AsSingle();
    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> HighBf16(Vector128<float> pairs) => (pairs.AsUInt32() & Vector128.Create(0xffff0000u)).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> FromInt8(sbyte* p) =>
        Vector128.ConvertToSingle(Vector128.WidenLower(Vector128.WidenLower(Vector128.CreateScalar(Unsafe.ReadUnaligned<int>(p)).AsSByte())));

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> LowInt4(Vector128<float> eight) => Vector128.ConvertToSingle(eight.AsInt32() << 28 >> 28);

    [MethodImpl(MethodImplOptions.AggressiveInlining)] public static Vector128<float> ShiftInt4(Vector128<float> eight) => (eight.AsUInt32() >> 4).AsSingle();

    // The upper 16 bits are the rounded number. A NaN stays one: adding to it could carry into the sign.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> RoundBf16(Vector128<float> x)
    {
        Vector128<uint> bits = x.AsUInt32();
        Vector128<uint> rounded = bits + Vector128.Create(0x7fffu) + ((bits >> 16) & Vector128.Create(1u));
        return Vector128.ConditionalSelect(Vector128.Equals(x, x).AsUInt32(), rounded, bits | Vector128.Create(0x00400000u));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Mask(int n) => Vector128.LessThan(Vector128<int>.Indices, Vector128.Create(n)).AsSingle();
}
