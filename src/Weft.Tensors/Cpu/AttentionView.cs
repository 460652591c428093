namespace Weft.Tensors.Cpu;

/// <summary>A tensor [B,T,W] as pointers and strides, in floats.</summary>
internal readonly unsafe struct TokenRows
{
    private readonly float* data;
    private readonly nint batchStride;

    public TokenRows(Tensor? x)
    {
        if (x is not null)
        {
            data = x.Pointer;
            Stride = x.RowStride;
            batchStride = (nint)x.Shape[1] * x.RowStride;
        }
    }

    /// <summary>From one token's row to the next.</summary>
    public nint Stride { get; }

    public bool IsNull => data is null;

    public float* At(int batch, int row, int column) => data + (batch * batchStride) + (row * Stride) + column;
}

/// <summary>A run of keys that lie in one piece: rows of the past or of the sequence itself.</summary>
internal readonly record struct KeyRun(bool Past, int Row, int Count);

/// <summary>
/// The operands of attention as its jobs see them: tokens by absolute position, wherever they lie. Keys have positions
/// <see cref="First"/> to <see cref="End"/> - 1, queries <see cref="Position"/> to <see cref="End"/> - 1.
/// </summary>
internal readonly unsafe struct AttentionView
{
    public const int Tile = Device.AttentionTile;

    public AttentionView(in AttentionOperands operands)
    {
        (AttentionPast past, Options) = (operands.Past, operands.Options);
        (Batch, Tokens) = (operands.Q.Shape[0], operands.Q.Shape[1]);
        (Position, First, End) = (operands.Position, operands.Position - past.Length, operands.Position + Tokens);
        (Q, K, V) = (new TokenRows(operands.Q), new TokenRows(operands.K), new TokenRows(operands.V));
        if (past.Length > 0)
        {
            (PastK, PastV) = (new TokenRows(past.Keys), new TokenRows(past.Values));
            (pastStart, pastRows) = (past.Start, past.Keys!.Shape[1]);
        }
    }

    public readonly TokenRows Q, K, V, PastK, PastV;
    public readonly long Position, First, End;
    public readonly int Batch, Tokens;
    public readonly AttentionOptions Options;
    private readonly int pastStart, pastRows;

    public int Heads => Options.Heads;

    public int KeyHeads => Options.KeyHeads;

    public int HeadDim => Options.HeadDim;

    public int ValueDim => Options.ValueDim;

    public float Scale => Options.Scale;

    /// <summary>The heads of queries that share a head of keys.</summary>
    public int Group => Heads / KeyHeads;

    /// <summary>Tiles that queries lie in.</summary>
    public int QueryTiles => (int)(((End - 1) / Tile) - (Position / Tile) + 1);

    /// <summary>Tiles that keys lie in.</summary>
    public int KeyTiles => (int)(((End - 1) / Tile) - (First / Tile) + 1);

    /// <summary>The first key that a head's query at a position sees. No head sees more than the last one.</summary>
    public long FirstKey(int head, long query)
    {
        int window = Options.HeadWindow(head);
        return window == 0 ? First : Math.Max(First, query - window + 1);
    }

    /// <summary>The first of a head's queries that does not see the key at a position any more.</summary>
    public long EndQuery(int head, long key)
    {
        int window = Options.HeadWindow(head);
        return window == 0 ? End : Math.Min(End, key + window);
    }

    /// <summary>What a query sees of some keys from <paramref name="k0"/> on: from Low to High - 1 of them.</summary>
    public (int Low, int High) Seen(int head, long query, long k0, int keys) =>
        ((int)(Math.Max(k0, FirstKey(head, query)) - k0), (int)Math.Min(keys, query + 1 - k0));

    /// <summary>The end of the tile that a position lies in, but not past <paramref name="end"/>.</summary>
    public static long TileEnd(long position, long end) => Math.Min(end, ((position / Tile) + 1) * Tile);

    /// <summary>The keys from <paramref name="key"/> on, up to <paramref name="end"/>, that lie in one piece.</summary>
    public KeyRun Run(long key, long end)
    {
        if (key >= Position)
        {
            return new KeyRun(false, (int)(key - Position), (int)(end - key));
        }

        int row = (int)((pastStart + (key - First)) % pastRows);
        return new KeyRun(true, row, (int)Math.Min(Math.Min(end, Position) - key, pastRows - row));
    }

    public float* Keys(KeyRun run, int batch, int keyHead) => (run.Past ? PastK : K).At(batch, run.Row, keyHead * HeadDim);

    public float* Values(KeyRun run, int batch, int keyHead) => (run.Past ? PastV : V).At(batch, run.Row, keyHead * ValueDim);

    public nint KeyStride(KeyRun run) => run.Past ? PastK.Stride : K.Stride;

    public nint ValueStride(KeyRun run) => run.Past ? PastV.Stride : V.Stride;
}
