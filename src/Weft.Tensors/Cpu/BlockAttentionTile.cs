namespace Weft.Tensors.Cpu;

/// <summary>
/// The queries of one head in some neighbouring blocks, and the blocks of keys that they see, each with those of the queries that see it:
/// products of their rows with a whole block then serve choices that differ from query to query.
/// </summary>
internal unsafe struct BlockAttentionTile
{
    private readonly AttentionView view;
    private readonly BlockSparsity sparsity;
    private readonly int* ends;   // by block: where its queries end in rows; they begin where those of the block before end
    private readonly int* rows;   // queries by the blocks they see, counted from the tile's first
    private readonly int* blocks; // those of one query

    /// <param name="view">The operands.</param>
    /// <param name="sparsity">Who sees what.</param>
    /// <param name="number">The tile's number: <see cref="Span"/> positions each.</param>
    /// <param name="memory">Room for <see cref="Ints"/>.</param>
    public BlockAttentionTile(in AttentionView view, in BlockSparsity sparsity, long number, int* memory)
    {
        (this.view, this.sparsity) = (view, sparsity);
        int span = Span(sparsity);
        First = Math.Max(view.Position, number * span);
        Count = (int)(Math.Min(view.End, (number + 1) * span) - First);
        Row = (int)(First - view.Position);
        Chosen = memory;
        rows = memory + (span * sparsity.Chosen);
        blocks = rows + (span * sparsity.Budget);
        ends = blocks + sparsity.Budget;
    }

    /// <summary>The first query's position and row, and how many queries there are.</summary>
    public readonly long First;
    public readonly int Row, Count;

    /// <summary>The blocks that each query chose, in their order: [Count, chosen]. To be filled before <see cref="Sort"/>, where there is a choice.</summary>
    public readonly int* Chosen;

    /// <summary>The last block.</summary>
    public readonly long LastBlock => Own(Count - 1);

    /// <summary>The positions of a tile: enough that a chosen block serves a few dozen queries.</summary>
    public static int Span(in BlockSparsity sparsity) => sparsity.Block * Math.Max(1, 256 / sparsity.Block);

    /// <summary>The integers that tiles need in a sequence of so many tokens, the past included.</summary>
    public static nint Ints(in BlockSparsity sparsity, long tokens) =>
        ((nint)Span(sparsity) * (sparsity.Chosen + sparsity.Budget)) + sparsity.Budget + (nint)(tokens / sparsity.Block) + 2;

    /// <summary>A query's block.</summary>
    public readonly long Own(int query) => (First + query) / sparsity.Block;

    /// <summary>Finds the queries of each block.</summary>
    public readonly void Sort()
    {
        int count = (int)LastBlock + 1;
        new Span<int>(ends, count + 1).Clear();
        for (int query = 0; query < Count; query++)
        {
            int seen = Blocks(query);
            for (int i = 0; i < seen; i++)
            {
                ends[blocks[i] + 1]++;
            }
        }

        for (int i = 1; i <= count; i++)
        {
            ends[i] += ends[i - 1]; // for now: where the block's queries begin
        }

        for (int query = 0; query < Count; query++)
        {
            int seen = Blocks(query);
            for (int i = 0; i < seen; i++)
            {
                rows[ends[blocks[i]]++] = query;
            }
        }
    }

    // The blocks that a query sees; returns their number.
    private readonly int Blocks(int query)
    {
        int own = (int)Own(query), count = Math.Min(own + 1, sparsity.Budget), chosen = sparsity.Chosen;
        for (int i = 0; i < count; i++)
        {
            blocks[i] = own < sparsity.Budget || i < sparsity.Sinks ? i
                : i < sparsity.Sinks + chosen ? Chosen[(query * chosen) + i - sparsity.Sinks] : own + 1 - (count - i);
        }

        return count;
    }

    /// <summary>The queries that see a block, counted from the tile's first, and their number.</summary>
    public readonly int* Queries(long block, out int count)
    {
        int start = block == 0 ? 0 : ends[block - 1];
        count = ends[block] - start;
        return rows + start;
    }

    /// <summary>How many keys of a block a query sees, of those that see it.</summary>
    public readonly int Seen(long block, int query) => (int)Math.Min(sparsity.Block, First + query + 1 - (block * sparsity.Block));

    /// <summary>The keys that a block has so far.</summary>
    public readonly int Keys(long block) => (int)(Math.Min(view.End, (block + 1) * sparsity.Block) - (block * sparsity.Block));

    /// <summary>Copies a block's keys or values: [keys, dim].</summary>
    public readonly void Copy(long block, int batch, int keyHead, bool values, float* copy)
    {
        int dim = values ? view.ValueDim : view.HeadDim;
        for (long start = block * sparsity.Block, k = start, end = start + Keys(block); k < end;)
        {
            KeyRun run = view.Run(k, end);
            float* from = values ? view.Values(run, batch, keyHead) : view.Keys(run, batch, keyHead);
            Simd.Copy(run.Count, dim, from, values ? view.ValueStride(run) : view.KeyStride(run), copy + ((nint)(k - start) * dim), dim);
            k += run.Count;
        }
    }

    /// <summary>Copies the rows of some queries, one after the other.</summary>
    public static void Gather(float* x, nint stride, int columns, int* queries, int count, float* copy)
    {
        for (int i = 0; i < count; i++)
        {
            new ReadOnlySpan<float>(x + (queries[i] * stride), columns).CopyTo(new Span<float>(copy + (i * columns), columns));
        }
    }

    /// <summary>
    /// s[query] = scale q k^T: all queries of a tile have the same bits, however many there are with them, so that a cut of the sequence between two
    /// blocks changes nothing. A few queries, less than a block, save turning the keys; <paramref name="turned"/> has room for them.
    /// </summary>
    public readonly void Scores(int count, int keys, int dim, float* q, float* k, float* s, nint sStride, float* turned, float scale)
    {
        if (Count < sparsity.Block && Count <= SmallGemm.DotRows)
        {
            SmallGemm.Dots(count, keys, dim, q, dim, k, dim, s, sStride, 0, scale);
            return;
        }

        SmallGemm.Transpose(keys, dim, k, dim, turned, keys);
        SmallGemm.NN(count, keys, dim, q, dim, turned, keys, s, sStride, 0, scale);
    }
}
