using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>Where the levels of a block of 32 columns and 32 k are: see <see cref="QuantizedWeight"/>.</summary>
internal unsafe interface IQuantizedFormat
{
    /// <summary>Bytes of a block, scales included.</summary>
    static abstract int BlockBytes { get; }

    /// <summary>The least and the greatest level.</summary>
    static abstract (int Low, int High) Levels { get; }

    static abstract int Level(byte* block, int k, int column);

    /// <summary>Sets a level; levels of the block that are 0 until then must be so in memory.</summary>
    static abstract void SetLevel(byte* block, int k, int column, int level);

    /// <summary>What <see cref="Next"/> takes the levels k .. k + 7 (k a multiple of 8) of a vector of columns from.</summary>
    static abstract V Eight<S, V>(byte* block, int k, int column) where S : struct, ISimd<V> where V : unmanaged;

    /// <summary>The levels k of a vector of columns; the next call is for k + 1.</summary>
    static abstract V Next<S, V>(ref V eight, byte* block, int k, int column) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>Levels of a byte: 32 columns of one k side by side.</summary>
internal readonly unsafe struct Int8Format : IQuantizedFormat
{
    public static int BlockBytes => QuantizedWeight.ScaleBytes + (QuantizedWeight.Group * QuantizedWeight.Width);

    public static (int Low, int High) Levels => (-127, 127);

    public static int Level(byte* block, int k, int column) => *At(block, k, column);

    public static void SetLevel(byte* block, int k, int column, int level) => *At(block, k, column) = (sbyte)level;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Eight<S, V>(byte* block, int k, int column) where S : struct, ISimd<V> where V : unmanaged => default;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Next<S, V>(ref V eight, byte* block, int k, int column) where S : struct, ISimd<V> where V : unmanaged => S.FromInt8(At(block, k, column));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static sbyte* At(byte* block, int k, int column) => (sbyte*)block + QuantizedWeight.ScaleBytes + (k * QuantizedWeight.Width) + column;
}

/// <summary>Levels of 4 bits, two's complement: a lane of 32 bits holds eight k of a column, the first in the lowest bits.</summary>
internal readonly unsafe struct Int4Format : IQuantizedFormat
{
    public static int BlockBytes => QuantizedWeight.ScaleBytes + (QuantizedWeight.Group * QuantizedWeight.Width / 2);

    public static (int Low, int High) Levels => (-8, 7);

    public static int Level(byte* block, int k, int column) => *At(block, k, column) << (28 - (k % 8 * 4)) >> 28;

    public static void SetLevel(byte* block, int k, int column, int level) => *At(block, k, column) |= (level & 15) << (k % 8 * 4);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Eight<S, V>(byte* block, int k, int column) where S : struct, ISimd<V> where V : unmanaged => S.Load((float*)At(block, k, column));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Next<S, V>(ref V eight, byte* block, int k, int column) where S : struct, ISimd<V> where V : unmanaged
    {
        V level = S.LowInt4(eight);
        eight = S.ShiftInt4(eight);
        return level;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int* At(byte* block, int k, int column) => (int*)(block + QuantizedWeight.ScaleBytes) + (k / 8 * QuantizedWeight.Width) + column;
}
