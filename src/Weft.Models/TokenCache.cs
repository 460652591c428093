using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Attention's state: the keys and values of the tokens seen (and whatever else a token leaves), of all of them or - with a window - of the
/// last <c>window</c>. Each part lives in its own memory [B, capacity, width], appended to in place: growing geometrically, and for a window
/// at most to a ring a tile longer than it. While a tape records, it is instead the tape's tensors, so that gradients pass through it.
/// </summary>
public sealed class TokenCache : StateSlot, IDisposable
{
    /// <summary>The highest position a cache counts to: past every sequence, and short of what arithmetic on positions could overflow.</summary>
    public const long MaxPosition = 1L << 48;

    private const int RoomToMeasure = 4096;

    private readonly Device device;
    private readonly int batch, window, mostRows, span;
    private readonly bool learned;
    private readonly (string Name, int Width)[] parts;
    private readonly Tensor?[] memory; // of each part [B, rows, width]; the token at position p lies in row p mod rows
    private readonly Tensor?[] onTape; // of each part, where recorded
    private int startOnTape;
    private bool recorded; // what is remembered is onTape

    /// <summary>Makes an empty cache for keys and values of <paramref name="width"/> columns; <paramref name="window"/> 0 remembers every token.</summary>
    public TokenCache(Device device, string name, int batch, int width, int window = 0) : this(device, name, batch, [("keys", width), ("values", width)], window)
    {
    }

    /// <summary>
    /// Makes an empty cache for <paramref name="parts"/>: the keys, then - where there are any - the values and the log forget gates.
    /// Content that is not <paramref name="learned"/> (computed from what another slot remembers, by steps that gradients do not pass)
    /// is none of the state's <see cref="Tensors"/>. A row may stand for a <paramref name="span"/> of tokens, which then count as one here.
    /// </summary>
    public TokenCache(Device device, string name, int batch, IReadOnlyList<(string Name, int Width)> parts, int window = 0, bool learned = true, int span = 1) : base(name)
    {
        (this.device, this.batch, this.window, this.learned, this.span) = (device, batch, window, learned, span);
        this.parts = [.. parts];
        (memory, onTape) = (new Tensor?[parts.Count], new Tensor?[parts.Count]);

        // Tiles of keys start at multiples of the tile: a ring that is a multiple of it never wraps within one.
        mostRows = window == 0 ? int.MaxValue / Device.AttentionTile * Device.AttentionTile : Tiles(window);
    }

    /// <summary>The tokens of each sequence seen so far: the next one's position.</summary>
    public long Position { get; private set; }

    /// <summary>The tokens remembered: all, or the last <c>window</c>.</summary>
    public int Length => window == 0 ? (int)Position : (int)Math.Min(Position, window);

    /// <summary>What is remembered, without the room kept for more: B length 4 bytes for each column.</summary>
    public override long Bytes => (long)batch * Length * parts.Sum(p => (long)p.Width) * sizeof(float);

    /// <summary>The memory held, the room for more included.</summary>
    public long ReservedBytes => memory.Sum(m => m?.Bytes ?? 0);

    /// <summary>Makes room for <paramref name="tokens"/> tokens in all, so that appending up to then allocates nothing.</summary>
    /// <exception cref="InputException">There is not enough memory.</exception>
    public void Reserve(long tokens)
    {
        long need = window == 0 ? tokens : Math.Min(tokens, mostRows);
        if (need > mostRows)
        {
            throw new InputException($"a cache of {tokens} tokens is more than the {mostRows} that attention can remember; a window bounds it");
        }

        int have = memory[0]?.Shape[1] ?? 0;
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

    /// <summary>Remembers the parts [B,T,width] of the next T tokens, tensors of <paramref name="tape"/>.</summary>
    public void Append(Tape tape, params ReadOnlySpan<Tensor> added)
    {
        int tokens = added[0].Shape[1];
        if (Position > MaxPosition - tokens || (window == 0 && Position + tokens > mostRows))
        {
            throw new InputException($"a sequence of {Position} tokens cannot grow by {tokens}: it is longer than attention can remember; a window bounds it");
        }

        if (tape.Recording)
        {
            Join(tape, added);
            Position += tokens;
            return;
        }

        Detach();
        int kept = window == 0 ? tokens : Math.Min(tokens, window);
        Reserve(Position + tokens);
        for (int i = 0; i < parts.Length; i++)
        {
            Write(i, added[i], tokens - kept, Position + tokens - kept, kept);
        }

        Position += tokens;
    }

    /// <inheritdoc/>
    public override void Clear()
    {
        (recorded, Position) = (false, 0);
        Array.Clear(onTape);
    }

    /// <inheritdoc/>
    public override void Detach()
    {
        if (recorded)
        {
            CopyIn(onTape, startOnTape, Length, Position);
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<(string Name, Tensor Tensor)> Tensors
    {
        get
        {
            for (int i = 0; learned && i < parts.Length; i++)
            {
                if (Part(i) is { } tensor)
                {
                    yield return ($"{Name}.{parts[i].Name}", tensor);
                }
            }
        }
    }

    /// <inheritdoc/>
    public override void Follow(StateSlot source, Tape tape)
    {
        var other = (TokenCache)source;
        for (int i = 0; i < parts.Length; i++)
        {
            onTape[i] = other.Part(i) is { } tensor ? Ops.Copy(tensor, tape) : null;
        }

        (recorded, startOnTape, Position) = (true, other.Start, other.Position);
    }

    /// <inheritdoc/>
    public override void CopyTo(StateSlot other)
    {
        var target = (TokenCache)other;
        if (target.batch != batch || target.window != window || !target.parts.SequenceEqual(parts))
        {
            throw new ArgumentException("a cache copies only to one of the same batch, width and window", nameof(other));
        }

        target.CopyIn(recorded ? onTape : memory, Start, Length, Position);
    }

    /// <summary>The parts remembered, [B, length, width], the oldest token first, and the position.</summary>
    public override IEnumerable<(string Name, Shape Shape, float[] Values)> Save()
    {
        var saved = new List<(string Name, Shape Shape, float[] Values)>(TokenCounter.Save(Name + ".position", Position));
        for (int part = 0; part < parts.Length; part++)
        {
            saved.Add((PartName(part), new Shape(batch, Length, parts[part].Width), Ordered(Part(part))));
        }

        return saved;

        float[] Ordered(Tensor? from)
        {
            if (from is null)
            {
                return [];
            }

            using Tensor ordered = device.Zeros(from.Shape.With(1, Length));
            for (int i = 0, count; i < Length; i += count)
            {
                (int row, count) = Piece(from, Start, Length, i);
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
        var saved = new float[parts.Length][];
        for (int i = 0; i < parts.Length; i++)
        {
            (Shape found, saved[i]) = read(PartName(i));
            if (length > mostRows || found != new Shape(batch, (int)length, parts[i].Width))
            {
                throw Mismatch(PartName(i), found, $"[{batch}, {length}, {parts[i].Width}]");
            }
        }

        Clear();
        if (length > 0)
        {
            Tensor?[] ordered = [.. saved.Select((values, i) => device.Of(values, new Shape(batch, (int)length, parts[i].Width)))];
            CopyIn(ordered, 0, (int)length, position);
            Array.ForEach(ordered, t => t!.Dispose());
        }
    }

    /// <summary>Fills the cache as after <paramref name="tokens"/> tokens, with room for some thousands more: steps that are timed then do not grow it.</summary>
    /// <exception cref="InputException">There is not enough memory, or they are more than the cache can remember.</exception>
    public override void FillForMeasurement(long tokens, RandomSource random)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(tokens, MaxPosition);
        Clear();
        long rows = tokens / span;
        Reserve(rows + RoomToMeasure);
        Position = rows;
        if (rows == 0)
        {
            return;
        }

        // Random rows for the first tile, copies of them for the others: content matters little to speed, and drawing it would take long.
        foreach (Tensor? tensor in memory)
        {
            Shape shape = tensor!.Shape.With(1, Device.AttentionTile);
            var drawn = new float[shape.Count];
            random.FillGaussian(drawn);
            using Tensor tile = device.Of(drawn, shape);
            for (int row = 0; row < tensor.Shape[1]; row += Device.AttentionTile)
            {
                Ops.CopyTokens(tile, 0, tensor, row, Math.Min(Device.AttentionTile, tensor.Shape[1] - row));
            }
        }
    }

    /// <summary>Frees the memory.</summary>
    public void Dispose()
    {
        foreach (Tensor? tensor in memory)
        {
            tensor?.Dispose();
        }
    }

    private int Start => recorded ? startOnTape : Length == 0 ? 0 : (int)((Position - Length) % memory[0]!.Shape[1]);

    private AttentionPast Current => Length == 0 ? default : new AttentionPast(Part(0), Part(1), Start, Length, Part(2));

    private Tensor? Part(int i) => i >= parts.Length || Length == 0 ? null : recorded ? onTape[i] : memory[i];

    private string PartName(int i) => $"{Name}.{parts[i].Name}";

    private static int Tiles(long tokens) => (int)((tokens + Device.AttentionTile - 1) / Device.AttentionTile * Device.AttentionTile);

    // The i-th of the tokens remembered from a row on: its own row, and how many follow it without a gap.
    private static (int Row, int Count) Piece(Tensor from, int start, int length, int i)
    {
        int rows = from.Shape[1], row = (start + i) % rows;
        return (row, Math.Min(length - i, rows - row));
    }

    // Remembers new tokens on a recording tape: they alone where they fill the window, else behind what was remembered.
    private void Join(Tape tape, ReadOnlySpan<Tensor> added)
    {
        int tokens = added[0].Shape[1], start = Start, length = Length;
        int kept = window == 0 ? length : Math.Min(length, Math.Max(0, window - tokens));
        for (int i = 0; i < parts.Length; i++)
        {
            onTape[i] = kept == 0 ? added[i] : Behind(Part(i)!, added[i]);
        }

        startOnTape = kept > 0 || window == 0 ? 0 : Math.Max(0, tokens - window);
        recorded = true;

        Tensor Behind(Tensor from, Tensor next)
        {
            Tensor old = recorded ? from : Ops.Copy(from, tape);
            (int row, int count) = Piece(from, start, length, length - kept);
            Tensor joined = count == old.Shape[1] ? old : Ops.Slice(old, 1, row, count);
            return Ops.Concat(count == kept ? joined : Ops.Concat(joined, Ops.Slice(old, 1, 0, kept - count), 1), next, 1);
        }
    }

    // Takes over what another memory remembers up to a position.
    private void CopyIn(Tensor?[] from, int start, int length, long position)
    {
        (recorded, Position) = (false, 0);
        Reserve(position);
        for (int part = 0; part < parts.Length; part++)
        {
            for (int i = 0, count; i < length; i += count)
            {
                (int row, count) = Piece(from[part]!, start, length, i);
                Write(part, from[part]!, row, position - length + i, count);
            }
        }

        Array.Clear(onTape);
        Position = position;
    }

    private void Write(int part, Tensor from, int row, long position, int tokens)
    {
        Tensor target = memory[part]!;
        int rows = target.Shape[1];
        for (int i = 0, count; i < tokens; i += count)
        {
            int to = (int)((position + i) % rows);
            count = Math.Min(tokens - i, rows - to);
            Ops.CopyTokens(from, row + i, target, to, count);
        }
    }

    // Only a cache that has not wrapped is ever resized: what it remembers starts in row 0.
    private void Resize(int rows)
    {
        for (int i = 0; i < parts.Length; i++)
        {
            Tensor larger = device.Zeros(new Shape(batch, rows, parts[i].Width),
                new MemoryUse($"the state '{PartName(i)}' of {batch} sequences of {(long)rows * span} tokens", "a smaller batch, a shorter sequence or a window"));
            if (!recorded && Length > 0)
            {
                Ops.CopyTokens(memory[i]!, 0, larger, 0, Length);
            }

            memory[i]?.Dispose();
            memory[i] = larger;
        }
    }
}
