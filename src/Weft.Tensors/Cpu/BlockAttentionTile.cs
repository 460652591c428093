namespace Weft.Tensors.Cpu;

/// <summary>
/// The queries of one head that lie in one block, and the blocks of keys that they see, each with those of the queries that see it:
/// products of their rows with a whole block then serve choices that differ from query to query.
/// </summary>
internal unsafe struct BlockAttentionTile
{
    private readonly AttentionView view;
    private readonly BlockSparsity sparsity;
    private readonly int* ends;  // by block: where its queries end in rows; they begin where those of the block before end
    private readonly int* rows;  // queries by the blocks they chose, counted from the tile's first

    /// <param name="view">The operands.</param>
    /// <param name="sparsity">Who sees what.</param>
    /// <param name="own">The tile's block.</param>
    /// <param name="memory">Room for <see cref="Ints"/>.</param>
    public BlockAttentionTile(in AttentionView view, in BlockSparsity sparsity, long own, int* memory)
    {
        (this.view, this.sparsity, Own) = (view, sparsity, own);
        First = Math.Max(view.Position, own * sparsity.Block);
        Count = (int)(Math.Min(view.End, (own + 1) * sparsity.Block) - First);
        Row = (int)(First - view.Position);
        Chosen = memory;
        rows = memory + (sparsity.Block * sparsity.Chosen);
        ends = rows + (sparsity.Block * sparsity.Chosen);
    }

    /// <summary>The tile's block, its first query's position and row, and how many queries it has.</summary>
    public readonly long Own, First;
    public readonly int Row, Count;

    /// <summary>The blocks that each query chose, in their order: [Count, chosen]. To be filled before <see cref="Sort"/>, where there is a choice.</summary>
    public readonly int* Chosen;

    /// <summary>Whether some blocks are seen by some queries only.</summary>
    public readonly bool HasChoice => Own >= sparsity.Budget;

    /// <summary>The integers that tiles need in a sequence of so many tokens, the past included.</summary>
    public static nint Ints(in BlockSparsity sparsity, long tokens) => (2 * (nint)sparsity.Block * sparsity.Chosen) + (nint)(tokens / sparsity.Block) + 2;

    /// <summary>Finds the queries of each block.</summary>
    public readonly void Sort()
    {
        if (!HasChoice)
        {
            return;
        }

        int total = Count * sparsity.Chosen, blocks = (int)Own + 1;
        new Span<int>(ends, blocks + 1).Clear();
        for (int i = 0; i < total; i++)
        {
            ends[Chosen[i] + 1]++;
        }

        for (int i = 1; i <= blocks; i++)
        {
            ends[i] += ends[i - 1]; // for now: where the block's queries begin
        }

        for (int i = 0; i < total; i++)
        {
            rows[ends[Chosen[i]]++] = i / sparsity.Chosen;
        }
    }

    /// <summary>The queries that see a block, counted from the tile's first: their number, and which they are, or null for all.</summary>
    public readonly int* Queries(long block, out int count)
    {
        if (!HasChoice || block < sparsity.Sinks || block > Own - sparsity.Local)
        {
            count = Count;
            return null;
        }

        int start = block == 0 ? 0 : ends[block - 1];
        count = ends[block] - start;
        return rows + start;
    }

    /// <summary>How many keys of a block a query sees.</summary>
    public readonly int Seen(long block, int query) => block < Own ? sparsity.Block : (int)(First + query + 1 - (Own * sparsity.Block));

    /// <summary>The end of a block's keys.</summary>
    public readonly long End(long block) => Math.Min(view.End, (block + 1) * sparsity.Block);

    /// <summary>The rows of the queries that see a block, one after the other: where they lie when all do, else copies.</summary>
    public static float* Gather(float* x, ref nint stride, int columns, int* queries, int count, float* copy)
    {
        if (queries is null)
        {
            return x;
        }

        for (int i = 0; i < count; i++)
        {
            new ReadOnlySpan<float>(x + (queries[i] * stride), columns).CopyTo(new Span<float>(copy + (i * columns), columns));
        }

        stride = columns;
        return copy;
    }
}
