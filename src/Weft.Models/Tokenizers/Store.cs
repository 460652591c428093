using System.Runtime.CompilerServices;
using Weft.Tensors;

namespace Weft.Models.Tokenizers;

/// <summary>A growing array that is cleared and used again. Past its limit it refuses to grow: what fills it may be untrusted.</summary>
internal sealed class Store<T>(int capacity = 64)
    where T : unmanaged
{
    /// <summary>The most that any store holds unless told otherwise.</summary>
    public const int DefaultLimit = 1 << 29;

    private T[] items = new T[capacity];

    /// <summary>Most items it may hold.</summary>
    public int Limit { get; set; } = DefaultLimit;

    public int Count { get; private set; }

    public Span<T> Span => items.AsSpan(0, Count);

    public ref T this[int index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ref items[index];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(T item)
    {
        if (Count == items.Length)
        {
            Grow(Count + 1L);
        }
        items[Count++] = item;
    }

    public void Add(ReadOnlySpan<T> more)
    {
        if (Count + (long)more.Length > items.Length)
        {
            Grow(Count + (long)more.Length);
        }
        more.CopyTo(items.AsSpan(Count));
        Count += more.Length;
    }

    /// <summary>Makes the count what is asked for; items that this adds have any value.</summary>
    public void Resize(int count)
    {
        if (count > items.Length)
        {
            Grow(count);
        }
        Count = count;
    }

    public T Pop() => items[--Count];

    public void Clear() => Count = 0;

    private void Grow(long needed)
    {
        if (needed > Limit)
        {
            throw new InputException($"the tokenizer makes more than {Limit} items of this text; shorten the text, or look for a replacement in the tokenizer that grows it");
        }
        Array.Resize(ref items, (int)Math.Max(needed, Math.Min(2L * items.Length, Limit)));
    }
}
