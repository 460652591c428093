using System.Buffers.Binary;

namespace Weft.Models.Tokenizers;

/// <summary>Hashes of byte strings and of pairs of ids. Seeded for the process, so that nobody can choose keys that collide; results never show the seed.</summary>
internal static class ByteHash
{
    private const ulong K1 = 0xA0761D6478BD642F, K2 = 0xE7037ED1A0B428DB;

    private static readonly ulong Seed = (ulong)Random.Shared.NextInt64() ^ K1;

    private static readonly ulong PairSeed = (ulong)Random.Shared.NextInt64() | 1;

    public static ulong Of(ReadOnlySpan<byte> key)
    {
        ulong h = Seed ^ ((ulong)key.Length * K2);
        while (key.Length >= 8)
        {
            h = Mix(h ^ BinaryPrimitives.ReadUInt64LittleEndian(key), K1);
            key = key[8..];
        }
        if (key.Length >= 4)
        {
            ulong tail = BinaryPrimitives.ReadUInt32LittleEndian(key);
            h ^= (tail << 32) | BinaryPrimitives.ReadUInt32LittleEndian(key[^4..]);
        }
        else if (key.Length > 0)
        {
            h ^= ((ulong)key[0] << 16) | ((ulong)key[key.Length >> 1] << 8) | key[^1];
        }
        return Mix(h, K2);
    }

    public static ulong OfPair(ulong pair) => Mix(pair ^ PairSeed, K2);

    private static ulong Mix(ulong a, ulong b)
    {
        ulong high = Math.BigMul(a, b, out ulong low);
        return high ^ low;
    }
}

/// <summary>A map from byte strings to numbers: the strings lie in one array, the table is open addressing.</summary>
internal sealed class ByteTable
{
    private readonly Store<byte> text = new();
    private readonly Store<Entry> entries = new();
    private int[] slots = new int[16];

    private record struct Entry(int Start, int Length, int Value);

    /// <summary>The number of different keys.</summary>
    public int Count => entries.Count;

    /// <summary>The key of an entry; entries are numbered in the order in which their keys first came.</summary>
    public ReadOnlySpan<byte> Key(int entry) => text.Span.Slice(entries[entry].Start, entries[entry].Length);

    /// <summary>The value of an entry.</summary>
    public int Value(int entry) => entries[entry].Value;

    public bool TryGet(ReadOnlySpan<byte> key, out int value)
    {
        int entry = slots[Slot(key)];
        value = entry == 0 ? -1 : entries[entry - 1].Value;
        return entry != 0;
    }

    /// <summary>Sets a key's value, whether or not it has one; returns its entry.</summary>
    public int Set(ReadOnlySpan<byte> key, int value)
    {
        int slot = Slot(key);
        if (slots[slot] != 0)
        {
            entries[slots[slot] - 1].Value = value;
            return slots[slot] - 1;
        }
        entries.Add(new Entry(text.Count, key.Length, value));
        text.Add(key);
        slots[slot] = entries.Count;
        if (entries.Count * 2 > slots.Length)
        {
            slots = new int[slots.Length * 4];
            for (int entry = 0; entry < entries.Count; entry++)
            {
                slots[Slot(Key(entry))] = entry + 1;
            }
        }
        return entries.Count - 1;
    }

    // The slot that holds the key, or the free one where it belongs.
    private int Slot(ReadOnlySpan<byte> key)
    {
        int mask = slots.Length - 1, slot = (int)ByteHash.Of(key) & mask;
        while (slots[slot] != 0 && !Key(slots[slot] - 1).SequenceEqual(key))
        {
            slot = (slot + 1) & mask;
        }
        return slot;
    }
}

/// <summary>A map from pairs of ids to what they merge into: the merge's rank in the high half, the merged id in the low one.</summary>
internal sealed class PairTable(int count)
{
    /// <summary>What a pair that does not merge has: more than every rank.</summary>
    public const long None = long.MaxValue;

    private readonly (ulong Pair, long Value)[] slots = Empty(count);

    /// <summary>The rank of a value, which orders merges.</summary>
    public static int Rank(long value) => (int)(value >> 32);

    /// <summary>The merged id of a value.</summary>
    public static int Id(long value) => (int)value;

    public long this[int left, int right]
    {
        get
        {
            (ulong _, long value) = slots[Slot(Pair(left, right))];
            return value;
        }
    }

    public void Set(int left, int right, int rank, int id) => slots[Slot(Pair(left, right))] = (Pair(left, right), ((long)rank << 32) | (uint)id);

    private static ulong Pair(int left, int right) => ((ulong)(uint)left << 32) | (uint)right;

    private int Slot(ulong pair)
    {
        int mask = slots.Length - 1, slot = (int)ByteHash.OfPair(pair) & mask;
        while (slots[slot].Pair != pair && slots[slot].Value != None)
        {
            slot = (slot + 1) & mask;
        }
        return slot;
    }

    private static (ulong Pair, long Value)[] Empty(int count)
    {
        var slots = new (ulong, long)[(int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(16, 2 * count))];
        Array.Fill(slots, (0UL, None));
        return slots;
    }
}
