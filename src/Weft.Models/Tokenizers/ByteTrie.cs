using System.Numerics;
using Weft.Tensors;

namespace Weft.Models.Tokenizers;

/// <summary>Byte strings by their prefixes. Nodes are numbers, edges one hash table; a key's value is that of its last node.</summary>
internal sealed class ByteTrie
{
    /// <summary>Longest key: what bounds a search at one position.</summary>
    public const int MaxKey = 1024;

    private const int MaxNodes = 1 << 24;

    private readonly Store<int> values = new();
    private (ulong Edge, int Child)[] slots = new (ulong, int)[64];

    public ByteTrie() => values.Add(-1);

    /// <summary>The node of the empty prefix.</summary>
    public const int Root = 0;

    /// <summary>The value of a node; -1 where no key ends.</summary>
    public int Value(int node) => values[node];

    /// <summary>The node a byte further; -1 where there is none.</summary>
    public int Child(int node, byte next)
    {
        (ulong _, int child) = slots[Slot(Edge(node, next))];
        return child == 0 ? -1 : child;
    }

    /// <summary>Sets a key's value. The key is not empty and not longer than <see cref="MaxKey"/>.</summary>
    public void Set(ReadOnlySpan<byte> key, int value)
    {
        int node = Root;
        foreach (byte b in key)
        {
            int slot = Slot(Edge(node, b));
            if (slots[slot].Child == 0)
            {
                if (values.Count == MaxNodes)
                {
                    throw new InputException($"the tokens have more than {MaxNodes} different prefixes; no tokenizer of this kind is so large");
                }
                slots[slot] = (Edge(node, b), values.Count);
                values.Add(-1);
                if (values.Count * 2 > slots.Length)
                {
                    Rehash();
                    slot = Slot(Edge(node, b));
                }
            }
            node = slots[slot].Child;
        }
        values[node] = value;
    }

    // A slot whose child is the root is free: no edge leads there.
    private static ulong Edge(int node, byte next) => ((ulong)(uint)node << 8) | next;

    private int Slot(ulong edge)
    {
        int mask = slots.Length - 1, slot = (int)ByteHash.OfPair(edge) & mask;
        while (slots[slot].Child != 0 && slots[slot].Edge != edge)
        {
            slot = (slot + 1) & mask;
        }
        return slot;
    }

    private void Rehash()
    {
        (ulong Edge, int Child)[] before = slots;
        slots = new (ulong, int)[BitOperations.RoundUpToPowerOf2((uint)before.Length * 4)];
        foreach ((ulong edge, int child) in before)
        {
            if (child != 0)
            {
                slots[Slot(edge)] = (edge, child);
            }
        }
    }
}
