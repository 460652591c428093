namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void AttentionBackward(in AttentionOperands operands, Tensor y, Tensor logSums, Tensor dy, in AttentionGradients gradients)
    {
        using Timed timed = Measure([operands, y, logSums, dy, gradients.Q, gradients.K, gradients.V, gradients.LogForget]);
        var view = new AttentionView(operands);
        if (view.Tokens == 0)
        {
            return;
        }

        CountBackward(view.Options, view.Batch, view.Options.Pairs(view.Tokens, operands.Past.Length), view.Options.Pairs(view.Tokens, 0), gradients);

        var decay = new AttentionDecay(view, operands);
        bool gates = gradients.LogForget.Tensor is not null || gradients.PastLogForget is not null;
        double* doubles = (double*)Pool.Scratch(0, 2 * (decay.Doubles + (gates ? AttentionGateSums.Doubles(view) : 0)), slot: 1);
        decay.Prepare(Pool, doubles);

        int keyTiles = (int)(((view.End - 1) / Tile) - (view.First / Tile) + 1);
        int queryTiles = (int)(((view.End - 1) / Tile) - (view.Position / Tile) + 1);
        nint deltas = (nint)view.Batch * view.Heads * view.Tokens, turns = (nint)view.Batch * view.Heads * queryTiles;
        int scratch = BackwardJob.ScratchFloats(view);
        float* memory = Pool.Scratch(0, ((nint)scratch * Pool.Workers) + deltas + turns);
        float* delta = memory + ((nint)scratch * Pool.Workers);

        DeltaJob deltaJob = new() { View = view, Y = new TokenRows(y), Dy = new TokenRows(dy), Delta = delta };
        Pool.Run(ref deltaJob, view.Batch * view.Tokens);

        BackwardJob job = new()
        {
            View = view,
            Decay = decay,
            Dy = new TokenRows(dy),
            LogSums = logSums.Pointer,
            Delta = delta,
            Turns = (int*)(delta + deltas),
            Gates = gates ? new AttentionGateSums(view, doubles + decay.Doubles) : default,
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
            FirstQueryTile = view.Position / Tile,
            QueryTiles = queryTiles,
        };
        new Span<int>(job.Turns, checked((int)turns)).Clear();
        Pool.Run(ref job, view.Batch * view.KeyHeads * keyTiles);
        if (gates)
        {
            GateJob gateJob = new()
            {
                View = view,
                Gates = job.Gates,
                D = new TokenRows(gradients.LogForget.Tensor),
                Dpast = new TokenRows(gradients.PastLogForget),
                Add = gradients.LogForget.Accumulate,
            };
            Pool.Run(ref gateJob, view.Batch * view.Heads);
        }
    }

    // Five products over the visible pairs: scores and dp, then dq, dk and dv where they are wanted; of all keys, or of the sequence's own and the past's.
    private void CountBackward(in AttentionOptions options, int batch, long all, long own, in AttentionGradients gradients)
    {
        long keys = (all * (gradients.Q.Tensor is null ? 1 : 2)) + (gradients.K.Tensor is null ? 0 : own) + (gradients.PastKeys is null ? 0 : all - own);
        long values = all + (gradients.V.Tensor is null ? 0 : own) + (gradients.PastValues is null ? 0 : all - own);
        CountFlops(2 * batch * ((keys * options.HeadDim) + (values * options.ValueDim)));
    }

    /// <summary>Puts the gradient of one head's log forget gates where it is wanted.</summary>
    private struct GateJob : IJob
    {
        public AttentionView View;
        public AttentionGateSums Gates;
        public TokenRows D, Dpast;
        public bool Add;

        public readonly void Run(int index, int worker)
        {
            int batch = index / View.Heads, head = index % View.Heads;
            double* gradients = Gates.Gradients(index);
            for (long p = View.First; p < View.End; p++)
            {
                KeyRun run = View.Run(p, p + 1);
                TokenRows target = run.Past ? Dpast : D;
                if (!target.IsNull)
                {
                    float* d = target.At(batch, run.Row, head);
                    *d = (run.Past || Add ? *d : 0) + (float)gradients[p - View.First];
                }
            }
        }
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
                    Simd.Dot(View.ValueDim, Y.At(batch, row, head * View.ValueDim), Dy.At(batch, row, head * View.ValueDim));
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
        public AttentionDecay Decay;
        public AttentionGateSums Gates;
        public TokenRows Dy, Dq, Dk, Dv, DpastK, DpastV;
        public float* LogSums, Delta, Scratch;
        public int* Turns; // [B,H,query tiles]: the key tiles that have been added to dq, counted from the first
        public bool AddDq, AddDk, AddDv;
        public long FirstTile, FirstQueryTile;
        public int QueryTiles;

        public static int ScratchFloats(in AttentionView view) => (2 * Tile * Tile) + (2 * Tile * (view.HeadDim + view.ValueDim)) + (4 * Tile);

        public readonly void Run(int index, int worker)
        {
            int owners = View.Batch * View.KeyHeads, batch = index % owners / View.KeyHeads, keyHead = index % View.KeyHeads;
            long k0 = Math.Max(View.First, (FirstTile + (index / owners)) * Tile);
            KeyTile(batch, keyHead, k0, AttentionView.TileEnd(k0, View.End), Scratch + ((nint)worker * ScratchFloats(View)));
        }

        private readonly void KeyTile(int batch, int keyHead, long k0, long k1, float* scratch)
        {
            // The last head's window is the widest.
            long first = Math.Max(View.Position, k0);
            if (first >= View.EndQuery(View.Heads - 1, k1 - 1))
            {
                return; // the past may remember more than the window shows
            }

            int headDim = View.HeadDim, valueDim = View.ValueDim, keys = (int)(k1 - k0), columns = (keys + 15) / 16 * 16;
            float* s = scratch, ds = s + (Tile * Tile);
            float* kt = ds + (Tile * Tile), vt = kt + (Tile * headDim), dk = vt + (Tile * valueDim), dv = dk + (Tile * headDim);
            float* queryBias = dv + (Tile * valueDim), keyBias = queryBias + (2 * Tile);
            bool wantsDk = !(k0 < View.Position ? DpastK.IsNull && (k1 <= View.Position || Dk.IsNull) : Dk.IsNull);
            bool wantsDv = !(k0 < View.Position ? DpastV.IsNull && (k1 <= View.Position || Dv.IsNull) : Dv.IsNull);
            new Span<float>(kt, 2 * Tile * (headDim + valueDim)).Clear();
            for (int i = 0; i < keys;)
            {
                KeyRun run = View.Run(k0 + i, k1);
                SmallGemm.Transpose(run.Count, headDim, View.Keys(run, batch, keyHead), View.KeyStride(run), kt + i, Tile);
                SmallGemm.Transpose(run.Count, valueDim, View.Values(run, batch, keyHead), View.ValueStride(run), vt + i, Tile);
                i += run.Count;
            }

            for (int head = keyHead * View.Group; head < (keyHead + 1) * View.Group; head++)
            {
                long row0 = (long)((batch * View.Heads) + head) * View.Tokens, end = View.EndQuery(head, k1 - 1);
                for (long q1 = 0, q0 = first; q0 < end; q0 = q1)
                {
                    q1 = AttentionView.TileEnd(q0, end);
                    int queries = (int)(q1 - q0), row = (int)(q0 - View.Position);
                    float* q = View.Q.At(batch, row, head * headDim), dy = Dy.At(batch, row, head * valueDim);
                    SmallGemm.NN(queries, columns, headDim, q, View.Q.Stride, kt, Tile, s, Tile, 0, View.Scale);
                    SmallGemm.NN(queries, columns, valueDim, dy, Dy.Stride, vt, Tile, ds, Tile, 0);
                    if (!Decay.IsNull)
                    {
                        Decay.Parts(batch, head, q0, q1, q0, 1, queryBias);
                        Decay.Parts(batch, head, k0, k1, q0, -1, keyBias);
                        AttentionKernel.AddBias(s, queries, columns, queryBias, keyBias);
                    }

                    AttentionKernel.ScoreGradients(s, Tile, ds, Tile, queries, columns, null, LogSums + row0 + row, Delta + row0 + row);
                    for (int i = 0; i < queries; i++)
                    {
                        float* si = s + (i * Tile), di = ds + (i * Tile);

                        // What the query does not see: keys before its window, and after itself.
                        int low = (int)(Math.Max(k0, View.FirstKey(head, q0 + i)) - k0), high = (int)Math.Min(keys, q0 + i + 1 - k0);
                        new Span<float>(si, low).Clear();
                        new Span<float>(di, low).Clear();
                        new Span<float>(si + high, columns - high).Clear();
                        new Span<float>(di + high, columns - high).Clear();
                    }

                    if (wantsDv)
                    {
                        SmallGemm.TN(keys, valueDim, queries, s, Tile, dy, Dy.Stride, dv, valueDim, 1);
                    }

                    if (wantsDk)
                    {
                        SmallGemm.TN(keys, headDim, queries, ds, Tile, q, View.Q.Stride, dk, headDim, 1, View.Scale);
                    }

                    if (!Dq.IsNull || !Gates.IsNull)
                    {
                        AddToQueries(batch, head, q0, queries, k0, k1, ds);
                    }
                }
            }

            for (int i = 0; i < keys;)
            {
                KeyRun run = View.Run(k0 + i, k1);
                Put(run, headDim, run.Past ? DpastK : Dk, run.Past || AddDk, dk + (i * headDim));
                Put(run, valueDim, run.Past ? DpastV : Dv, run.Past || AddDv, dv + (i * valueDim));
                i += run.Count;
            }

            void Put(KeyRun run, int dim, TokenRows target, bool accumulate, float* gradient)
            {
                if (!target.IsNull)
                {
                    AttentionKernel.Put(run.Count, dim, gradient, dim, target.At(batch, run.Row, keyHead * dim), target.Stride, accumulate);
                }
            }
        }

        // dq += ds k, when the key tiles before this one have been added.
        private readonly void AddToQueries(int batch, int head, long q0, int queries, long k0, long k1, float* ds)
        {
            ref int turn = ref Turns[((((long)batch * View.Heads) + head) * QueryTiles) + (q0 / Tile) - FirstQueryTile];
            int mine = (int)((k0 / Tile) - (View.FirstKey(head, q0) / Tile)), row = (int)(q0 - View.Position);
            SpinWait wait = default;
            while (Volatile.Read(ref turn) != mine)
            {
                wait.SpinOnce();
            }

            if (!Dq.IsNull)
            {
                AddGradient(batch, head, q0, queries, k0, k1, ds, mine == 0 && !AddDq);
            }

            if (!Gates.IsNull)
            {
                Gates.Add((batch * View.Heads) + head, q0, queries, k0, (int)(k1 - k0), ds);
            }

            Volatile.Write(ref turn, mine + 1);
        }

        private readonly void AddGradient(int batch, int head, long q0, int queries, long k0, long k1, float* ds, bool fresh)
        {
            int row = (int)(q0 - View.Position);
            if (fresh)
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
                SmallGemm.NN(queries, View.HeadDim, run.Count, ds + (k - k0), Tile, View.Keys(run, batch, head / View.Group), View.KeyStride(run), dq, Dq.Stride, 1, View.Scale);
                k += run.Count;
            }
        }
    }
}
