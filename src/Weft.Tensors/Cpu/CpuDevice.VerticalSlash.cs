namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void VerticalSlashAttention(in AttentionOperands operands, in VerticalSlash pattern, Tensor choices, Tensor y, Tensor? logSums)
    {
        using Timed timed = Measure([Operand.Sparse(operands, pattern.Vertical + pattern.Slash), choices, y, logSums]);
        var view = new AttentionView(operands);
        CountFlops(2L * view.Batch * view.Heads * pattern.Pairs(view.Tokens, view.Position) * (view.HeadDim + view.ValueDim));
        if (view.Tokens == 0)
        {
            return;
        }

        int most = VerticalSlashTile.Most(pattern), tiles = (int)(((view.End - 1) / most) - (view.Position / most) + 1);
        SlashForwardJob job = new()
        {
            View = view,
            Pattern = pattern,
            Choices = choices.Pointer,
            ChoiceStride = choices.Shape.Count / view.Batch,
            Y = new TokenRows(y),
            LogSums = logSums is null ? null : logSums.Pointer,
            Scratch = Pool.Scratch(0, SlashForwardJob.ScratchFloats(view, pattern) * Pool.Workers),
            ScratchInts = (int*)Pool.Scratch(0, VerticalSlashTile.Ints(pattern) * Pool.Workers, slot: 1),
            Tiles = tiles,
        };
        Pool.Run(ref job, checked(view.Batch * view.Heads * tiles));
    }

    internal override void VerticalSlashAttentionBackward(in AttentionOperands operands, in VerticalSlash pattern, Tensor choices, Tensor y, Tensor logSums, Tensor dy, in AttentionGradients gradients)
    {
        using Timed timed = Measure([Operand.Sparse(operands, pattern.Vertical + pattern.Slash), choices, y, logSums, dy, gradients.Q, gradients.K, gradients.V, gradients.LogForget]);
        var view = new AttentionView(operands);
        if (view.Tokens == 0)
        {
            return;
        }

        long* pastPairs = stackalloc long[1];
        *pastPairs = 0;
        SlashBackwardJob job = new()
        {
            View = view,
            Pattern = pattern,
            Choices = choices.Pointer,
            ChoiceStride = choices.Shape.Count / view.Batch,
            LogSums = logSums.Pointer,
            PastPairs = pastPairs,
            Y = new TokenRows(y),
            Dy = new TokenRows(dy),
            Dq = new TokenRows(gradients.Q.Tensor),
            Dk = new TokenRows(gradients.K.Tensor),
            Dv = new TokenRows(gradients.V.Tensor),
            DpastK = new TokenRows(gradients.PastKeys),
            DpastV = new TokenRows(gradients.PastValues),
            AddDq = gradients.Q.Accumulate,
            AddDk = gradients.K.Accumulate,
            AddDv = gradients.V.Accumulate,
            Scratch = Pool.Scratch(0, SlashBackwardJob.ScratchFloats(view, pattern) * Pool.Workers),
            ScratchInts = (int*)Pool.Scratch(0, VerticalSlashTile.Ints(pattern) * Pool.Workers, slot: 1),
        };
        Pool.Run(ref job, view.Batch * view.KeyHeads);
        long all = view.Batch * view.Heads * pattern.Pairs(view.Tokens, view.Position);
        CountBackward(view.Options, 1, all, all - *pastPairs, gradients);
    }

    /// <summary>Some queries of one head, with the scores of all that they see side by side.</summary>
    private struct SlashForwardJob : IJob
    {
        public AttentionView View;
        public VerticalSlash Pattern;
        public TokenRows Y;
        public float* Choices, LogSums, Scratch; // [B,tiles,H,vertical + slash]; [B,H,T] or null
        public long ChoiceStride;
        public int* ScratchInts;
        public int Tiles;

        // Scores, the output, the columns' keys or values, and as much again, or as the diagonals take, for keys turned or copied.
        public static nint ScratchFloats(in AttentionView view, in VerticalSlash pattern) =>
            ((nint)VerticalSlashTile.Most(pattern) * (VerticalSlashTile.RowWidth(pattern) + view.ValueDim))
            + (((nint)pattern.Vertical + Math.Max(pattern.Vertical, pattern.Slash)) * Math.Max(view.HeadDim, view.ValueDim));

        public readonly void Run(int index, int worker)
        {
            int owner = index / Tiles, batch = owner / View.Heads, head = owner % View.Heads, most = VerticalSlashTile.Most(Pattern);
            long first = Math.Max(View.Position, ((View.Position / most) + (index % Tiles)) * most);
            var tile = new VerticalSlashTile(View, Pattern, batch, head, first, Choices + (batch * ChoiceStride), ScratchInts + (worker * VerticalSlashTile.Ints(Pattern)));
            (int valueDim, nint width) = (View.ValueDim, tile.Width);
            float* s = Scratch + (worker * ScratchFloats(View, Pattern)), o = s + (most * width), gathered = o + (most * valueDim), turned = gathered + (Pattern.Vertical * Math.Max(View.HeadDim, valueDim));
            tile.Gather(false, gathered);
            tile.Products(View.Q.At(batch, tile.Row, head * View.HeadDim), View.Q.Stride, false, gathered, turned, s, View.Scale);
            tile.Mask(s);
            tile.Gather(true, gathered);
            for (int i = 0; i < tile.Count; i++)
            {
                float* si = s + (i * width);
                float largest = Simd.Max(width, si), sum = AttentionKernel.ExpSum(si, (int)width, largest);
                Simd.Scale(width, 1 / sum, si);
                if (LogSums is not null)
                {
                    LogSums[((long)owner * View.Tokens) + tile.Row + i] = largest + MathF.Log(sum);
                }
            }

            SmallGemm.NN(tile.Count, valueDim, tile.Existing, s, tile.Width, gathered, valueDim, o, valueDim, 0);
            for (int i = 0; i < tile.Count; i++)
            {
                float* p = s + (i * width) + tile.SlashStart, oi = o + (i * valueDim);
                for (int end, at = tile.FirstDiagonal(i); at < tile.DiagonalCount; at = end)
                {
                    end = tile.RunEnd(at);
                    float* v = tile.Run(i, at, true, turned, out nint stride);
                    SmallGemm.NN(1, valueDim, end - at, p + at, tile.Width, v, stride, oi, valueDim, 1);
                }
            }

            AttentionKernel.Put(tile.Count, valueDim, o, valueDim, Y.At(batch, tile.Row, head * valueDim), Y.Stride, false);
        }
    }

    /// <summary>One key head of one sequence: the queries of its heads in their order. The item owns the gradients of its keys and values, and of its queries.</summary>
    private struct SlashBackwardJob : IJob
    {
        public AttentionView View;
        public VerticalSlash Pattern;
        public float* Choices, LogSums, Scratch;
        public long ChoiceStride;
        public TokenRows Y, Dy, Dq, Dk, Dv, DpastK, DpastV;
        public bool AddDq, AddDk, AddDv;
        public long* PastPairs; // gets the products with keys of the past
        public int* ScratchInts;

        // Scores and their gradients; gradients of queries; the columns' keys or values, or their gradients; and what turning and copying takes.
        public static nint ScratchFloats(in AttentionView view, in VerticalSlash pattern)
        {
            int dim = Math.Max(view.HeadDim, view.ValueDim);
            return ((nint)VerticalSlashTile.Most(pattern) * ((2 * VerticalSlashTile.RowWidth(pattern)) + view.HeadDim)) + (((nint)pattern.Vertical + Math.Max(pattern.Vertical, pattern.Slash)) * dim);
        }

        public readonly void Run(int index, int worker)
        {
            int batch = index / View.KeyHeads, keyHead = index % View.KeyHeads;
            Clear(View, Dk, AddDk, batch, keyHead * View.HeadDim, View.HeadDim);
            Clear(View, Dv, AddDv, batch, keyHead * View.ValueDim, View.ValueDim);
            Clear(View, Dq, AddDq, batch, keyHead * View.Group * View.HeadDim, View.Group * View.HeadDim);
            long pastPairs = 0;
            for (int head = keyHead * View.Group; head < (keyHead + 1) * View.Group; head++)
            {
                for (long first = View.Position; first < View.End; first = VerticalSlashTile.End(View, Pattern, first))
                {
                    var tile = new VerticalSlashTile(View, Pattern, batch, head, first, Choices + (batch * ChoiceStride), ScratchInts + (worker * VerticalSlashTile.Ints(Pattern)));
                    Tile(tile, batch, head, Scratch + (worker * ScratchFloats(View, Pattern)));
                    pastPairs += tile.PastPairs();
                }
            }

            Interlocked.Add(ref *PastPairs, pastPairs);
        }

        private readonly void Tile(in VerticalSlashTile tile, int batch, int head, float* scratch)
        {
            (int headDim, int valueDim, nint width, int keyHead) = (View.HeadDim, View.ValueDim, tile.Width, head / View.Group);
            int most = VerticalSlashTile.Most(Pattern), columns = tile.Existing;
            float* s = scratch, ds = s + (most * width), dq = ds + (most * width), gathered = dq + (most * headDim), turned = gathered + (Pattern.Vertical * Math.Max(headDim, valueDim));
            float* q = View.Q.At(batch, tile.Row, head * headDim), dy = Dy.At(batch, tile.Row, head * valueDim);
            (nint qStride, nint dyStride) = (View.Q.Stride, Dy.Stride);
            tile.Gather(false, gathered);
            tile.Products(q, qStride, false, gathered, turned, s, View.Scale);
            tile.Mask(s);
            tile.Gather(true, gathered);
            new Span<float>(ds, checked((int)(tile.Count * width))).Clear();
            tile.Products(dy, dyStride, true, gathered, turned, ds, 1);
            for (int i = 0; i < tile.Count; i++)
            {
                float delta = Simd.Dot(valueDim, Y.At(batch, tile.Row + i, head * valueDim), dy + (i * dyStride));
                float logSum = LogSums[((((long)batch * View.Heads) + head) * View.Tokens) + tile.Row + i];
                AttentionKernel.ScoreGradients(s + (i * width), ds + (i * width), (int)width, logSum, delta);
            }

            if (!Dv.IsNull || !DpastV.IsNull)
            {
                SmallGemm.TN(columns, valueDim, tile.Count, s, tile.Width, dy, dyStride, gathered, valueDim, 0);
                tile.Scatter(gathered, valueDim, Dv, DpastV);
            }

            if (!Dk.IsNull || !DpastK.IsNull)
            {
                SmallGemm.TN(columns, headDim, tile.Count, ds, tile.Width, q, qStride, gathered, headDim, 0, View.Scale);
                tile.Scatter(gathered, headDim, Dk, DpastK);
            }

            tile.Gather(false, gathered);
            SmallGemm.NN(tile.Count, headDim, columns, ds, tile.Width, gathered, headDim, dq, headDim, 0, View.Scale);
            for (int i = 0; i < tile.Count; i++)
            {
                float* p = s + (i * width) + tile.SlashStart, d = ds + (i * width) + tile.SlashStart;
                for (int end, at = tile.FirstDiagonal(i); at < tile.DiagonalCount; at = end)
                {
                    end = tile.RunEnd(at);
                    float* keys = tile.Run(i, at, false, turned, out nint stride);
                    SmallGemm.NN(1, headDim, end - at, d + at, tile.Width, keys, stride, dq + (i * headDim), headDim, 1, View.Scale);
                    for (int j = at; j < end; j++)
                    {
                        float* dv = tile.Target(i, j, Dv, DpastV, valueDim), dk = tile.Target(i, j, Dk, DpastK, headDim);
                        if (dv is not null)
                        {
                            Simd.Axpy(valueDim, p[j], dy + (i * dyStride), dv);
                        }

                        if (dk is not null)
                        {
                            Simd.Axpy(headDim, View.Scale * d[j], q + (i * qStride), dk);
                        }
                    }
                }
            }

            for (int i = 0; !Dq.IsNull && i < tile.Count; i++)
            {
                Simd.Add(headDim, dq + (i * headDim), Dq.At(batch, tile.Row + i, head * headDim));
            }
        }
    }
}
