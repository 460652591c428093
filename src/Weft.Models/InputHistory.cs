using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The state of a long convolution: its inputs, all of them or at most the last <c>window</c>. It lives in its own memory [B,rows,width],
/// appended to in place, which grows geometrically up to a ring of the window's length. While a tape records, it is instead the tape's
/// tensor, so that gradients pass through it.
/// </summary>
public sealed class InputHistory : StateSlot, IDisposable
{
    private const int FirstRows = 64;

    private readonly Device device;
    private readonly int batch, width, window;
    private Tensor? home; // the input of position p lies in row p mod rows
    private LongConvPast onTape;
    private bool recorded; // what is remembered is onTape

    /// <summary>Makes an empty history of rows of <paramref name="width"/> values that remembers at most <paramref name="window"/> of them.</summary>
    public InputHistory(Device device, string name, int batch, int width, int window) : base(name) =>
        (this.device, this.batch, this.width, this.window) = (device, batch, width, window);

    /// <summary>The tokens of each sequence seen so far: the next one's position.</summary>
    public long Position { get; private set; }

    /// <summary>The inputs remembered of each sequence.</summary>
    public int Length => (int)Math.Min(Position, window);

    /// <summary>What is remembered, without the room kept for more: B length width 4 bytes.</summary>
    public override long Bytes => (long)batch * Length * width * sizeof(float);

    /// <inheritdoc/>
    public override IEnumerable<(string Name, Tensor Tensor)> Tensors => Current.Values is { } values ? [(Name + ".inputs", values)] : [];

    private LongConvPast Current => recorded ? onTape
        : Length == 0 ? new LongConvPast(null, 0, 0, Position)
        : new LongConvPast(home, (int)((Position - Length) % home!.Shape[1]), Length, Position);

    /// <summary>The inputs before the tokens that come next; the same call for a tape that records and one that does not.</summary>
    public LongConvPast Before(Tape tape)
    {
        if (!tape.Recording)
        {
            Detach();
        }

        return Current;
    }

    /// <summary>Remembers the inputs [B,T,width] of the next T tokens, a tensor of <paramref name="tape"/>.</summary>
    public void Append(Tape tape, Tensor inputs)
    {
        int tokens = inputs.Shape[1], kept = Math.Min(tokens, window);
        if (Position > TokenCache.MaxPosition - tokens)
        {
            throw new InputException($"a sequence of {Position} tokens cannot grow by {tokens}");
        }

        if (tape.Recording)
        {
            onTape = Joined(tape, inputs);
            (recorded, Position) = (true, Position + tokens);
            return;
        }

        Detach();
        Reserve(Position + tokens);
        Write(inputs, tokens - kept, Position + tokens - kept, kept);
        Position += tokens;
    }

    /// <inheritdoc/>
    public override void Clear() => (recorded, onTape, Position) = (false, default, 0);

    /// <inheritdoc/>
    public override void Detach()
    {
        if (recorded)
        {
            CopyIn(onTape);
        }
    }

    /// <inheritdoc/>
    public override void Follow(StateSlot source, Tape tape)
    {
        var other = (InputHistory)source;
        LongConvPast past = other.Current;
        onTape = past.Length == 0 ? past : past with { Values = Ops.Copy(past.Values!, tape) };
        (recorded, Position) = (true, other.Position);
    }

    /// <inheritdoc/>
    public override void CopyTo(StateSlot other)
    {
        var target = (InputHistory)other;
        if (target.batch != batch || target.width != width || target.window != window)
        {
            throw new ArgumentException("a history copies only to one of the same batch, width and window", nameof(other));
        }

        target.CopyIn(Current);
    }

    /// <summary>The inputs remembered, [B, length, width], the oldest first, and the position.</summary>
    public override IEnumerable<(string Name, Shape Shape, float[] Values)> Save()
    {
        var shape = new Shape(batch, Length, width);
        float[] values = [];
        if (Length > 0)
        {
            using Tensor ordered = device.Zeros(shape);
            Ordered(Current, ordered, 0);
            values = ordered.ToArray();
        }

        return [.. TokenCounter.Save(Name + ".position", Position), (Name + ".inputs", shape, values)];
    }

    /// <inheritdoc/>
    public override void Restore(Func<string, (Shape Shape, float[] Values)> read)
    {
        long position = TokenCounter.Read(Name + ".position", read);
        int length = (int)Math.Min(position, window);
        (Shape found, float[] values) = read(Name + ".inputs");
        if (found != new Shape(batch, length, width))
        {
            throw Mismatch(Name + ".inputs", found, $"[{batch}, {length}, {width}]");
        }

        Clear();
        if (length > 0)
        {
            using Tensor ordered = device.Of(values, found);
            CopyIn(new LongConvPast(ordered, 0, length, position));
        }
    }

    /// <inheritdoc/>
    public override void FillForMeasurement(long tokens, RandomSource random)
    {
        Clear();
        Reserve(tokens + 4096);
        Position = tokens;

        // Random rows at first, copies of them for the others: drawing all would take long, and content does not matter to speed.
        int drawn = Math.Min(FirstRows, home!.Shape[1]);
        var values = new float[(long)batch * drawn * width];
        random.FillGaussian(values);
        using Tensor rows = device.Of(values, new Shape(batch, drawn, width));
        for (int row = 0; row < home.Shape[1]; row += drawn)
        {
            Ops.CopyTokens(rows, 0, home, row, Math.Min(drawn, home.Shape[1] - row));
        }
    }

    /// <summary>Frees the memory.</summary>
    public void Dispose() => home?.Dispose();

    // What is remembered on a recording tape after new inputs: they alone where they fill the window, else behind what was remembered.
    private LongConvPast Joined(Tape tape, Tensor inputs)
    {
        int tokens = inputs.Shape[1], kept = Math.Min(Length, Math.Max(0, window - tokens));
        if (kept == 0)
        {
            int last = Math.Min(tokens, window);
            return new LongConvPast(inputs, tokens - last, last, Position + tokens);
        }

        LongConvPast past = Current;
        Tensor old = recorded ? past.Values! : Ops.Copy(past.Values!, tape);
        (int row, int count) = Piece(past, past.Length - kept);
        Tensor joined = count == old.Shape[1] ? old : Ops.Slice(old, 1, row, count);
        joined = count == kept ? joined : Ops.Concat(joined, Ops.Slice(old, 1, 0, kept - count), 1);
        return new LongConvPast(Ops.Concat(joined, inputs, 1), 0, kept + tokens, Position + tokens);
    }

    private void CopyIn(LongConvPast past)
    {
        (recorded, onTape, Position) = (false, default, 0);
        Reserve(past.Position);
        for (int i = 0, count; i < past.Length; i += count)
        {
            (int row, count) = Piece(past, i);
            Write(past.Values!, row, past.Position - past.Length + i, count);
        }

        Position = past.Position;
    }

    private void Reserve(long tokens)
    {
        int need = (int)Math.Min(tokens, window), have = home?.Shape[1] ?? 0;
        if (need <= have)
        {
            return;
        }

        // Only a history that has not wrapped is ever resized: what it remembers starts in row 0.
        int rows = (int)Math.Min(window, Math.Max(Math.Max(need, FirstRows), 2L * have));
        Tensor larger = device.Zeros(new Shape(batch, rows, width),
            new MemoryUse($"the state '{Name}' of {batch} sequences of {rows} tokens", "a smaller batch or a shorter sequence"));
        if (!recorded && Length > 0)
        {
            Ops.CopyTokens(home!, 0, larger, 0, Length);
        }

        home?.Dispose();
        home = larger;
    }

    // Writes inputs from a row on to where those of a position belong.
    private void Write(Tensor from, int row, long position, int tokens)
    {
        int rows = home!.Shape[1];
        for (int i = 0, count; i < tokens; i += count)
        {
            int target = (int)((position + i) % rows);
            count = Math.Min(tokens - i, rows - target);
            Ops.CopyTokens(from, row + i, home, target, count);
        }
    }

    private static void Ordered(LongConvPast past, Tensor to, int start)
    {
        for (int i = 0, count; i < past.Length; i += count)
        {
            (int row, count) = Piece(past, i);
            Ops.CopyTokens(past.Values!, row, to, start + i, count);
        }
    }

    // The i-th remembered input's row, and how many follow it without a gap.
    private static (int Row, int Count) Piece(LongConvPast past, int i)
    {
        int rows = past.Values!.Shape[1], row = (past.Start + i) % rows;
        return (row, Math.Min(past.Length - i, rows - row));
    }
}
