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

        nint deltas = (nint)view.Batch * view.Heads * view.Tokens;
        DeltaJob deltaJob = new() { View = view, Y = new TokenRows(y), Dy = new TokenRows(dy) };
        AttentionGateSums gateSums = gates ? new AttentionGateSums(view, doubles + decay.Doubles) : default;
        var dq = new TokenRows(gradients.Q.Tensor);
        if (kernels == null)
        {
            deltaJob.Delta = Shared(deltas);
            Pool.Run(ref deltaJob, view.Batch * view.Tokens);
            Backward(view, decay, gateSums, logSums.Pointer, deltaJob.Delta, gradients, new FloatAttentionGradientTiles(view, deltaJob.Dy, dq, gradients.Q.Accumulate));
        }
        else
        {
            var tiles = new Bf16AttentionGradientTiles(kernels, view, deltaJob.Dy, dq, gradients.Q.Accumulate);
            float* packed = Shared(tiles.PackedFloats + deltas);
            deltaJob.Delta = packed + tiles.PackedFloats;
            Pool.Run(ref deltaJob, view.Batch * view.Tokens);
            tiles.Pack(Pool, packed);
            Backward(view, decay, gateSums, logSums.Pointer, deltaJob.Delta, gradients, tiles);
        }

        if (gates)
        {
            GateJob gateJob = new()
            {
                View = view,
                Gates = gateSums,
                D = new TokenRows(gradients.LogForget.Tensor),
                Dpast = new TokenRows(gradients.PastLogForget),
                Add = gradients.LogForget.Accumulate,
            };
            Pool.Run(ref gateJob, view.Batch * view.Heads);
        }
    }

    private void Backward<TTiles>(in AttentionView view, in AttentionDecay decay, in AttentionGateSums gates, float* logSums, float* delta,
        in AttentionGradients gradients, TTiles products) where TTiles : unmanaged, IAttentionGradientTiles
    {
        BackwardJob<TTiles> job = new()
        {
            View = view,
            Decay = decay,
            Gates = gates,
            Products = products,
            LogSums = logSums,
            Delta = delta,
            Dk = new TokenRows(gradients.K.Tensor),
            Dv = new TokenRows(gradients.V.Tensor),
            DpastK = new TokenRows(gradients.PastKeys),
            DpastV = new TokenRows(gradients.PastValues),
            WantsDq = gradients.Q.Tensor is not null,
            AddDk = gradients.K.Accumulate,
            AddDv = gradients.V.Accumulate,
            FirstTile = view.First / Tile,
            FirstQueryTile = view.Position / Tile,
            QueryTiles = view.QueryTiles,
        };
        nint scratch = (nint)job.ScratchFloats * Pool.Workers, turns = (nint)view.Batch * view.Heads * view.QueryTiles;
        job.Scratch = Pool.Scratch(0, scratch + turns);
        job.Turns = (int*)(job.Scratch + scratch);
        new Span<int>(job.Turns, checked((int)turns)).Clear();
        Pool.Run(ref job, view.Batch * view.KeyHeads * view.KeyTiles);
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
    private struct BackwardJob<TTiles> : IJob where TTiles : unmanaged, IAttentionGradientTiles
    {
        public AttentionView View;
        public AttentionDecay Decay;
        public AttentionGateSums Gates;
        public TTiles Products;
        public TokenRows Dk, Dv, DpastK, DpastV;
        public float* LogSums, Delta, Scratch;
        public int* Turns; // [B,H,query tiles]: the key tiles that have been added to dq, counted from the first
        public bool WantsDq, AddDk, AddDv;
        public long FirstTile, FirstQueryTile;
        public int QueryTiles;

        public readonly int ScratchFloats => Products.ScratchFloats + (4 * Tile);

        public readonly void Run(int index, int worker)
        {
            int owners = View.Batch * View.KeyHeads, batch = index % owners / View.KeyHeads, keyHead = index % View.KeyHeads;
            long k0 = Math.Max(View.First, (FirstTile + (index / owners)) * Tile);
            KeyTile(batch, keyHead, k0, AttentionView.TileEnd(k0, View.End), Scratch + ((nint)worker * ScratchFloats));
        }

        private readonly void KeyTile(int batch, int keyHead, long k0, long k1, float* scratch)
        {
            // The last head's window is the widest.
            long first = Math.Max(View.Position, k0);
            if (first >= View.EndQuery(View.Heads - 1, k1 - 1))
            {
                return; // the past may remember more than the window shows
            }

            int keys = (int)(k1 - k0), columns = (keys + 15) / 16 * 16;
            float* queryBias = scratch, keyBias = queryBias + (2 * Tile);
            bool wantsDk = !(k0 < View.Position ? DpastK.IsNull && (k1 <= View.Position || Dk.IsNull) : Dk.IsNull);
            bool wantsDv = !(k0 < View.Position ? DpastV.IsNull && (k1 <= View.Position || Dv.IsNull) : Dv.IsNull);
            TTiles products = Products;
            products.Begin(keyBias + (2 * Tile), batch, keyHead, k0, k1);
            for (int head = keyHead * View.Group; head < (keyHead + 1) * View.Group; head++)
            {
                long row0 = (long)((batch * View.Heads) + head) * View.Tokens, end = View.EndQuery(head, k1 - 1);
                for (long q1 = 0, q0 = first; q0 < end; q0 = q1)
                {
                    q1 = AttentionView.TileEnd(q0, end);
                    int queries = (int)(q1 - q0), row = (int)(q0 - View.Position);
                    products.Scores(head, q0, queries);
                    if (!Decay.IsNull)
                    {
                        Decay.Parts(batch, head, q0, q1, q0, 1, queryBias);
                        Decay.Parts(batch, head, k0, k1, q0, -1, keyBias);
                        AttentionKernel.AddBias(products.S, queries, columns, queryBias, keyBias);
                    }

                    products.Gradients(LogSums + row0 + row, Delta + row0 + row);
                    if (wantsDv)
                    {
                        products.AddToValues();
                    }

                    if (wantsDk)
                    {
                        products.AddToKeys();
                    }

                    if (WantsDq || !Gates.IsNull)
                    {
                        AddToQueries(ref products, batch, head, q0, queries, k0, k1);
                    }
                }
            }

            products.End();
            for (long k = k0; k < k1;)
            {
                KeyRun run = View.Run(k, k1);
                Put(run, View.HeadDim, run.Past ? DpastK : Dk, run.Past || AddDk, products.Dk + ((k - k0) * products.DkStride), products.DkStride);
                Put(run, View.ValueDim, run.Past ? DpastV : Dv, run.Past || AddDv, products.Dv + ((k - k0) * products.DvStride), products.DvStride);
                k += run.Count;
            }

            void Put(KeyRun run, int dim, TokenRows target, bool accumulate, float* gradient, nint stride)
            {
                if (!target.IsNull)
                {
                    AttentionKernel.Put(run.Count, dim, gradient, stride, target.At(batch, run.Row, keyHead * dim), target.Stride, accumulate);
                }
            }
        }

        // dq += ds k, when the key tiles before this one have been added.
        private readonly void AddToQueries(ref TTiles products, int batch, int head, long q0, int queries, long k0, long k1)
        {
            ref int turn = ref Turns[((((long)batch * View.Heads) + head) * QueryTiles) + (q0 / Tile) - FirstQueryTile];
            int mine = (int)((k0 / Tile) - (View.FirstKey(head, q0) / Tile));
            SpinWait wait = default;
            while (Volatile.Read(ref turn) != mine)
            {
                wait.SpinOnce();
            }

            if (WantsDq)
            {
                products.AddToQueries(mine == 0);
            }

            if (!Gates.IsNull)
            {
                Gates.Add((batch * View.Heads) + head, q0, queries, k0, (int)(k1 - k0), products.D);
            }

            Volatile.Write(ref turn, mine + 1);
        }
    }
}
