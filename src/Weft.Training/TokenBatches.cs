using Weft.Tensors;

namespace Weft.Training;

/// <summary>
/// Where a <see cref="TokenBatches"/> stands: the seed of its order, the epoch (passes over the source, from 0), and how many of that epoch's
/// windows are already taken. Saved and restored, it continues with exactly the window that would have come next.
/// </summary>
public readonly record struct BatchPosition(ulong Seed, long Epoch, long Index);

/// <summary>
/// Training windows of a source: batches of B sequences of T+1 tokens each (T inputs, and the token after each of them as the target). An epoch
/// cuts the training part into windows T apart, from a start that differs from epoch to epoch so that the cuts fall elsewhere, and takes each
/// of them once, in shuffled order; up to 2T tokens at the ends wait for another epoch. Then the next epoch begins, in mid-batch if need be.
/// The order follows from the seed alone and needs no memory, however large the source.
/// </summary>
public sealed class TokenBatches
{
    private readonly TokenSource source;
    private readonly int batch;
    private readonly int context;
    private BatchPosition position;
    private long start; // of this epoch's first window
    private RandomPermutation order;

    /// <summary>Batches of <paramref name="batch"/> sequences of <paramref name="context"/> + 1 tokens, in the order of a seed.</summary>
    /// <exception cref="InputException">The training part is shorter than one sequence.</exception>
    public TokenBatches(TokenSource source, int batch, int context, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(batch);
        source.RequireContext(context);
        this.source = source;
        this.batch = batch;
        this.context = context;
        Position = new BatchPosition(seed, 0, 0);
    }

    /// <summary>The tokens of one batch: B (T+1).</summary>
    public int TokensPerBatch => this.batch * (this.context + 1);

    /// <summary>The windows of the current epoch.</summary>
    public long WindowsPerEpoch { get; private set; }

    /// <summary>Where the next batch begins. A position belongs to one source and one context; the batch size may change.</summary>
    /// <exception cref="InputException">Set to a position that this source and context do not have.</exception>
    public BatchPosition Position
    {
        get => this.position;
        set
        {
            if (value.Epoch < 0 || value.Index < 0)
            {
                throw new InputException($"a saved data position is negative (epoch {value.Epoch}, window {value.Index}): it is damaged");
            }
            BatchPosition before = this.position;
            Begin(value);
            if (value.Index > WindowsPerEpoch)
            {
                Begin(before);
                throw new InputException(
                    $"a saved data position is past its epoch's end (window {value.Index} of {WindowsPerEpoch}): it belongs to another corpus or context");
            }
        }
    }

    /// <summary>
    /// Fills <paramref name="into"/>, [B, T+1] tokens, with the next batch; returns the bytes of text that its targets, all but the first token of
    /// each window, stand for. Allocates nothing.
    /// </summary>
    /// <exception cref="ArgumentException">The span has not exactly that length.</exception>
    /// <exception cref="InputException">A file cannot be read.</exception>
    public long Next(Span<int> into)
    {
        if (into.Length != TokensPerBatch)
        {
            throw new ArgumentException($"a batch is {this.batch} x {this.context + 1} tokens, not {into.Length}", nameof(into));
        }
        long bytes = 0;
        for (int b = 0; b < this.batch; b++)
        {
            if (this.position.Index == WindowsPerEpoch)
            {
                Begin(new BatchPosition(this.position.Seed, this.position.Epoch + 1, 0));
            }
            long offset = start + (order[this.position.Index] * this.context);
            source.Read(offset, into.Slice(b * (this.context + 1), this.context + 1));
            bytes += source.BytesOf(offset + 1, this.context);
            this.position = this.position with { Index = this.position.Index + 1 };
        }
        return bytes;
    }

    private void Begin(BatchPosition position)
    {
        ulong key = RandomSource.Mix(position.Seed ^ RandomSource.Mix((ulong)position.Epoch + 0x9E3779B97F4A7C15UL));
        long lastStart = source.TrainLength - this.context - 1;
        // A start below T reaches every way of cutting; no start may leave a source without its one window.
        start = (long)(RandomSource.Mix(key ^ 1) % (ulong)(Math.Min(this.context - 1, lastStart) + 1));
        WindowsPerEpoch = ((lastStart - start) / this.context) + 1;
        order = new RandomPermutation(WindowsPerEpoch, RandomSource.Mix(key ^ 2));
        this.position = position;
    }
}
