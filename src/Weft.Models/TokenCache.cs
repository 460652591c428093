using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Attention's state: the keys and values of the tokens seen, all of them or - with a window - the last <c>window</c>. It lives in its own
/// memory [B, capacity, width], appended to in place: growing geometrically, and for a window at most to a ring a tile longer than it.
/// While a tape records, it is instead the tape's tensors, so that gradients pass through it.
/// </summary>
public sealed class TokenCache : StateSlot, IDisposable
{
    /// <summary>The highest position a cache counts to: past every sequence, and short of what arithmetic on positions could overflow.</summary>
    public const long MaxPosition = 1L << 48;

    private const int RoomToMeasure = 4096;

    private readonly Device device;
    private readonly int batch, width, window, mostRows;
    private Tensor? keys, values; // [B, rows, width]; the token at position p lies in row p mod rows
    private AttentionPast onTape;
    private bool recorded; // what is remembered is onTape

    /// <summary>Makes an empty cache for rows of <paramref name="width"/> values; <paramref name="window"/> 0 remembers every token.</summary>
    public TokenCache(Device device, string name, int batch, int width, int window = 0) : base(name)
    {
        (this.device, this.batch, this.width, this.window) = (device, batch, width, window);

        // Tiles of keys start at multiples of the tile: a ring that is a multiple of it never wraps within one.
        mostRows = window == 0 ? int.MaxValue / Device.AttentionTile * Device.AttentionTile : Tiles(window);
    }

    /// <summary>The tokens of each sequence seen so far: the next one's position.</summary>
    public long Position { get; private set; }

    /// <summary>The tokens remembered: all, or the last <c>window</c>.</summary>
    public int Length => window == 0 ? (int)Position : (int)Math.Min(Position, window);

    /// <summary>The keys and values remembered, without the room kept for more: 2 B length width 4 bytes.</summary>
    public override long Bytes => 2L * batch * Length * width * sizeof(float);

    /// <summary>The memory held, the room for more included.</summary>
    public long ReservedBytes => keys is null ? 0 : keys.Bytes + values!.Bytes;

    /// <summary>Makes room for <paramref name="tokens"/> tokens in all, so that appending up to then allocates nothing.</summary>
    /// <exception cref="InputException">There is not enough memory.</exception>
    public void Reserve(long tokens)
    {
        long need = window == 0 ? tokens : Math.Min(tokens, mostRows);
        if (need > mostRows)
        {
            throw new InputException($"a cache of {tokens} tokens is more than the {mostRows} that attention can remember; a window bounds it");
        }

        int have = keys?.Shape[1] ?? 0;
        if (need > have)
        {
            Resize((int)Math.Min(mostRows, Math.Max(Tiles(need), 2L * have)));
        }
    }

    /// <summary>What attention may look back to, before the tokens that come next; the same call for a tape that records and one that does not.</summary>
    public AttentionPast Before(Tape tape)
    {
        if (!tape.Recording)
        {
            Detach();
        }

        return Current;
    }

    /// <summary>Remembers the keys and values [B,T,width] of the next T tokens, tensors of <paramref name="tape"/>.</summary>
    public void Append(Tape tape, Tensor newKeys, Tensor newValues)
    {
        int tokens = newKeys.Shape[1];
        if (Position > MaxPosition - tokens || (window == 0 && Position + tokens > mostRows))
        {
            throw new InputException($"a sequence of {Position} tokens cannot grow by {tokens}: it is longer than attention can remember; a window bounds it");
        }

        if (tape.Recording)
        {
            onTape = Joined(tape, newKeys, newValues);
            (recorded, Position) = (true, Position + tokens);
            return;
        }

        Detach();
        int kept = window == 0 ? tokens : Math.Min(tokens, window);
        Reserve(Position + tokens);
        Write(newKeys, newValues, tokens - kept, Position + tokens - kept, kept);
        Position += tokens;
    }

    /// <inheritdoc/>
    public override void Clear() => (recorded, onTape, Position) = (false, default, 0);

    /// <inheritdoc/>
    public override void Detach()
    {
        if (recorded)
        {
            CopyIn(onTape, Position);
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<(string Name, Tensor Tensor)> Tensors =>
        Current is { Keys: { } k, Values: { } v } ? [(Name + ".keys", k), (Name + ".values", v)] : [];

    /// <inheritdoc/>
    public override void Follow(StateSlot source, Tape tape)
    {
        var other = (TokenCache)source;
        AttentionPast past = other.Current;
        onTape = past.Length == 0 ? default : past with { Keys = Ops.Copy(past.Keys!, tape), Values = Ops.Copy(past.Values!, tape) };
        (recorded, Position) = (true, other.Position);
    }

    /// <inheritdoc/>
    public override void CopyTo(StateSlot other)
    {
        var target = (TokenCache)other;
        if (target.batch != batch || target.width != width || target.window != window)
        {
            throw new ArgumentException("a cache copies only to one of the same batch, width and window", nameof(other));
        }

        target.CopyIn(Current, Position);
    }

    /// <summary>The keys and values remembered, [B, length, width], the oldest token first, and the position.</summary>
    public override IEnumerable<(string Name, Shape Shape, float[] Values)> Save()
    {
        var shape = new Shape(batch, Length, width);
        return
        [
            .. TokenCounter.Save(Name + ".position", Position),
            (Name + ".keys", shape, Ordered(Current.Keys)),
            (Name + ".values", shape, Ordered(Current.Values)),
        ];

        float[] Ordered(Tensor? from)
        {
            if (from is null)
            {
                return [];
            }

            using Tensor ordered = device.Zeros(shape);
            for (int i = 0, count; i < Length; i += count)
            {
                (int row, count) = Piece(Current, i);
                Ops.CopyTokens(from, row, ordered, i, count);
            }

            return ordered.ToArray();
        }
    }

    /// <inheritdoc/>
    public override void Restore(Func<string, (Shape Shape, float[] Values)> read)
    {
        long position = TokenCounter.Read(Name + ".position", read);
        long length = window == 0 ? position : Math.Min(position, window);
        (Shape keyShape, float[] savedKeys) = read(Name + ".keys");
        (Shape valueShape, float[] savedValues) = read(Name + ".values");
        Shape expected = length > mostRows ? default : new Shape(batch, (int)length, width);
        if (keyShape != expected || valueShape != expected)
        {
            bool first = keyShape != expected;
            throw Mismatch(Name + (first ? ".keys" : ".values"), first ? keyShape : valueShape, $"[{batch}, {length}, {width}]");
        }

        Clear();
        if (length > 0)
        {
            using Tensor orderedKeys = device.Of(savedKeys, expected), orderedValues = device.Of(savedValues, expected);
            CopyIn(new AttentionPast(orderedKeys, orderedValues, 0, (int)length), position);
        }
    }

    /// <summary>Fills the cache as after <paramref name="tokens"/> tokens, with room for some thousands more: steps that are timed then do not grow it.</summary>
    /// <exception cref="InputException">There is not enough memory, or they are more than the cache can remember.</exception>
    public override void FillForMeasurement(long tokens, RandomSource random)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(tokens, MaxPosition);
        Clear();
        Reserve(tokens + RoomToMeasure);
        Position = tokens;
        if (keys is null || tokens == 0)
        {
            return;
        }

        // Random rows for the first tile, copies of them for the others: content matters little to speed, and drawing it would take long.
        var drawn = new float[(long)batch * Device.AttentionTile * width];
        foreach (Tensor tensor in (ReadOnlySpan<Tensor>)[keys, values!])
        {
            random.FillGaussian(drawn);
            using Tensor tile = device.Of(drawn, new Shape(batch, Device.AttentionTile, width));
            for (int row = 0; row < tensor.Shape[1]; row += Device.AttentionTile)
            {
                Ops.CopyTokens(tile, 0, tensor, row, Math.Min(Device.AttentionTile, tensor.Shape[1] - row));
            }
        }
    }

    /// <summary>Frees the memory.</summary>
    public void Dispose()
    {
        keys?.Dispose();
        values?.Dispose();
    }

    private AttentionPast Current => recorded ? onTape : Length == 0 ? default : new AttentionPast(keys, values, (int)((Position - Length) % keys!.Shape[1]), Length);

    private static int Tiles(long tokens) => (int)((tokens + Device.AttentionTile - 1) / Device.AttentionTile * Device.AttentionTile);

    // The i-th remembered token's row, and how many follow it without a gap.
    private static (int Row, int Count) Piece(AttentionPast past, int i)
    {
        int rows = past.Keys!.Shape[1], row = (past.Start + i) % rows;
        return (row, Math.Min(past.Length - i, rows - row));
    }

    // What is remembered on a recording tape after new tokens: they alone where they fill the window, else behind what was remembered.
    private AttentionPast Joined(Tape tape, Tensor newKeys, Tensor newValues)
    {
        int tokens = newKeys.Shape[1], kept = window == 0 ? Length : Math.Min(Length, Math.Max(0, window - tokens));
        if (kept == 0)
        {
            int last = window == 0 ? tokens : Math.Min(tokens, window);
            return new AttentionPast(newKeys, newValues, tokens - last, last);
        }

        AttentionPast past = Current;
        return new AttentionPast(Join(past.Keys!, newKeys), Join(past.Values!, newValues), 0, kept + tokens);

        Tensor Join(Tensor from, Tensor added)
        {
            Tensor old = recorded ? from : Ops.Copy(from, tape);
            (int row, int count) = Piece(past, past.Length - kept);
            Tensor joined = count == old.Shape[1] ? old : Ops.Slice(old, 1, row, count);
            return Ops.Concat(count == kept ? joined : Ops.Concat(joined, Ops.Slice(old, 1, 0, kept - count), 1), added, 1);
        }
    }

    // Takes over what another memory remembers up to a position.
    private void CopyIn(AttentionPast past, long position)
    {
        (recorded, onTape, Position) = (false, default, 0);
        Reserve(position);
        for (int i = 0, count; i < past.Length; i += count)
        {
            (int row, count) = Piece(past, i);
            Write(past.Keys!, past.Values!, row, position - past.Length + i, count);
        }

        Position = position;
    }

    private void Write(Tensor fromKeys, Tensor fromValues, int row, long position, int tokens)
    {
        int rows = keys!.Shape[1];
        for (int i = 0, count; i < tokens; i += count)
        {
            int target = (int)((position + i) % rows);
            count = Math.Min(tokens - i, rows - target);
            Ops.CopyTokens(fromKeys, row + i, keys, target, count);
            Ops.CopyTokens(fromValues, row + i, values!, target, count);
        }
    }

    // Only a cache that has not wrapped is ever resized: what it remembers starts in row 0.
    private void Resize(int rows)
    {
        var shape = new Shape(batch, rows, width);
        Tensor largerKeys = device.Zeros(shape), largerValues = device.Zeros(shape);
        if (!recorded && Length > 0)
        {
            Ops.CopyTokens(keys!, 0, largerKeys, 0, Length);
            Ops.CopyTokens(values!, 0, largerValues, 0, Length);
        }

        Dispose();
        (keys, values) = (largerKeys, largerValues);
    }
}
