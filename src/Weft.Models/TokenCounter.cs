using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// The number of tokens seen, for mixers whose parameters or rotations depend on the position. It is the same for all sequences of a
/// batch, and not counted among a state's bytes, as a cache's position is not.
/// </summary>
public sealed class TokenCounter(string name) : StateSlot(name)
{
    private const int Words = 4; // a position is saved as four numbers of 16 bits, which float32 holds exactly

    /// <summary>The tokens of each sequence seen so far: the next one's position.</summary>
    public long Position { get; private set; }

    /// <summary>Counts the next tokens.</summary>
    public void Advance(int tokens) => Position += tokens;

    /// <inheritdoc/>
    public override long Bytes => 0;

    /// <inheritdoc/>
    public override void Clear() => Position = 0;

    /// <inheritdoc/>
    public override void CopyTo(StateSlot other) => ((TokenCounter)other).Position = Position;

    /// <inheritdoc/>
    public override IEnumerable<(string Name, Tensor Tensor)> Tensors => [];

    /// <inheritdoc/>
    public override void Follow(StateSlot source, Tape tape) => source.CopyTo(this);

    /// <inheritdoc/>
    public override void FillForMeasurement(long tokens, RandomSource random) => Position = tokens;

    /// <inheritdoc/>
    public override void Detach()
    {
    }

    /// <inheritdoc/>
    public override IEnumerable<(string Name, Shape Shape, float[] Values)> Save() => Save(Name, Position);

    /// <inheritdoc/>
    public override void Restore(Func<string, (Shape Shape, float[] Values)> read) => Position = Read(Name, read);

    /// <summary>A position as a saved array: four numbers of 16 bits, the lowest first.</summary>
    internal static IEnumerable<(string Name, Shape Shape, float[] Values)> Save(string name, long position)
    {
        var words = new float[Words];
        for (int i = 0; i < Words; i++)
        {
            words[i] = (position >> (16 * i)) & 0xFFFF;
        }

        return [(name, new Shape(Words), words)];
    }

    /// <summary>A saved position, by its name.</summary>
    /// <exception cref="InputException">It is missing, or no position.</exception>
    internal static long Read(string name, Func<string, (Shape Shape, float[] Values)> read)
    {
        (Shape shape, float[] words) = read(name);
        if (shape != new Shape(Words))
        {
            throw Mismatch(name, shape, new Shape(Words).ToString());
        }

        long position = 0;
        for (int i = Words - 1; i >= 0; i--)
        {
            position = words[i] is >= 0 and <= 0xFFFF && words[i] == MathF.Floor(words[i]) ? (position << 16) | (long)words[i] : -1;
            if (position < 0 || position > TokenCache.MaxPosition)
            {
                throw new InputException($"the saved state's '{name}' holds no position: the file is damaged");
            }
        }

        return position;
    }
}
