namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void AttentionBackward(Tensor q, Tensor k, Tensor v, in AttentionPast past, in AttentionOptions options, long position,
        Tensor y, Tensor logSums, Tensor dy, in AttentionGradients gradients)
    {
        var view = new AttentionView(q, k, v, past, options, position);
        if (view.Tokens == 0)
        {
            return;
        }

        CountBackward(view, past.Length, options, gradients);

        int keyTiles = (int)(((view.End - 1) / Tile) - (view.First / Tile) + 1);
        int queryTiles = (int)(((view.End - 1) / Tile) - (position / Tile) + 1);
        nint deltas = (nint)view.Batch * view.Heads * view.Tokens, turns = (nint)view.Batch * view.Heads * queryTiles;
        int scratch = BackwardJob.ScratchFloats(view.HeadDim);
        float* memory = Pool.Scratch(0, ((nint)scratch * Pool.Workers) + deltas + turns);
        float* delta = memory + ((nint)scratch * Pool.Workers);

        DeltaJob deltaJob = new() { View = view, Y = new TokenRows(y), Dy = new TokenRows(dy), Delta = delta };
        Pool.Run(ref deltaJob, view.Batch * view.Tokens);

        BackwardJob job = new()
        {
            View = view,
            Dy = new TokenRows(dy),
            LogSums = logSums.Pointer,
            Delta = delta,
            Turns = (int*)(delta + deltas),
            Dq = new TokenRows(gradients.Q.Tensor),
            Dk = new TokenRows(gradients.K.Tensor),
            Dv = new TokenRows(gradients.V.Tensor),
            DpastK = new TokenRows(gradients.PastKeys),
            DpastV = new TokenRows(gradients.PastValues),
            AddDq = gradients.Q.Accumulate,
            AddDk = gradients.K.Accumulate,
            AddDv = gradients.V.Accumulate,
            Scratch = memory,
            FirstTile = view.First / Tile,
            FirstQueryTile = position / Tile,
            QueryTiles = queryTiles,
        };
        new Span<int>(job.Turns, checked((int)turns)).Clear();
        Pool.Run(ref job, view.Batch * view.KeyHeads * keyTiles);
    }

    // Five products over the visible pairs: scores and dp, then dq, dk and dv where they are wanted.
    private void CountBackward(in AttentionView view, int past, in AttentionOptions options, in AttentionGradients gradients)
    {
        long all = options.Flops(view.Tokens, past) / 2, own = options.Flops(view.Tokens, 0) / 2;
        long products = (all * (gradients.Q.Tensor is null ? 2 : 3))
            + (own * ((gradients.K.Tensor is null ? 0 : 1) + (gradients.V.Tensor is null ? 0 : 1)))
            + ((all - own) * ((gradients.PastKeys is null ? 0 : 1) + (gradients.PastValues is null ? 0 : 1)));
        CountFlops(view.Batch * products);
    }

    /// <summary>delta = sum(dy y) of each query and head, [B,H,T].</summary>
    private struct DeltaJob : IJob
    {
        public AttentionView View;
        public TokenRows Y, Dy;
        public float* Delta;

        public readonly void Run(int index, int worker)
        {
            int batch = index / View.Tokens, row = index % View.Tokens;
            for (int head = 0; head < View.Heads; head++)
            {
                Delta[((long)((batch * View.Heads) + head) * View.Tokens) + row] =
                    Simd.Dot(View.HeadDim, Y.At(batch, row, head * View.HeadDim), Dy.At(batch, row, head * View.HeadDim));
            }
        }
    }

    /// <summary>
    /// A tile of keys of one key head against all queries that see it, in the order of positions: probabilities are computed again
    /// from the log-sums (FlashAttention, algorithm 4). Scores are held as [queries, keys]. The item owns the gradients of its keys and
    /// values; that of a tile of queries is summed over key tiles in their order, whichever workers they fall to: each item waits for
    /// its turn, and since items are claimed in that order, the one to wait for is under way.
    /// </summary>
    private struct BackwardJob : IJob
    {
        public AttentionView View;
        public TokenRows Dy, Dq, Dk, Dv, DpastK, DpastV;
        public float* LogSums, Delta, Scratch;
        public int* Turns; // [B,H,query tiles]: the key tiles that have been added to dq, counted from the first
        public bool AddDq, AddDk, AddDv;
        public long FirstTile, FirstQueryTile;
        public int QueryTiles;

        public static int ScratchFloats(int headDim) => (2 * Tile * Tile) + (4 * Tile * headDim);

        public readonly void Run(int index, int worker)
        {
            int owners = View.Batch * View.KeyHeads, batch = index % owners / View.KeyHeads, keyHead = index % View.KeyHeads;
            long k0 = Math.Max(View.First, (FirstTile + (index / owners)) * Tile);
            KeyTile(batch, keyHead, k0, AttentionView.TileEnd(k0, View.End), Scratch + ((nint)worker * ScratchFloats(View.HeadDim)));
        }

        private readonly void KeyTile(int batch, int keyHead, long k0, long k1, float* scratch)
        {
            long first = Math.Max(View.Position, k0), end = View.EndQuery(k1 - 1);
            if (first >= end)
            {
                return; // the past may remember more than the window shows
            }

            int headDim = View.HeadDim, keys = (int)(k1 - k0), columns = (keys + 15) / 16 * 16;
            float* s = scratch, ds = s + (Tile * Tile);
            float* kt = ds + (Tile * Tile), vt = kt + (Tile * headDim), dk = vt + (Tile * headDim), dv = dk + (Tile * headDim);
            bool wantsDk = !(k0 < View.Position ? DpastK.IsNull && (k1 <= View.Position || Dk.IsNull) : Dk.IsNull);
            bool wantsDv = !(k0 < View.Position ? DpastV.IsNull && (k1 <= View.Position || Dv.IsNull) : Dv.IsNull);
            new Span<float>(kt, 4 * Tile * headDim).Clear();
            for (int i = 0; i < keys;)
            {
                KeyRun run = View.Run(k0 + i, k1);
                SmallGemm.Transpose(run.Count, headDim, View.Keys(run, batch, keyHead), View.KeyStride(run), kt + i, Tile);
                SmallGemm.Transpose(run.Count, headDim, View.Values(run, batch, keyHead), View.ValueStride(run), vt + i, Tile);
                i += run.Count;
            }

            for (int head = keyHead * View.Group; head < (keyHead + 1) * View.Group; head++)
            {
                long row0 = (long)((batch * View.Heads) + head) * View.Tokens;
                for (long q1 = 0, q0 = first; q0 < end; q0 = q1)
                {
                    q1 = AttentionView.TileEnd(q0, end);
                    int queries = (int)(q1 - q0), row = (int)(q0 - View.Position);
                    float* q = View.Q.At(batch, row, head * headDim), dy = Dy.At(batch, row, head * headDim);
                    SmallGemm.NN(queries, columns, headDim, q, View.Q.Stride, kt, Tile, s, Tile, 0, View.Scale);
                    SmallGemm.NN(queries, columns, headDim, dy, Dy.Stride, vt, Tile, ds, Tile, 0);
                    for (int i = 0; i < queries; i++)
                    {
                        float* si = s + (i * Tile), di = ds + (i * Tile);
                        AttentionKernel.ScoreGradients(si, di, columns, LogSums[row0 + row + i], Delta[row0 + row + i], View.Scale);

                        // What the query does not see: keys before its window, and after itself.
                        int low = (int)(Math.Max(k0, View.FirstKey(q0 + i)) - k0), high = (int)Math.Min(keys, q0 + i + 1 - k0);
                        new Span<float>(si, low).Clear();
                        new Span<float>(di, low).Clear();
                        new Span<float>(si + high, columns - high).Clear();
                        new Span<float>(di + high, columns - high).Clear();
                    }

                    if (wantsDv)
                    {
                        SmallGemm.TN(keys, headDim, queries, s, Tile, dy, Dy.Stride, dv, headDim, 1);
                    }

                    if (wantsDk)
                    {
                        SmallGemm.TN(keys, headDim, queries, ds, Tile, q, View.Q.Stride, dk, headDim, 1);
                    }

                    if (!Dq.IsNull)
                    {
                        AddToQueries(batch, head, q0, queries, k0, k1, ds);
                    }
                }
            }

            for (int i = 0; i < keys;)
            {
                KeyRun run = View.Run(k0 + i, k1);
                Put(run, run.Past ? DpastK : Dk, run.Past || AddDk, dk + (i * headDim));
                Put(run, run.Past ? DpastV : Dv, run.Past || AddDv, dv + (i * headDim));
                i += run.Count;
            }

            void Put(KeyRun run, TokenRows target, bool accumulate, float* gradient)
            {
                if (!target.IsNull)
                {
                    AttentionKernel.Put(run.Count, headDim, gradient, headDim, target.At(batch, run.Row, keyHead * headDim), target.Stride, accumulate);
                }
            }
        }

        // dq += ds k, when the key tiles before this one have been added.
        private readonly void AddToQueries(int batch, int head, long q0, int queries, long k0, long k1, float* ds)
        {
            ref int turn = ref Turns[((((long)batch * View.Heads) + head) * QueryTiles) + (q0 / Tile) - FirstQueryTile];
            int mine = (int)((k0 / Tile) - (View.FirstKey(q0) / Tile)), row = (int)(q0 - View.Position);
            SpinWait wait = default;
            while (Volatile.Read(ref turn) != mine)
            {
                wait.SpinOnce();
            }

            if (mine == 0 && !AddDq)
            {
                // All of the tile, even where the first keys are out of the window of its last queries.
                for (int i = 0; i < AttentionView.TileEnd(q0, View.End) - q0; i++)
                {
                    new Span<float>(Dq.At(batch, row + i, head * View.HeadDim), View.HeadDim).Clear();
                }
            }

            float* dq = Dq.At(batch, row, head * View.HeadDim);
            for (long k = k0; k < k1;)
            {
                KeyRun run = View.Run(k, k1);
                SmallGemm.NN(queries, View.HeadDim, run.Count, ds + (k - k0), Tile, View.Keys(run, batch, head / View.Group), View.KeyStride(run), dq, Dq.Stride, 1);
                k += run.Count;
            }

            Volatile.Write(ref turn, mine + 1);
        }
    }
}
