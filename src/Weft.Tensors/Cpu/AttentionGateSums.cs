namespace Weft.Tensors.Cpu;

/// <summary>
/// The gradient of log forget gates: the gate of position l is part of the score of every pair (query t, key s) with s &lt; l &lt;= t, so its
/// gradient is the sum of theirs. It is put together from tiles of pairs, so that nothing large is ever taken from something large: pairs
/// with both sides in l's tile; with the query in it, and the key; and with l's tile between them.
/// </summary>
internal unsafe struct AttentionGateSums
{
    private const int Tile = AttentionView.Tile;

    private readonly long first, end;
    private readonly double* memory; // a head at a time: rows, columns and own, a value a position; then queryTiles and keyTiles, one a tile

    public AttentionGateSums(in AttentionView view, double* memory)
    {
        (first, end) = (view.First, view.End);
        this.memory = memory;
        nint count = view.Batch * view.Heads * HeadDoubles;
        for (nint i = 0; i < count; i++)
        {
            memory[i] = 0;
        }
    }

    public readonly bool IsNull => memory is null;

    private readonly int Positions => (int)(end - first);

    private readonly int Tiles => (int)(((end - 1) / Tile) - (first / Tile) + 1);

    private readonly nint HeadDoubles => (3 * (nint)Positions) + (2 * Tiles);

    /// <summary>The doubles that the sums take.</summary>
    public static nint Doubles(in AttentionView view) =>
        view.Batch * view.Heads * ((3 * (nint)(view.End - view.First)) + (2 * (nint)(((view.End - 1) / Tile) - (view.First / Tile) + 1)));

    /// <summary>
    /// Adds the gradients of a tile of biased scores, [queries, keys] with rows Tile apart. Tiles of one row of tiles come one after the
    /// other, those of one column from one worker.
    /// </summary>
    public readonly void Add(int head, long q0, int queries, long k0, int keys, float* ds)
    {
        double* rows = memory + (head * HeadDoubles), columns = rows + Positions, own = columns + Positions;
        if (q0 / Tile == k0 / Tile)
        {
            for (int i = 0; i < queries; i++)
            {
                double sum = 0;
                for (long s = k0; s < q0 + i; s++)
                {
                    sum += ds[(i * Tile) + (s - k0)];
                    own[s + 1 - first] += sum;
                }
            }

            return;
        }

        float* column = stackalloc float[Tile];
        new Span<float>(column, Tile).Clear();
        double total = 0;
        for (int i = 0; i < queries; i++)
        {
            Simd.Add(keys, ds + (i * Tile), column);
            float row = Simd.Sum(keys, ds + (i * Tile));
            rows[q0 + i - first] += row;
            total += row;
        }

        for (int i = 0; i < keys; i++)
        {
            columns[k0 + i - first] += column[i];
        }

        double* queryTiles = own + Positions, keyTiles = queryTiles + Tiles;
        queryTiles[(q0 / Tile) - (first / Tile)] += total;
        keyTiles[(k0 / Tile) - (first / Tile)] += total;
    }

    /// <summary>Overwrites the sums of one head with its gates' gradients, from the first position on.</summary>
    public readonly double* Gradients(int head)
    {
        double* rows = memory + (head * HeadDoubles), columns = rows + Positions, own = columns + Positions, queryTiles = own + Positions, keyTiles = queryTiles + Tiles;
        double across = 0; // of pairs whose query is in a later tile and whose key is in an earlier one
        for (int tile = Tiles - 1; tile >= 0; tile--)
        {
            long start = Math.Max(first, ((first / Tile) + tile) * Tile), stop = AttentionView.TileEnd(start, end);
            across -= keyTiles[tile];
            double sum = across;
            for (long p = start; p < stop; p++)
            {
                own[p - first] += sum;
                sum += columns[p - first];
            }

            sum = 0;
            for (long p = stop - 1; p >= start; p--)
            {
                sum += rows[p - first];
                own[p - first] += sum;
            }

            across += queryTiles[tile];
        }

        return own;
    }
}
