using System.Numerics;

namespace Weft.Tensors.Cpu;

/// <summary>
/// Queries of one head for which the same choice holds, and the keys that they see. They are taken in parts of up to 64, whose matrix of products
/// holds in a query's row those with the columns, then - from <see cref="SlashStart"/> on - those with the keys on the diagonals, in the
/// order of positions; each of the two fills up whole groups of 16. Rows of queries, keys and values are <see cref="HeadRows"/>.
/// </summary>
internal readonly unsafe struct VerticalSlashTile
{
    private const int Most = 64;          // the queries of a part
    private const int MostOfTile = 1024;  // of a tile: an item of work

    private readonly AttentionView view;
    private readonly HeadRows keyHead;
    private readonly int part;
    private readonly ulong* isDistance; // a bit each: whether the distance is that of a diagonal
    private readonly int* ranks;        // by word of those: the diagonals of smaller distances
    private readonly int* columns;      // ascending
    private readonly int* distances;    // of the diagonals, descending: their keys ascend

    /// <param name="view">The operands.</param>
    /// <param name="pattern">The sizes.</param>
    /// <param name="batch">The sequence.</param>
    /// <param name="head">The head.</param>
    /// <param name="first">The first query's position.</param>
    /// <param name="choices">The sequence's choices [tiles,H,vertical + slash], from the tile in which the view's queries begin.</param>
    /// <param name="memory">Room for <see cref="Ints"/>.</param>
    public VerticalSlashTile(in AttentionView view, in VerticalSlash pattern, int batch, int head, long first, float* choices, int* memory)
    {
        (this.view, keyHead, First, End) = (view, new HeadRows(view, batch, head / view.Group), first, Math.Min(view.End, ((first / Span(pattern)) + 1) * Span(pattern)));
        long tile = first / pattern.Tile, start = tile * pattern.Tile;
        part = Math.Min(Most, pattern.Tile);
        (DiagonalCount, SlashStart, Width) = (pattern.Diagonals(start), HeadRows.Width(pattern.Vertical), RowWidth(pattern));
        int words = Words(view, pattern);
        isDistance = (ulong*)memory;
        ranks = memory + (2 * words);
        columns = ranks + words;
        distances = columns + pattern.Vertical;

        // A choice may come from a saved state: whatever it holds, it stays within the tokens, in order.
        int last = (int)Math.Max(start - 1, Math.Max(pattern.Vertical, pattern.Slash) * (start == 0 ? 1L : 0L));
        float* choice = choices + (((tile - (view.Position / pattern.Tile)) * view.Heads) + head) * (pattern.Vertical + pattern.Slash);
        ColumnCount = pattern.Columns(start);
        for (int i = 0; i < ColumnCount; i++)
        {
            columns[i] = Math.Clamp((int)choice[i], i == 0 ? 0 : columns[i - 1], last);
        }

        while (ColumnCount > 0 && columns[ColumnCount - 1] >= view.End)
        {
            ColumnCount--; // in the first tile some may lie behind the sequence's end
        }

        new Span<ulong>(isDistance, words).Clear();
        for (int i = DiagonalCount - 1; i >= 0; i--)
        {
            distances[i] = Math.Clamp((int)choice[pattern.Vertical + DiagonalCount - 1 - i], i + 1 == DiagonalCount ? 0 : distances[i + 1], last);
            isDistance[distances[i] / 64] |= 1UL << distances[i];
        }

        for (int i = 0, rank = 0; i < words; i++)
        {
            ranks[i] = rank;
            rank += BitOperations.PopCount(isDistance[i]);
        }
    }

    /// <summary>The first query's position, and the end.</summary>
    public readonly long First, End;
    public readonly int ColumnCount, DiagonalCount, SlashStart, Width;

    /// <summary>The queries of one tile: those of one choice, or a part of them.</summary>
    public static int Span(in VerticalSlash pattern) => pattern.Tile <= MostOfTile ? pattern.Tile : Math.Min(MostOfTile, pattern.Tile & -pattern.Tile);

    /// <summary>The most queries of a part.</summary>
    public static int Part(in VerticalSlash pattern) => Math.Min(Most, pattern.Tile);

    /// <summary>The integers that a tile needs.</summary>
    public static nint Ints(in AttentionView view, in VerticalSlash pattern) => (3 * (nint)Words(view, pattern)) + pattern.Vertical + pattern.Slash;

    /// <summary>The floats of a query's row: an odd number of vectors, so that a column of the matrix spreads over all of the near cache.</summary>
    public static int RowWidth(in VerticalSlash pattern) => (HeadRows.Width(pattern.Vertical) + HeadRows.Width(pattern.Slash)) | 16;

    /// <summary>The end of the part that begins at a position.</summary>
    public long PartEnd(long start) => Math.Min(End, ((start / part) + 1) * part);

    /// <summary>
    /// Sets a part's products to 0 where a query sees a key, to -infinity where it does not or sees it a second time, in a column and on
    /// a diagonal: products are added to that.
    /// </summary>
    public void Mask(long start, int count, float* s)
    {
        for (int i = 0; i < count; i++)
        {
            float* si = s + (i * (nint)Width), slash = si + SlashStart;
            int seen = ColumnCount, hidden = 0;
            while (seen > 0 && columns[seen - 1] > start + i)
            {
                seen--;
            }

            while (hidden < DiagonalCount && distances[hidden] > start + i)
            {
                hidden++; // the longest diagonals end before the sequence begins
            }

            new Span<float>(si, seen).Clear();
            new Span<float>(si + seen, SlashStart - seen + hidden).Fill(float.NegativeInfinity);
            new Span<float>(slash + hidden, DiagonalCount - hidden).Clear();
            new Span<float>(slash + DiagonalCount, Width - SlashStart - DiagonalCount).Fill(float.NegativeInfinity);
        }

        // A column meets a diagonal where the query's distance from it is the diagonal's.
        for (int c = 0; c < ColumnCount; c++)
        {
            int from = (int)Math.Max(0, columns[c] - start), distance = (int)(start - columns[c]) + from, word = distance / 64, shift = distance % 64;
            if (from >= count)
            {
                break;
            }

            ulong met = (isDistance[word] >> shift) | (isDistance[word + 1] << 1 << (63 - shift));
            met &= ulong.MaxValue >> (64 - (count - from));
            for (; met != 0; met &= met - 1)
            {
                int i = BitOperations.TrailingZeroCount(met), at = (distance + i) / 64;
                int rank = ranks[at] + BitOperations.PopCount(isDistance[at] & ((1UL << (distance + i)) - 1));
                s[((from + i) * (nint)Width) + SlashStart + DiagonalCount - 1 - rank] = float.NegativeInfinity;
            }
        }
    }

    /// <summary>Copies the columns' keys or values, [columns, dim].</summary>
    public void Gather(bool values, float* copy)
    {
        int width = HeadRows.Width(values ? view.ValueDim : view.HeadDim);
        for (int i = 0; i < ColumnCount; i++)
        {
            keyHead.Read(columns[i], columns[i] + 1L, values, copy + (i * (nint)width));
        }
    }

    /// <summary>Adds rows [columns, dim] to those of a tensor of the sequence or of the past, where it is wanted.</summary>
    public void Scatter(float* rows, int dim, TokenRows own, TokenRows past)
    {
        for (int i = 0; i < ColumnCount; i++)
        {
            keyHead.Add(columns[i], columns[i] + 1L, rows + (i * (nint)HeadRows.Width(dim)), dim, own, past);
        }
    }

    /// <summary>The first group of diagonals, <see cref="SlashKernel.Diagonals"/> each, on which a query of a part has a key.</summary>
    public int FirstGroup(long start, int count)
    {
        int at = 0;
        while (at < DiagonalCount && distances[at] > start + count - 1)
        {
            at++;
        }

        return at / SlashKernel.Diagonals;
    }

    /// <summary>The groups of diagonals; the last may repeat its last diagonal, of which the mask hides all but the first.</summary>
    public int Groups => (DiagonalCount + SlashKernel.Diagonals - 1) / SlashKernel.Diagonals;

    /// <summary>
    /// Whether the queries see enough that a head's keys and values are copied whole (<see cref="WholeRows"/> of them): rows of a tensor lie far apart, and
    /// are slow to visit again and again. If not, each group of diagonals copies its own, its bands.
    /// </summary>
    public static bool Whole(in AttentionView view, in VerticalSlash pattern) => (long)view.Tokens * pattern.Slash >= 4 * view.End;

    /// <summary>The rows of a whole copy: zeros for the positions before the first, up to a part of them, then all.</summary>
    public static nint WholeRows(in AttentionView view) => Most + (nint)view.End;

    /// <summary>The position of a whole copy's first row.</summary>
    public const long WholeStart = -Most;

    /// <summary>Where a part's keys on the diagonals of a group begin in a whole copy.</summary>
    public void WholeBands(int group, long start, int* rows)
    {
        for (int j = 0; j < SlashKernel.Diagonals; j++)
        {
            int at = Math.Min((group * SlashKernel.Diagonals) + j, DiagonalCount - 1);
            rows[j] = (int)(Math.Max(start - distances[at], WholeStart) - WholeStart);
        }
    }

    /// <summary>
    /// Where a part's keys on the diagonals of a group begin in a copy of its bands, which holds each key once: a diagonal's lie there one after the other,
    /// as the queries do. Returns the rows of the copy.
    /// </summary>
    public int Bands(int group, int count, int* rows)
    {
        int at = group * SlashKernel.Diagonals, row = 0;
        for (int j = 0; j < SlashKernel.Diagonals; j++)
        {
            row += j > 0 && at + j < DiagonalCount ? Math.Min(count, distances[at + j - 1] - distances[at + j]) : 0;
            rows[j] = row;
        }

        return row + count;
    }

    /// <summary>Copies the keys or values of a group's bands; zeros stand for those before the sequence begins.</summary>
    public void GatherBands(int group, long start, int count, int* rows, bool values, float* copy)
    {
        nint width = HeadRows.Width(values ? view.ValueDim : view.HeadDim);
        long end = long.MinValue;
        for (int j = 0, at = group * SlashKernel.Diagonals; j < SlashKernel.Diagonals && at + j < DiagonalCount; j++)
        {
            long key = start - distances[at + j], from = Math.Max(key, end);
            end = key + count;
            keyHead.Read(from, end, values, copy + ((rows[j] + (nint)(from - key)) * width));
        }
    }

    /// <summary>Adds the rows of a group's bands to those of a tensor of the sequence or of the past, where it is wanted.</summary>
    public void ScatterBands(int group, long start, int count, int* rows, float* bands, int dim, TokenRows own, TokenRows past)
    {
        long end = 0;
        for (int j = 0, at = group * SlashKernel.Diagonals; j < SlashKernel.Diagonals && at + j < DiagonalCount; j++)
        {
            long key = start - distances[at + j], from = Math.Max(key, end);
            end = Math.Max(0, key + count);
            keyHead.Add(from, end, bands + ((rows[j] + (nint)(from - key)) * HeadRows.Width(dim)), dim, own, past);
        }
    }

    /// <summary>The products of the tile's queries whose key lies in the past.</summary>
    public long PastPairs()
    {
        long pairs = 0;
        for (long p = First; p < End && view.Position > 0; p++)
        {
            for (int i = 0; i < ColumnCount && columns[i] < view.Position; i++)
            {
                pairs++;
            }

            for (int i = 0; i < DiagonalCount; i++)
            {
                pairs += distances[i] <= p && p - distances[i] < view.Position ? 1 : 0;
            }
        }

        return pairs;
    }

    // Of the bits of distances: as many as there may be, and one to read beyond.
    private static int Words(in AttentionView view, in VerticalSlash pattern) => (int)(Math.Max(view.End, Math.Max(pattern.Vertical, pattern.Slash)) / 64) + 3;
}
