namespace Weft.Tensors.Cpu;

/// <summary>
/// Up to 64 queries of one head in one tile, and the keys that they see. A query's row of products holds those with the columns, then - from
/// <see cref="SlashStart"/> on - those with the keys on the diagonals, in the order of positions; each part fills up whole vectors.
/// </summary>
internal readonly unsafe struct VerticalSlashTile
{
    private readonly AttentionView view;
    private readonly int batch, keyHead;
    private readonly int* columns;   // ascending
    private readonly int* distances; // of the diagonals, descending: their keys ascend
    private readonly int* runEnds;   // by diagonal: where the neighbours end that begin with it

    /// <param name="view">The operands.</param>
    /// <param name="pattern">The sizes.</param>
    /// <param name="batch">The sequence.</param>
    /// <param name="head">The head.</param>
    /// <param name="first">The first query's position.</param>
    /// <param name="choices">The sequence's choices [tiles,H,vertical + slash], from the tile in which the view's queries begin.</param>
    /// <param name="memory">Room for <see cref="Ints"/>.</param>
    public VerticalSlashTile(in AttentionView view, in VerticalSlash pattern, int batch, int head, long first, float* choices, int* memory)
    {
        (this.view, this.batch, keyHead, First) = (view, batch, head / view.Group, first);
        long tile = first / pattern.Tile, start = tile * pattern.Tile;
        Count = (int)(End(view, pattern, first) - first);
        Row = (int)(first - view.Position);
        (ColumnCount, DiagonalCount, SlashStart, Width) = (pattern.Columns(start), pattern.Diagonals(start), Up(pattern.Vertical), RowWidth(pattern));
        columns = memory;
        distances = columns + pattern.Vertical;
        runEnds = distances + pattern.Slash;

        // A choice may come from a saved state: whatever it holds, it stays within the tokens, in order.
        int last = (int)Math.Max(start - 1, Math.Max(pattern.Vertical, pattern.Slash) * (start == 0 ? 1L : 0L));
        float* choice = choices + (((tile - (view.Position / pattern.Tile)) * view.Heads) + head) * (pattern.Vertical + pattern.Slash);
        for (int i = 0; i < ColumnCount; i++)
        {
            columns[i] = Math.Clamp((int)choice[i], i == 0 ? 0 : columns[i - 1], last);
        }

        for (int i = DiagonalCount - 1; i >= 0; i--)
        {
            distances[i] = Math.Clamp((int)choice[pattern.Vertical + DiagonalCount - 1 - i], i + 1 == DiagonalCount ? 0 : distances[i + 1], last);
            runEnds[i] = i + 1 < DiagonalCount && distances[i + 1] == distances[i] - 1 ? runEnds[i + 1] : i + 1;
        }
    }

    /// <summary>The first query's position and row, and how many queries there are.</summary>
    public readonly long First;
    public readonly int Row, Count, ColumnCount, DiagonalCount, SlashStart, Width;

    /// <summary>The integers that a tile needs.</summary>
    public static nint Ints(in VerticalSlash pattern) => pattern.Vertical + (2 * pattern.Slash);

    /// <summary>The floats of a query's row.</summary>
    public static int RowWidth(in VerticalSlash pattern) => Up(pattern.Vertical) + Up(pattern.Slash);

    /// <summary>The most queries of a tile.</summary>
    public static int Most(in VerticalSlash pattern) => Math.Min(64, pattern.Tile);

    /// <summary>The end of the queries that one tile takes from a position on.</summary>
    public static long End(in AttentionView view, in VerticalSlash pattern, long first)
    {
        int most = Most(pattern);
        return Math.Min(view.End, ((first / most) + 1) * most);
    }

    /// <summary>Copies the columns' keys or values, [columns, dim].</summary>
    public void Gather(bool values, float* copy)
    {
        int dim = values ? view.ValueDim : view.HeadDim;
        for (int i = 0; i < ColumnCount && columns[i] < view.End; i++)
        {
            KeyRun run = view.Run(columns[i], columns[i] + 1);
            new ReadOnlySpan<float>(Rows(run, values), dim).CopyTo(new Span<float>(copy + (i * dim), dim));
        }
    }

    /// <summary>The columns that exist so far: in the first tile some may lie behind the sequence's end.</summary>
    public int Existing
    {
        get
        {
            int count = ColumnCount;
            while (count > 0 && columns[count - 1] >= view.End)
            {
                count--;
            }

            return count;
        }
    }

    /// <summary>
    /// s[query] = scale a[query] b^T over what the queries see, b the keys or the values, of which <paramref name="gathered"/> are the columns';
    /// <paramref name="turned"/> has room for those and for a run of diagonals. What a query does not see, or sees a second time, stays as it is.
    /// </summary>
    public void Products(float* a, nint stride, bool values, float* gathered, float* turned, float* s, float scale)
    {
        int dim = values ? view.ValueDim : view.HeadDim;
        SmallGemm.NT(Count, Existing, dim, a, stride, gathered, dim, s, Width, 0, turned, scale);
        for (int i = 0; i < Count; i++)
        {
            float* ai = a + (i * stride), si = s + (i * (nint)Width) + SlashStart;
            for (int end, at = FirstDiagonal(i); at < DiagonalCount; at = end)
            {
                end = runEnds[at];
                float* b = Run(i, at, values, turned, out nint bStride);
                for (int j = at; end - at < 3 && j < end; j++)
                {
                    si[j] = scale * Simd.Dot(dim, ai, b + ((j - at) * bStride));
                }

                if (end - at >= 3)
                {
                    SmallGemm.Dots(1, end - at, dim, ai, stride, b, bStride, si + at, Width, 0, scale);
                }
            }
        }
    }

    /// <summary>Sets what a query does not see, or sees a second time, to -infinity.</summary>
    public void Mask(float* s)
    {
        for (int i = 0; i < Count; i++, s += Width)
        {
            long position = First + i;
            int seen = Existing, hidden = FirstDiagonal(i);
            while (seen > 0 && columns[seen - 1] > position)
            {
                seen--;
            }

            new Span<float>(s + seen, SlashStart - seen).Fill(float.NegativeInfinity);
            float* slash = s + SlashStart;
            new Span<float>(slash, hidden).Fill(float.NegativeInfinity);
            new Span<float>(slash + DiagonalCount, Width - SlashStart - DiagonalCount).Fill(float.NegativeInfinity);
            for (int at = hidden; at < DiagonalCount; at = runEnds[at])
            {
                long from = position - distances[at], to = from + runEnds[at] - at;
                int column = new ReadOnlySpan<int>(columns, seen).BinarySearch((int)from);
                for (column = column < 0 ? ~column : column; column < seen && columns[column] < to; column++)
                {
                    slash[at + (columns[column] - from)] = float.NegativeInfinity;
                }
            }
        }
    }

    /// <summary>The first diagonal on which a query has a key: the longer ones end before the sequence begins.</summary>
    public int FirstDiagonal(int query)
    {
        int at = 0;
        while (at < DiagonalCount && distances[at] > First + query)
        {
            at++;
        }

        return at;
    }

    /// <summary>The end of the neighbours that begin with a diagonal.</summary>
    public int RunEnd(int diagonal) => runEnds[diagonal];

    /// <summary>
    /// A query's keys or values on a diagonal and its neighbours, one after the other: where they lie, or, where they do not lie in one piece, in
    /// <paramref name="copy"/>, so that what is computed does not depend on it.
    /// </summary>
    public float* Run(int query, int diagonal, bool values, float* copy, out nint stride)
    {
        long key = First + query - distances[diagonal], end = key + runEnds[diagonal] - diagonal;
        KeyRun run = view.Run(key, end);
        if (run.Count == end - key)
        {
            stride = values ? view.ValueStride(run) : view.KeyStride(run);
            return Rows(run, values);
        }

        int dim = values ? view.ValueDim : view.HeadDim;
        for (long p = key; p < end; p++)
        {
            new ReadOnlySpan<float>(Rows(view.Run(p, p + 1), values), dim).CopyTo(new Span<float>(copy + ((p - key) * dim), dim));
        }

        stride = dim;
        return copy;
    }

    /// <summary>Where the gradient of a query's key on a diagonal goes, for the head's first column; null where none is wanted.</summary>
    public float* Target(int query, int diagonal, TokenRows own, TokenRows past, int dim)
    {
        long key = First + query - distances[diagonal];
        KeyRun run = view.Run(key, key + 1);
        TokenRows target = run.Past ? past : own;
        return target.IsNull ? null : target.At(batch, run.Row, keyHead * dim);
    }

    private float* Rows(KeyRun run, bool values) => values ? view.Values(run, batch, keyHead) : view.Keys(run, batch, keyHead);

    /// <summary>Adds rows [columns, dim] to those of a tensor of the sequence or of the past, where it is wanted.</summary>
    public void Scatter(float* rows, int dim, TokenRows own, TokenRows past)
    {
        int count = Existing;
        for (int i = 0; i < count; i++)
        {
            KeyRun run = view.Run(columns[i], columns[i] + 1);
            TokenRows target = run.Past ? past : own;
            if (!target.IsNull)
            {
                Simd.Add(dim, rows + (i * dim), target.At(batch, run.Row, keyHead * dim));
            }
        }
    }

    /// <summary>The products of these queries whose key lies in the past.</summary>
    public long PastPairs()
    {
        long pairs = 0;
        for (int i = 0; i < Count; i++)
        {
            for (int column = 0; column < ColumnCount && columns[column] < view.Position; column++)
            {
                pairs++;
            }

            for (int at = FirstDiagonal(i); at < DiagonalCount && First + i - distances[at] < view.Position; at++)
            {
                pairs++;
            }
        }

        return pairs;
    }

    private static int Up(int count) => (count + 15) / 16 * 16;
}
