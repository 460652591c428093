namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    private const int Tile = AttentionTile;

    internal override void Attention(Tensor q, Tensor k, Tensor v, in AttentionPast past, in AttentionOptions options, long position, Tensor y, Tensor? logSums)
    {
        var view = new AttentionView(q, k, v, past, options, position);
        CountFlops(view.Batch * options.Flops(view.Tokens, past.Length));
        if (view.Tokens == 1 && logSums is null)
        {
            Decode(view, y);
            return;
        }

        long firstTile = position / Tile;
        int tiles = view.Tokens == 0 ? 0 : (int)(((view.End - 1) / Tile) - firstTile + 1);
        int scratch = ForwardJob.ScratchFloats(view.HeadDim);
        ForwardJob job = new()
        {
            View = view,
            Y = new TokenRows(y),
            LogSums = logSums is null ? null : logSums.Pointer,
            Scratch = Pool.Scratch(0, (nint)scratch * Pool.Workers),
            FirstTile = firstTile,
            Tiles = tiles,
        };
        Pool.Run(ref job, view.Batch * view.Heads * tiles);
    }

    /// <summary>
    /// A tile of queries of one head: all its keys, a tile at a time, with the softmax kept online (FlashAttention, algorithm 1).
    /// Scores are held transposed, [keys, queries]: then keys and values are read where they lie, and the softmax of a query runs down
    /// a vector lane.
    /// </summary>
    private struct ForwardJob : IJob
    {
        public AttentionView View;
        public TokenRows Y;
        public float* LogSums; // [B,H,T], or null
        public float* Scratch;
        public long FirstTile;
        public int Tiles;

        public static int ScratchFloats(int headDim) => (Tile * Tile) + (2 * Tile * headDim) + (3 * Tile);

        public readonly void Run(int index, int worker)
        {
            // The last tiles see the most keys: they go first, so that no worker is left with a long one at the end.
            int heads = View.Batch * View.Heads, batch = index % heads / View.Heads, head = index % View.Heads;
            long tile = FirstTile + Tiles - 1 - (index / heads);
            long q0 = Math.Max(View.Position, tile * Tile), q1 = Math.Min(View.End, (tile + 1) * Tile);
            int queries = (int)(q1 - q0), columns = (queries + 15) / 16 * 16, row = (int)(q0 - View.Position);
            int headDim = View.HeadDim, keyHead = head / View.Group;

            float* s = Scratch + ((nint)worker * ScratchFloats(headDim));
            float* qt = s + (Tile * Tile), o = qt + (Tile * headDim);
            float* max = o + (Tile * headDim), sum = max + Tile, rescale = sum + Tile;
            new Span<float>(max, Tile).Fill(float.MinValue);
            new Span<float>(sum, Tile).Clear();
            if (columns > queries)
            {
                new Span<float>(qt, Tile * headDim).Clear();
            }

            SmallGemm.Transpose(queries, headDim, View.Q.At(batch, row, head * headDim), View.Q.Stride, qt, Tile);

            long k0 = View.FirstKey(q0);
            for (long k1 = 0, k = k0; k < q1; k = k1)
            {
                k1 = AttentionView.TileEnd(k, q1);
                int keys = (int)(k1 - k);
                for (int i = 0; i < keys;)
                {
                    KeyRun run = View.Run(k + i, k1);
                    SmallGemm.NN(run.Count, columns, headDim, View.Keys(run, batch, keyHead), View.KeyStride(run), qt, Tile, s + (i * Tile), Tile, 0, View.Scale);
                    i += run.Count;
                }

                Mask(s, k, k1, q0, columns);
                AttentionKernel.SoftmaxColumns(s, keys, columns, max, sum, rescale);
                if (k > k0)
                {
                    for (int i = 0; i < queries; i++)
                    {
                        if (rescale[i] != 1)
                        {
                            Simd.Scale(headDim, rescale[i], o + (i * headDim));
                        }
                    }
                }

                for (int i = 0; i < keys;)
                {
                    KeyRun run = View.Run(k + i, k1);
                    float* values = View.Values(run, batch, keyHead);
                    SmallGemm.TN(queries, headDim, run.Count, s + (i * Tile), Tile, values, View.ValueStride(run), o, headDim, k + i == k0 ? 0 : 1);
                    i += run.Count;
                }
            }

            for (int i = 0; i < queries; i++)
            {
                Simd.Scale(headDim, 1 / sum[i], o + (i * headDim));
                if (LogSums is not null)
                {
                    LogSums[((long)((batch * View.Heads) + head) * View.Tokens) + row + i] = max[i] + MathF.Log(sum[i]);
                }
            }

            AttentionKernel.Put(queries, headDim, o, headDim, Y.At(batch, row, head * headDim), Y.Stride, false);
        }

        // Key k is seen by the queries from k to EndQuery(k) - 1.
        private readonly void Mask(float* s, long k0, long k1, long q0, int columns)
        {
            for (long k = Math.Max(k0, q0 + 1); k < k1; k++)
            {
                new Span<float>(s + ((k - k0) * Tile), (int)Math.Min(columns, k - q0)).Fill(float.NegativeInfinity);
            }

            for (long k = k0; k < k1 && View.EndQuery(k) < Math.Min(View.End, q0 + columns); k++)
            {
                int seen = (int)(View.EndQuery(k) - q0);
                new Span<float>(s + ((k - k0) * Tile) + seen, columns - seen).Fill(float.NegativeInfinity);
            }
        }
    }
}
