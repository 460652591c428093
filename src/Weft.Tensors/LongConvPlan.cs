using System.Numerics;

namespace Weft.Tensors;

/// <summary>
/// How a causal convolution with a long kernel is cut. Time falls into blocks of N tokens aligned to absolute positions, the kernel into
/// overlapping partitions of 2N taps, and output block j is the sum over d of partition d with input block j - d (Stockham's overlap-save
/// with a uniformly partitioned kernel): what a block computes depends on its place and its tokens only, not on how the sequence was cut.
/// A block of few tokens is computed tap by tap where that takes fewer operations than the transforms.
/// </summary>
/// <remarks>Positions here are local: 0 is the start of the block in which the oldest input lies.</remarks>
internal readonly struct LongConvPlan
{
    /// <summary>Taps of the kernel; tokens of a block, a power of two; the last partition: D, of D + 1.</summary>
    public readonly int Length, Block, Last;

    /// <summary>The oldest input, the sequence's first token, and its end.</summary>
    public readonly int Oldest, Start, End;

    public LongConvPlan(int time, int length, int block, long position, int past)
    {
        (Length, Block) = (length, block == 0 ? Ops.LongConvBlock(Math.Min(length, (long)time + past)) : block);
        Last = (int)(((long)length + Block - 1) / Block);
        int into = (int)(position % Block);
        past = (int)Math.Min(past, into + ((long)Last * Block)); // what lies before that no block sees
        Oldest = (int)((position - past) % Block);
        Start = checked(Oldest + past);
        End = checked(Start + time);
    }

    /// <summary>The tokens of earlier calls that are used.</summary>
    public int Past => Start - Oldest;

    /// <summary>The blocks that hold inputs.</summary>
    public int Blocks => (int)(((long)End + Block - 1) / Block);

    /// <summary>The first block that holds outputs.</summary>
    public int FirstOut => Start / Block;

    /// <summary>A block's outputs: their first position and the one after their last.</summary>
    public (int From, int To) Outputs(int block) => (Math.Max(Start, block * Block), (int)Math.Min(End, ((long)block + 1) * Block));

    /// <summary>The partitions that a block's outputs need.</summary>
    public int Terms(int block) => Math.Min(Last, block) + 1;

    /// <summary>
    /// The blocks whose outputs are computed by transforms: all that are filled, and of the first and the last, which may be filled only in
    /// part, those for which that takes fewer operations than going tap by tap.
    /// </summary>
    public (int From, int To) Transformed
    {
        get
        {
            int from = TapByTap(FirstOut) ? FirstOut + 1 : FirstOut;
            return (from, Math.Max(from, TapByTap(Blocks - 1) ? Blocks - 1 : Blocks));
        }
    }

    /// <summary>The first input block that transformed outputs need.</summary>
    public int FirstIn => Transformed.From + 1 - Terms(Transformed.From);

    /// <summary>Forward FLOPs of one channel of one sequence.</summary>
    public long Flops()
    {
        (int from, int to) = Transformed;
        long flops = from == to ? 0 : (long)(to - FirstIn + to - from) * TransformFlops;
        for (int j = FirstOut; j < Blocks; j++)
        {
            flops += j >= from && j < to ? 8L * Block * Terms(j) : TapFlops(j);
        }

        return flops;
    }

    /// <summary>Backward FLOPs of one channel of one sequence, all gradients wanted.</summary>
    public long BackwardFlops()
    {
        long products = 0;
        for (int j = FirstOut; j < Blocks; j++)
        {
            products += Terms(j);
        }

        return (((2L * Blocks) + Blocks - FirstOut) * TransformFlops) + (16L * Block * products);
    }

    private bool TapByTap(int block)
    {
        (int from, int to) = Outputs(block);
        return to - from < Block && TapFlops(block) <= ((2L * Terms(block)) + 1) * TransformFlops;
    }

    /// <summary>5 N log2 N: ten a complex butterfly.</summary>
    private long TransformFlops => 5L * Block * BitOperations.Log2((uint)Block);

    // Two for each tap of each output; the output at position t has min(t - oldest + 1, length) taps.
    private long TapFlops(int block)
    {
        (int from, int to) = Outputs(block);
        return 2 * (Taps(to - Oldest) - Taps(from - Oldest));
    }

    private long Taps(long outputs)
    {
        long rising = Math.Min(outputs, Length);
        return (rising * (rising + 1) / 2) + ((outputs - rising) * Length);
    }
}
