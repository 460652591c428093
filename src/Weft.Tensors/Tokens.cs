namespace Weft.Tensors;

/// <summary>A batch of token numbers [batch, time] on a tape; a negative number means "none" (an ignored target).</summary>
public sealed class Tokens
{
    internal Tokens() { }

    /// <summary>The tape that lends the memory.</summary>
    public Tape Tape { get; private set; } = null!;

    /// <summary>The number of sequences.</summary>
    public int Batch { get; private set; }

    /// <summary>The tokens of each sequence.</summary>
    public int Time { get; private set; }

    /// <summary>All tokens: <see cref="Batch"/> x <see cref="Time"/>.</summary>
    public int Count => Batch * Time;

    /// <summary>How many are not negative, counted when they were set; all of those that a kernel writes.</summary>
    public int Given { get; internal set; }

    internal nint Address { get; private set; }

    internal unsafe int* Pointer => (int*)Address;

    internal void Bind(Tape tape, int batch, int time, nint address) => (Tape, Batch, Time, Given, Address) = (tape, batch, time, batch * time, address);
}
