namespace Weft.Tensors.Cpu;

/// <summary>
/// In bfloat16 with float32 sums: all queries and dy are packed beforehand, once, the queries with scores' scale in them; dq is summed in
/// whole tiles beside, and put where it is wanted with the last of its keys, which are the queries' own.
/// </summary>
internal unsafe struct Bf16AttentionGradientTiles : IAttentionGradientTiles
{
    private const int Tile = AttentionView.Tile;

    private readonly Bf16Kernels* kernels;
    private readonly AttentionView view;
    private readonly TokenRows dys, dqs;
    private readonly bool addDq;
    private float* packed; // [B, heads, query tiles]: queries as rows and as columns, dy likewise, the sums of dq
    private int batch, head, queries, keys;
    private long k0, q0;
    private float* keysTransposed, keysColumns, valuesTransposed, probabilities, gradients, panels, rows, tile;

    public Bf16AttentionGradientTiles(Bf16Kernels* kernels, in AttentionView view, TokenRows dy, TokenRows dq, bool addDq)
    {
        this.kernels = kernels;
        (this.view, dys, dqs, this.addDq) = (view, dy, dq, addDq);
    }

    private readonly int KeyFloats => Bf16Tiles.Floats(view.HeadDim);

    private readonly int ValueFloats => Bf16Tiles.Floats(view.ValueDim);

    private readonly int TileFloats => (2 * (KeyFloats + ValueFloats)) + (dqs.IsNull ? 0 : (int)(Tile * DkStride));

    /// <summary>Floats of all packed queries and dy.</summary>
    public readonly long PackedFloats => (long)view.Batch * view.Heads * view.QueryTiles * TileFloats;

    public readonly int ScratchFloats => (2 * Tile * Tile) + (int)(Tile * (DkStride + DvStride)) + (2 * KeyFloats) + ValueFloats + (4 * Bf16Tiles.Floats(Tile));

    public float* S { get; private set; }

    public float* D { get; private set; }

    public float* Dk { get; private set; }

    public float* Dv { get; private set; }

    public readonly nint DkStride => Bf16Tiles.Padded(view.HeadDim);

    public readonly nint DvStride => Bf16Tiles.Padded(view.ValueDim);

    /// <summary>Packs all queries and dy.</summary>
    public void Pack(WorkerPool pool, float* memory)
    {
        packed = memory;
        int floats = Tile * (int)Math.Max(DkStride, DvStride);
        PackJob job = new() { Tiles = this, Floats = floats, Scratch = pool.Scratch(0, (nint)floats * pool.Workers) };
        pool.Run(ref job, view.Batch * view.Heads * view.QueryTiles);
    }

    private struct PackJob : IJob
    {
        public Bf16AttentionGradientTiles Tiles;
        public int Floats;
        public float* Scratch;

        public readonly void Run(int index, int worker)
        {
            AttentionView view = Tiles.view;
            int tiles = view.QueryTiles, batch = index / tiles / view.Heads, head = index / tiles % view.Heads;
            long start = Math.Max(view.Position, ((view.Position / Tile) + (index % tiles)) * Tile);
            int row = (int)(start - view.Position), rows = (int)(AttentionView.TileEnd(start, view.End) - start);
            float* target = Tiles.packed + ((long)index * Tiles.TileFloats), tile = Scratch + ((nint)worker * Floats);
            new Span<float>(tile, Floats).Clear();
            Bf16Tiles.Copy(rows, view.HeadDim, view.Q.At(batch, row, head * view.HeadDim), view.Q.Stride, view.Scale, tile);
            Bf16Tiles.PackRows(Tiles.kernels, view.HeadDim, tile, target);
            Bf16Tiles.PackColumns(view.HeadDim, tile, target + Tiles.KeyFloats);
            new Span<float>(tile, Floats).Clear();
            target += 2 * Tiles.KeyFloats;
            Bf16Tiles.Copy(rows, view.ValueDim, Tiles.dys.At(batch, row, head * view.ValueDim), Tiles.dys.Stride, 1, tile);
            Bf16Tiles.PackRows(Tiles.kernels, view.ValueDim, tile, target);
            Bf16Tiles.PackColumns(view.ValueDim, tile, target + Tiles.ValueFloats);
        }
    }

    public void Begin(float* scratch, int batch, int keyHead, long k0, long k1)
    {
        (this.batch, this.k0, keys) = (batch, k0, (int)(k1 - k0));
        S = scratch;
        D = S + (Tile * Tile);
        Dk = D + (Tile * Tile);
        Dv = Dk + (Tile * DkStride);
        keysTransposed = Dv + (Tile * DvStride);
        keysColumns = keysTransposed + KeyFloats;
        valuesTransposed = keysColumns + KeyFloats;
        probabilities = valuesTransposed + ValueFloats;
        gradients = probabilities + Bf16Tiles.Floats(Tile);
        rows = gradients + Bf16Tiles.Floats(Tile);
        panels = rows + Bf16Tiles.Floats(Tile);

        Bf16Tiles.Gather(view, false, batch, keyHead, k0, k0, k1, Dk);
        Bf16Tiles.PackTransposed(view.HeadDim, Dk, keysTransposed);
        Bf16Tiles.PackColumns(view.HeadDim, Dk, keysColumns);
        Bf16Tiles.Gather(view, true, batch, keyHead, k0, k0, k1, Dv);
        Bf16Tiles.PackTransposed(view.ValueDim, Dv, valuesTransposed);
        new Span<float>(Dk, Tile * (int)(DkStride + DvStride)).Clear();
        kernels->Begin();
    }

    public void Scores(int head, long q0, int queries)
    {
        (this.head, this.q0, this.queries) = (head, q0, queries);
        tile = packed + (((((long)batch * view.Heads) + head) * view.QueryTiles) + (q0 / Tile) - (view.Position / Tile)) * TileFloats;
        Bf16Tiles.Multiply(kernels, Tile, Tile, view.HeadDim, tile, false, keysTransposed, S, Tile, false);
        Bf16Tiles.Multiply(kernels, Tile, Tile, view.ValueDim, tile + (2 * KeyFloats), false, valuesTransposed, D, Tile, false);
    }

    public readonly void Gradients(float* logSums, float* delta)
    {
        float* tileLogSums = stackalloc float[Tile], tileDelta = stackalloc float[Tile];
        new Span<float>(tileLogSums, Tile).Clear();
        new Span<float>(tileDelta, Tile).Clear();
        new ReadOnlySpan<float>(logSums, queries).CopyTo(new Span<float>(tileLogSums, Tile));
        new ReadOnlySpan<float>(delta, queries).CopyTo(new Span<float>(tileDelta, Tile));
        for (int i = 0; i < queries; i++)
        {
            (int low, int high) = view.Seen(head, q0 + i, k0, keys);
            if (low > 0 || high < Tile)
            {
                new Span<float>(S + (i * Tile), low).Fill(float.NegativeInfinity);
                new Span<float>(S + (i * Tile) + high, Tile - high).Fill(float.NegativeInfinity);
            }
        }

        new Span<float>(S + (queries * Tile), (Tile - queries) * Tile).Fill(float.NegativeInfinity);
        Bf16Tiles.ScoreGradients(kernels, S, D, tileLogSums, tileDelta, probabilities, gradients, rows);
    }

    public readonly void AddToValues() =>
        Bf16Tiles.Multiply(kernels, keys, view.ValueDim, Tile, Bf16Tiles.Lanes(kernels, probabilities, panels), true, tile + (2 * KeyFloats) + ValueFloats, Dv, DvStride, true);

    public readonly void AddToKeys() =>
        Bf16Tiles.Multiply(kernels, keys, view.HeadDim, Tile, Bf16Tiles.Lanes(kernels, gradients, panels), true, tile + KeyFloats, Dk, DkStride, true);

    public readonly void AddToQueries(bool first)
    {
        float* sums = tile + (2 * (KeyFloats + ValueFloats));
        if (first)
        {
            new Span<float>(sums, Tile * (int)DkStride).Clear();
        }

        Bf16Tiles.Multiply(kernels, queries, view.HeadDim, Tile, rows, false, keysColumns, sums, DkStride, true);
        if (k0 / Tile != q0 / Tile)
        {
            return;
        }

        for (int i = 0; i < queries; i++)
        {
            Simd.Scale(view.HeadDim, view.Scale, sums + (i * DkStride));
        }

        AttentionKernel.Put(queries, view.HeadDim, sums, DkStride, dqs.At(batch, (int)(q0 - view.Position), head * view.HeadDim), dqs.Stride, addDq);
    }

    public readonly void End() => kernels->End();
}
