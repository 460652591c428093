namespace Weft.Tensors.Cpu;

/// <summary>The products of a tile of queries with one tile of keys and values after the other, forward, on one worker: where a precision is chosen.</summary>
internal unsafe interface IAttentionTiles
{
    /// <summary>Floats of scratch that a worker needs.</summary>
    int ScratchFloats { get; }

    /// <summary>The weighted sums of values, [queries, value dim].</summary>
    float* Output { get; }

    /// <summary>From one query's sums to the next.</summary>
    nint OutputStride { get; }

    /// <summary>Begins a tile of queries of one head.</summary>
    void Begin(float* scratch, int batch, int head, long q0, int queries);

    /// <summary>scale k q^T of the keys from <paramref name="k0"/> to <paramref name="k1"/> - 1, all of one tile: [keys, queries], rows a tile apart.</summary>
    float* Scores(long k0, long k1);

    /// <summary>The online softmax of the last scores; see <see cref="AttentionKernel.SoftmaxColumns"/>.</summary>
    void Softmax(float* max, float* sum, float* rescale);

    /// <summary>The sums become p v, or p v is added to them.</summary>
    void AddValues(bool add);

    /// <summary>After the last tile of keys.</summary>
    void End();
}

/// <summary>The products of a tile of keys and values with one tile of queries after the other, backward. Scores are [queries, keys], rows a tile apart.</summary>
internal unsafe interface IAttentionGradientTiles
{
    /// <summary>Floats of scratch that a worker needs.</summary>
    int ScratchFloats { get; }

    /// <summary>The scores of the last tile of queries.</summary>
    float* S { get; }

    /// <summary>The gradients of its biased scores, after <see cref="Gradients"/>.</summary>
    float* D { get; }

    /// <summary>The gradients of the keys and values, and from one key's to the next.</summary>
    float* Dk { get; }

    /// <inheritdoc cref="Dk"/>
    float* Dv { get; }

    /// <inheritdoc cref="Dk"/>
    nint DkStride { get; }

    /// <inheritdoc cref="Dk"/>
    nint DvStride { get; }

    /// <summary>Begins a tile of keys; their gradients become zeros.</summary>
    void Begin(float* scratch, int batch, int keyHead, long k0, long k1);

    /// <summary>S = scale q k^T, D = dy v^T.</summary>
    void Scores(int head, long q0, int queries);

    /// <summary>Probabilities p from S; D becomes p (D - delta); zeros where a query does not see a key.</summary>
    void Gradients(float* logSums, float* delta);

    /// <summary>Dv += p^T dy.</summary>
    void AddToValues();

    /// <summary>Dk += scale D^T q.</summary>
    void AddToKeys();

    /// <summary>dq += scale D k; <paramref name="first"/>: nothing was added to this tile of queries before.</summary>
    void AddToQueries(bool first);

    /// <summary>After the last tile of queries.</summary>
    void End();
}

/// <summary>In float32: keys and values are read where they lie.</summary>
internal unsafe struct FloatAttentionTiles(AttentionView view) : IAttentionTiles
{
    private const int Tile = AttentionView.Tile;

    private readonly AttentionView view = view;
    private int batch, keyHead, queries, columns;
    private long k0, k1;
    private float* s, qt;

    public readonly int ScratchFloats => (Tile * Tile) + (Tile * (view.HeadDim + view.ValueDim));

    public float* Output { get; private set; }

    public readonly nint OutputStride => view.ValueDim;

    public void Begin(float* scratch, int batch, int head, long q0, int queries)
    {
        (this.batch, keyHead, this.queries, columns) = (batch, head / view.Group, queries, (queries + 15) / 16 * 16);
        s = scratch;
        qt = s + (Tile * Tile);
        Output = qt + (Tile * view.HeadDim);
        if (columns > queries)
        {
            new Span<float>(qt, Tile * view.HeadDim).Clear();
        }

        SmallGemm.Transpose(queries, view.HeadDim, view.Q.At(batch, (int)(q0 - view.Position), head * view.HeadDim), view.Q.Stride, qt, Tile);
    }

    public float* Scores(long k0, long k1)
    {
        (this.k0, this.k1) = (k0, k1);
        for (long k = k0; k < k1;)
        {
            KeyRun run = view.Run(k, k1);
            SmallGemm.NN(run.Count, columns, view.HeadDim, view.Keys(run, batch, keyHead), view.KeyStride(run), qt, Tile, s + ((k - k0) * Tile), Tile, 0, view.Scale);
            k += run.Count;
        }

        return s;
    }

    public readonly void Softmax(float* max, float* sum, float* rescale) => AttentionKernel.SoftmaxColumns(s, (int)(k1 - k0), columns, max, sum, rescale);

    public readonly void AddValues(bool add)
    {
        for (long k = k0; k < k1;)
        {
            KeyRun run = view.Run(k, k1);
            SmallGemm.TN(queries, view.ValueDim, run.Count, s + ((k - k0) * Tile), Tile, view.Values(run, batch, keyHead), view.ValueStride(run),
                Output, view.ValueDim, add || k > k0 ? 1 : 0);
            k += run.Count;
        }
    }

    public readonly void End() { }
}

/// <summary>In float32: queries and dy are read where they lie, dq is added to where it is wanted.</summary>
internal unsafe struct FloatAttentionGradientTiles(AttentionView view, TokenRows dy, TokenRows dq, bool addDq) : IAttentionGradientTiles
{
    private const int Tile = AttentionView.Tile;

    private readonly AttentionView view = view;
    private readonly TokenRows dys = dy, dqs = dq;
    private readonly bool addDq = addDq;
    private int batch, head, keyHead, queries, keys, columns;
    private long k0, k1, q0;
    private float* kt, vt, q, dy;

    public readonly int ScratchFloats => (2 * Tile * Tile) + (2 * Tile * (view.HeadDim + view.ValueDim));

    public float* S { get; private set; }

    public float* D { get; private set; }

    public float* Dk { get; private set; }

    public float* Dv { get; private set; }

    public readonly nint DkStride => view.HeadDim;

    public readonly nint DvStride => view.ValueDim;

    public void Begin(float* scratch, int batch, int keyHead, long k0, long k1)
    {
        (this.batch, this.keyHead, this.k0, this.k1, keys) = (batch, keyHead, k0, k1, (int)(k1 - k0));
        columns = (keys + 15) / 16 * 16;
        S = scratch;
        D = S + (Tile * Tile);
        kt = D + (Tile * Tile);
        vt = kt + (Tile * view.HeadDim);
        Dk = vt + (Tile * view.ValueDim);
        Dv = Dk + (Tile * view.HeadDim);
        new Span<float>(kt, 2 * Tile * (view.HeadDim + view.ValueDim)).Clear();
        for (long k = k0; k < k1;)
        {
            KeyRun run = view.Run(k, k1);
            SmallGemm.Transpose(run.Count, view.HeadDim, view.Keys(run, batch, keyHead), view.KeyStride(run), kt + (k - k0), Tile);
            SmallGemm.Transpose(run.Count, view.ValueDim, view.Values(run, batch, keyHead), view.ValueStride(run), vt + (k - k0), Tile);
            k += run.Count;
        }
    }

    public void Scores(int head, long q0, int queries)
    {
        (this.head, this.q0, this.queries) = (head, q0, queries);
        q = view.Q.At(batch, (int)(q0 - view.Position), head * view.HeadDim);
        dy = dys.At(batch, (int)(q0 - view.Position), head * view.ValueDim);
        SmallGemm.NN(queries, columns, view.HeadDim, q, view.Q.Stride, kt, Tile, S, Tile, 0, view.Scale);
        SmallGemm.NN(queries, columns, view.ValueDim, dy, dys.Stride, vt, Tile, D, Tile, 0);
    }

    public readonly void Gradients(float* logSums, float* delta)
    {
        AttentionKernel.ScoreGradients(S, Tile, D, Tile, queries, columns, null, logSums, delta);
        for (int i = 0; i < queries; i++)
        {
            float* si = S + (i * Tile), di = D + (i * Tile);
            (int low, int high) = view.Seen(head, q0 + i, k0, keys);
            new Span<float>(si, low).Clear();
            new Span<float>(di, low).Clear();
            new Span<float>(si + high, columns - high).Clear();
            new Span<float>(di + high, columns - high).Clear();
        }
    }

    public readonly void AddToValues() => SmallGemm.TN(keys, view.ValueDim, queries, S, Tile, dy, dys.Stride, Dv, view.ValueDim, 1);

    public readonly void AddToKeys() => SmallGemm.TN(keys, view.HeadDim, queries, D, Tile, q, view.Q.Stride, Dk, view.HeadDim, 1, view.Scale);

    public readonly void AddToQueries(bool first)
    {
        int row = (int)(q0 - view.Position);
        if (first && !addDq)
        {
            // All of the tile, even where the first keys are out of the window of its last queries.
            for (int i = 0; i < AttentionView.TileEnd(q0, view.End) - q0; i++)
            {
                new Span<float>(dqs.At(batch, row + i, head * view.HeadDim), view.HeadDim).Clear();
            }
        }

        float* dq = dqs.At(batch, row, head * view.HeadDim);
        for (long k = k0; k < k1;)
        {
            KeyRun run = view.Run(k, k1);
            SmallGemm.NN(queries, view.HeadDim, run.Count, D + (k - k0), Tile, view.Keys(run, batch, keyHead), view.KeyStride(run), dq, dqs.Stride, 1, view.Scale);
            k += run.Count;
        }
    }

    public readonly void End() { }
}
