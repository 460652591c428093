namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    private const int Tile = AttentionTile;

    internal override void Attention(in AttentionOperands operands, Tensor y, Tensor? logSums)
    {
        using Timed timed = Measure([operands, y, logSums]);
        var view = new AttentionView(operands);
        CountFlops(view.Batch * view.Options.Flops(view.Tokens, operands.Past.Length));
        if (view.Tokens == 0)
        {
            return;
        }

        var decay = new AttentionDecay(view, operands);
        decay.Prepare(Pool, (double*)Pool.Scratch(0, 2 * decay.Doubles, slot: 1));
        if (view.Tokens == 1 && logSums is null)
        {
            Decode(view, decay, y);
            return;
        }

        if (kernels == null)
        {
            Forward(view, decay, y, logSums, new FloatAttentionTiles(view));
            return;
        }

        var tiles = new Bf16AttentionTiles(kernels, view);
        tiles.Pack(Pool, Shared(tiles.PackedFloats));
        Forward(view, decay, y, logSums, tiles);
    }

    private void Forward<TTiles>(in AttentionView view, in AttentionDecay decay, Tensor y, Tensor? logSums, TTiles products) where TTiles : unmanaged, IAttentionTiles
    {
        ForwardJob<TTiles> job = new()
        {
            View = view,
            Decay = decay,
            Products = products,
            Y = new TokenRows(y),
            LogSums = logSums is null ? null : logSums.Pointer,
            FirstTile = view.Position / Tile,
            Tiles = view.QueryTiles,
        };
        job.Scratch = Pool.Scratch(0, (nint)job.ScratchFloats * Pool.Workers);
        Pool.Run(ref job, view.Batch * view.Heads * view.QueryTiles);
    }

    /// <summary>
    /// A tile of queries of one head: all its keys, a tile at a time, with the softmax kept online (FlashAttention, algorithm 1).
    /// Scores are held transposed, [keys, queries]: then keys and values are read where they lie, and the softmax of a query runs down
    /// a vector lane.
    /// </summary>
    private struct ForwardJob<TTiles> : IJob where TTiles : unmanaged, IAttentionTiles
    {
        public AttentionView View;
        public AttentionDecay Decay;
        public TTiles Products;
        public TokenRows Y;
        public float* LogSums; // [B,H,T], or null
        public float* Scratch;
        public long FirstTile;
        public int Tiles;

        public readonly int ScratchFloats => Products.ScratchFloats + (7 * Tile);

        public readonly void Run(int index, int worker)
        {
            // The last tiles see the most keys: they go first, so that no worker is left with a long one at the end.
            int heads = View.Batch * View.Heads, batch = index % heads / View.Heads, head = index % View.Heads;
            long tile = FirstTile + Tiles - 1 - (index / heads);
            long q0 = Math.Max(View.Position, tile * Tile), q1 = Math.Min(View.End, (tile + 1) * Tile);
            int queries = (int)(q1 - q0), columns = (queries + 15) / 16 * 16, row = (int)(q0 - View.Position), valueDim = View.ValueDim;

            float* max = Scratch + ((nint)worker * ScratchFloats), sum = max + Tile, rescale = sum + Tile;
            float* queryBias = rescale + Tile, keyBias = queryBias + (2 * Tile);
            new Span<float>(max, Tile).Fill(float.MinValue);
            new Span<float>(sum, Tile).Clear();
            TTiles products = Products;
            products.Begin(keyBias + (2 * Tile), batch, head, q0, queries);
            float* o = products.Output;
            nint stride = products.OutputStride;
            if (!Decay.IsNull)
            {
                Decay.Parts(batch, head, q0, q1, q0, 1, queryBias);
            }

            long k0 = View.FirstKey(head, q0);
            for (long k1 = 0, k = k0; k < q1; k = k1)
            {
                k1 = AttentionView.TileEnd(k, q1);
                int keys = (int)(k1 - k);
                float* s = products.Scores(k, k1);
                if (!Decay.IsNull)
                {
                    Decay.Parts(batch, head, k, k1, q0, -1, keyBias);
                    AttentionKernel.AddBias(s, keys, columns, keyBias, queryBias);
                }

                Mask(s, head, k, k1, q0, columns);
                products.Softmax(max, sum, rescale);
                if (k > k0)
                {
                    for (int i = 0; i < queries; i++)
                    {
                        if (rescale[i] != 1)
                        {
                            Simd.Scale(valueDim, rescale[i], o + (i * stride));
                        }
                    }
                }

                products.AddValues(k > k0);
            }

            products.End();
            for (int i = 0; i < queries; i++)
            {
                Simd.Scale(valueDim, 1 / sum[i], o + (i * stride));
                if (LogSums is not null)
                {
                    LogSums[((long)((batch * View.Heads) + head) * View.Tokens) + row + i] = max[i] + MathF.Log(sum[i]);
                }
            }

            AttentionKernel.Put(queries, valueDim, o, stride, Y.At(batch, row, head * valueDim), Y.Stride, false);
        }

        // Key k is seen by the queries from k to EndQuery(k) - 1.
        private readonly void Mask(float* s, int head, long k0, long k1, long q0, int columns)
        {
            for (long k = Math.Max(k0, q0 + 1); k < k1; k++)
            {
                new Span<float>(s + ((k - k0) * Tile), (int)Math.Min(columns, k - q0)).Fill(float.NegativeInfinity);
            }

            for (long k = k0; k < k1 && View.EndQuery(head, k) < Math.Min(View.End, q0 + columns); k++)
            {
                int seen = (int)(View.EndQuery(head, k) - q0);
                new Span<float>(s + ((k - k0) * Tile) + seen, columns - seen).Fill(float.NegativeInfinity);
            }
        }
    }
}
