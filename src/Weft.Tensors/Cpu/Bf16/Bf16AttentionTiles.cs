namespace Weft.Tensors.Cpu;

/// <summary>In bfloat16 with float32 sums: all keys and values are packed beforehand, once. Their tiles lie on the grid of positions whatever is seen of them.</summary>
internal unsafe struct Bf16AttentionTiles : IAttentionTiles
{
    private const int Tile = AttentionView.Tile;

    private readonly Bf16Kernels* kernels;
    private readonly AttentionView view;
    private readonly long firstTile;
    private readonly int tiles;
    private float* packed; // [B, key heads, tiles]: keys as rows, values as columns
    private int queries, lead, count;
    private float* head, tile, s, q, pairs, panels;

    public Bf16AttentionTiles(Bf16Kernels* kernels, in AttentionView view)
    {
        this.kernels = kernels;
        this.view = view;
        firstTile = view.FirstKey(view.Heads - 1, view.Position) / Tile; // no head sees more
        tiles = (int)(((view.End - 1) / Tile) - firstTile + 1);
    }

    private readonly int TileFloats => Bf16Tiles.Floats(view.HeadDim) + Bf16Tiles.Floats(view.ValueDim);

    /// <summary>Floats of all packed keys and values.</summary>
    public readonly long PackedFloats => (long)view.Batch * view.KeyHeads * tiles * TileFloats;

    public readonly int ScratchFloats => (Tile * Tile) + (Tile * Bf16Tiles.Padded(view.ValueDim)) + Bf16Tiles.Floats(view.HeadDim) + (2 * Bf16Tiles.Floats(Tile))
        + (Tile * Bf16Tiles.Padded(Math.Max(view.HeadDim, view.ValueDim)));

    public float* Output { get; private set; }

    public readonly nint OutputStride => Bf16Tiles.Padded(view.ValueDim);

    /// <summary>Packs all keys and values that are seen.</summary>
    public void Pack(WorkerPool pool, float* memory)
    {
        packed = memory;
        int floats = Tile * Bf16Tiles.Padded(Math.Max(view.HeadDim, view.ValueDim));
        PackJob job = new() { Tiles = this, Floats = floats, Scratch = pool.Scratch(0, (nint)floats * pool.Workers) };
        pool.Run(ref job, view.Batch * view.KeyHeads * tiles);
    }

    private struct PackJob : IJob
    {
        public Bf16AttentionTiles Tiles;
        public int Floats;
        public float* Scratch;

        public readonly void Run(int index, int worker)
        {
            AttentionView view = Tiles.view;
            int batch = index / Tiles.tiles / view.KeyHeads, keyHead = index / Tiles.tiles % view.KeyHeads;
            long start = (Tiles.firstTile + (index % Tiles.tiles)) * Tile, end = Math.Min(view.End, start + Tile);
            float* target = Tiles.packed + ((long)index * Tiles.TileFloats), tile = Scratch + ((nint)worker * Floats);
            Bf16Tiles.Gather(view, false, batch, keyHead, start, Math.Max(view.First, start), end, tile);
            Bf16Tiles.PackRows(Tiles.kernels, view.HeadDim, tile, target);
            Bf16Tiles.Gather(view, true, batch, keyHead, start, Math.Max(view.First, start), end, tile);
            Bf16Tiles.PackColumns(view.ValueDim, tile, target + Bf16Tiles.Floats(view.HeadDim));
        }
    }

    public void Begin(float* scratch, int batch, int head, long q0, int queries)
    {
        this.queries = queries;
        this.head = packed + ((long)((batch * view.KeyHeads) + (head / view.Group)) * tiles * TileFloats);
        s = scratch;
        Output = s + (Tile * Tile);
        q = Output + (Tile * OutputStride);
        pairs = q + Bf16Tiles.Floats(view.HeadDim);
        panels = pairs + Bf16Tiles.Floats(Tile);
        float* rows = panels + Bf16Tiles.Floats(Tile);
        new Span<float>(rows, Tile * Bf16Tiles.Padded(view.HeadDim)).Clear();
        Bf16Tiles.Copy(queries, view.HeadDim, view.Q.At(batch, (int)(q0 - view.Position), head * view.HeadDim), view.Q.Stride, view.Scale, rows);
        Bf16Tiles.PackTransposed(view.HeadDim, rows, q);
        kernels->Begin();
    }

    public float* Scores(long k0, long k1)
    {
        (lead, count) = ((int)(k0 % Tile), (int)(k1 - k0));
        tile = head + (((k0 / Tile) - firstTile) * TileFloats);
        Bf16Tiles.Multiply(kernels, lead + count, queries, view.HeadDim, tile, false, q, s, Tile, false);
        return s + (lead * Tile);
    }

    public readonly void Softmax(float* max, float* sum, float* rescale)
    {
        new Span<float>(s, lead * Tile).Fill(float.NegativeInfinity);
        new Span<float>(s + ((lead + count) * Tile), (Tile - lead - count) * Tile).Fill(float.NegativeInfinity);
        Bf16Tiles.SoftmaxColumns(s, (queries + 15) / 16 * 16, max, sum, rescale, pairs);
    }

    public readonly void AddValues(bool add) =>
        Bf16Tiles.Multiply(kernels, queries, view.ValueDim, Tile, Bf16Tiles.Lanes(kernels, pairs, panels), true, tile + Bf16Tiles.Floats(view.HeadDim), Output, OutputStride, add);

    public readonly void End() => kernels->End();
}
