using System.Numerics;

namespace Weft.Tensors;

/// <summary>
/// The inputs of a long convolution before the tokens that come next: the last <paramref name="Length"/> of them, oldest first, in rows
/// of <paramref name="Values"/> [B,rows,C] from <paramref name="Start"/> on, and from the end on in row 0.
/// </summary>
/// <param name="Values">The rows; null where there are none.</param>
/// <param name="Start">The row of the oldest.</param>
/// <param name="Length">The number remembered.</param>
/// <param name="Position">The tokens seen in all: the next one's position, by which blocks are aligned.</param>
public readonly record struct LongConvPast(Tensor? Values, int Start, int Length, long Position);

public static partial class Ops
{
    /// <summary>
    /// Causal convolution of every channel with a kernel as long as the sequence,
    /// y[b,t,c] = skip[c] x[b,t,c] + sum_j kernel[j,c] x[b,t-j,c], with earlier inputs from <paramref name="past"/>. By fast Fourier
    /// transforms of blocks and partitions of the kernel: O(T log L) with blocks of a fixed fraction of L; a few tokens, tap by tap.
    /// Blocks are aligned to positions: with one <paramref name="block"/>, pieces of a sequence that end on multiples of it, and remember the kernel's
    /// length rounded up to one, give the same bits as the whole.
    /// </summary>
    /// <param name="x">[B,T,C]; may be a column view.</param>
    /// <param name="kernel">[L,C]: row j multiplies the input j tokens back; zero beyond. L may be less or more than T.</param>
    /// <param name="skip">[C], added to row 0 of the kernel; null for none.</param>
    /// <param name="past">The inputs before x.</param>
    /// <param name="block">Tokens of a block, a power of two; 0: about an eighth of the kernel.</param>
    /// <returns>y [B,T,C].</returns>
    public static Tensor LongConv(Tensor x, Tensor kernel, Tensor? skip = null, in LongConvPast past = default, int block = 0)
    {
        int channels = x.Shape.Columns;
        Require(x.Shape.Rank == 3 && kernel.Shape.Rank == 2 && kernel.Shape.Columns == channels, "LongConv", x, kernel);
        Require(skip is null || (skip.Shape.Count == channels && skip.IsContiguous), "LongConv", x, kernel, skip);
        Require(past.Length == 0 || (past.Values is { } v && v.Shape == x.Shape.With(1, v.Shape[1])), "LongConv", x, kernel, past.Values);
        if (past.Length < 0 || past.Position < past.Length || past.Start < 0 || past.Length > (past.Values?.Shape[1] ?? 0) || (past.Length > 0 && past.Start >= past.Values!.Shape[1]))
        {
            throw new ArgumentException($"{past.Length} rows from row {past.Start} on of {past.Values?.Shape[1] ?? 0}, before position {past.Position}", nameof(past));
        }

        if (block < 0 || (block > 0 && !BitOperations.IsPow2(block)))
        {
            throw new ArgumentOutOfRangeException(nameof(block), $"a block of {block} tokens is no power of two");
        }

        Tape tape = TapeOf(x, kernel);
        var inputs = new LongConvInputs(x, kernel, skip, past, block);
        Tensor y = tape.Empty(x.Shape);
        tape.Device.LongConv(inputs, y);
        if (Records(tape, x, kernel, skip, past.Values))
        {
            LongConvNode node = tape.Record<LongConvNode>(y);
            node.Inputs = inputs;
        }

        return y;
    }

    private sealed class LongConvNode : Node
    {
        internal LongConvInputs Inputs;

        internal override void Backward(Tape tape) => tape.Device.LongConvBackward(Inputs, Output.GradToRead!,
            GradTarget.Of(Inputs.X, tape), GradTarget.Of(Inputs.Kernel, tape), GradTarget.Of(Inputs.Skip, tape), GradTarget.Of(Inputs.Past.Values, tape));
    }

    /// <summary>
    /// The block that <see cref="LongConv"/> chooses for a kernel of <paramref name="length"/> taps and no more tokens than that: the
    /// power of two from an eighth of it on, at least 64. The products of spectra then cost about a third of the transforms.
    /// </summary>
    public static int LongConvBlock(long length) => (int)Math.Max(64, BitOperations.RoundUpToPowerOf2((ulong)((length + 7) / 8)));

    /// <summary>
    /// The FLOPs that <see cref="LongConv"/> counts forward for one sequence of <paramref name="tokens"/> tokens after
    /// <paramref name="position"/> others, of which it remembers <paramref name="past"/>. With blocks of N tokens, a channel's transform counts
    /// 5 N log2 N, one for each block of inputs and of outputs, and each pair of a block and a partition of the kernel 8 N; a block of few
    /// tokens counts 2 for each tap instead. The transforms of the kernel, which all sequences share, are not counted.
    /// </summary>
    public static long LongConvFlops(int tokens, int channels, int length, int block = 0, long position = 0, int past = 0) =>
        channels * new LongConvPlan(tokens, length, block, position, past).Flops();
}
