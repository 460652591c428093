namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
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
            Scratch = Pool.Scratch(0, new SlashBackwardJob.Layout(view, pattern).Floats * Pool.Workers),
            ScratchInts = (int*)Pool.Scratch(0, VerticalSlashTile.Ints(view, pattern) * Pool.Workers, slot: 1),
        };
        Pool.Run(ref job, view.Batch * view.KeyHeads);
        long all = view.Batch * view.Heads * pattern.Pairs(view.Tokens, view.Position);
        CountBackward(view.Options, 1, all, all - *pastPairs, gradients);
    }

    /// <summary>
    /// One key head of one sequence: the queries of its heads in their order. Probabilities are computed again from the log-sums, some columns or a
    /// group of diagonals at a time. The item owns the gradients of its keys and values, and of its queries.
    /// </summary>
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

        /// <summary>A worker's memory: where each part begins, in floats.</summary>
        internal readonly struct Layout
        {
            public Layout(in AttentionView view, in VerticalSlash pattern)
            {
                (QWidth, VWidth) = (HeadRows.Width(view.HeadDim), HeadRows.Width(view.ValueDim));
                Whole = VerticalSlashTile.Whole(view, pattern);
                nint part = VerticalSlashTile.Part(pattern), bands = Whole ? VerticalSlashTile.WholeRows(view) : SlashKernel.Diagonals * part, at = 0;
                S = Take(part * VerticalSlashTile.RowWidth(pattern));
                Ds = Take(part * Tile);
                Q = Take(part * QWidth);
                Dq = Take(part * QWidth);
                Dy = Take(part * VWidth);
                Delta = Take(part);
                Turned = Take(Tile * Math.Max(QWidth, VWidth));
                K = Take(pattern.Vertical * (nint)QWidth);
                V = Take(pattern.Vertical * (nint)VWidth);
                Dk = Take(pattern.Vertical * (nint)QWidth);
                Dv = Take(pattern.Vertical * (nint)VWidth);
                BandK = Take(bands * QWidth);
                BandV = Take(bands * VWidth);
                BandDk = Take(bands * QWidth);
                BandDv = Take(bands * VWidth);
                Floats = at;

                nint Take(nint floats)
                {
                    nint start = at;
                    at += floats;
                    return start;
                }
            }

            public readonly bool Whole; // the bands are those of all positions
            public readonly int QWidth, VWidth; // of rows of queries and keys, of values: whole vectors
            public readonly nint S, Ds, Q, Dq, Dy, Delta, Turned, K, V, Dk, Dv, BandK, BandV, BandDk, BandDv, Floats;
        }

        public readonly void Run(int index, int worker)
        {
            int batch = index / View.KeyHeads, keyHead = index % View.KeyHeads;
            Clear(View, Dk, AddDk, batch, keyHead * View.HeadDim, View.HeadDim);
            Clear(View, Dv, AddDv, batch, keyHead * View.ValueDim, View.ValueDim);
            Clear(View, Dq, AddDq, batch, keyHead * View.Group * View.HeadDim, View.Group * View.HeadDim);
            var layout = new Layout(View, Pattern);
            float* memory = Scratch + (worker * layout.Floats);
            nint whole = VerticalSlashTile.WholeRows(View);
            var rows = new HeadRows(View, batch, keyHead);
            if (layout.Whole)
            {
                rows.Read(VerticalSlashTile.WholeStart, View.End, false, memory + layout.BandK);
                rows.Read(VerticalSlashTile.WholeStart, View.End, true, memory + layout.BandV);
                Simd.Fill(memory + layout.BandDk, whole * layout.QWidth, 0);
                Simd.Fill(memory + layout.BandDv, whole * layout.VWidth, 0);
            }

            long pastPairs = 0;
            for (int head = keyHead * View.Group; head < (keyHead + 1) * View.Group; head++)
            {
                for (long first = View.Position; first < View.End;)
                {
                    var tile = new VerticalSlashTile(View, Pattern, batch, head, first, Choices + (batch * ChoiceStride), ScratchInts + (worker * VerticalSlashTile.Ints(View, Pattern)));
                    Run(tile, layout, batch, head, memory);
                    pastPairs += tile.PastPairs();
                    first = tile.End;
                }
            }

            if (layout.Whole)
            {
                rows.Add(0, View.End, memory + layout.BandDk - (VerticalSlashTile.WholeStart * layout.QWidth), View.HeadDim, Dk, DpastK);
                rows.Add(0, View.End, memory + layout.BandDv - (VerticalSlashTile.WholeStart * layout.VWidth), View.ValueDim, Dv, DpastV);
            }

            Interlocked.Add(ref *PastPairs, pastPairs);
        }

        private readonly void Run(in VerticalSlashTile tile, in Layout layout, int batch, int head, float* memory)
        {
            float* keys = memory + layout.K, values = memory + layout.V, dk = memory + layout.Dk, dv = memory + layout.Dv;
            tile.Gather(false, keys);
            tile.Gather(true, values);
            new Span<float>(dk, tile.ColumnCount * layout.QWidth).Clear();
            new Span<float>(dv, tile.ColumnCount * layout.VWidth).Clear();
            for (long end, start = tile.First; start < tile.End; start = end)
            {
                end = tile.PartEnd(start);
                int count = (int)(end - start), row = (int)(start - View.Position);
                float* q = memory + layout.Q, dy = memory + layout.Dy, dq = memory + layout.Dq, delta = memory + layout.Delta;
                HeadRows.Copy(count, View.HeadDim, View.Q.At(batch, row, head * View.HeadDim), View.Q.Stride, q);
                HeadRows.Copy(count, View.ValueDim, Dy.At(batch, row, head * View.ValueDim), Dy.Stride, dy);
                Simd.Scale(count * layout.QWidth, View.Scale, q); // scaled queries give scaled scores, and the keys' gradients too
                new Span<float>(dq, count * layout.QWidth).Clear();
                for (int i = 0; i < count; i++)
                {
                    delta[i] = Simd.Dot(View.ValueDim, Y.At(batch, row + i, head * View.ValueDim), dy + (i * layout.VWidth));
                }

                float* logSums = LogSums + ((((long)batch * View.Heads) + head) * View.Tokens) + row;
                tile.Mask(start, count, memory + layout.S);
                Columns(tile, layout, count, logSums, memory);
                Diagonals(tile, layout, start, count, logSums, memory);
                Simd.Scale(count * layout.QWidth, View.Scale, dq);
                if (!Dq.IsNull)
                {
                    AttentionKernel.Put(count, View.HeadDim, dq, layout.QWidth, Dq.At(batch, row, head * View.HeadDim), Dq.Stride, true);
                }
            }

            tile.Scatter(dk, View.HeadDim, Dk, DpastK);
            tile.Scatter(dv, View.ValueDim, Dv, DpastV);
        }

        private static void Columns(in VerticalSlashTile tile, in Layout layout, int count, float* logSums, float* memory)
        {
            (int qWidth, int vWidth, int width) = (layout.QWidth, layout.VWidth, tile.Width);
            float* q = memory + layout.Q, dy = memory + layout.Dy, ds = memory + layout.Ds, turned = memory + layout.Turned;
            for (int c = 0; c < tile.ColumnCount; c += Tile)
            {
                int columns = Math.Min(Tile, tile.ColumnCount - c);
                float* s = memory + layout.S + c, k = memory + layout.K + (c * (nint)qWidth), v = memory + layout.V + (c * (nint)vWidth);
                SmallGemm.NT(count, columns, qWidth, q, qWidth, k, qWidth, s, width, 1, turned);
                SmallGemm.NT(count, columns, vWidth, dy, vWidth, v, vWidth, ds, Tile, 0, turned);
                AttentionKernel.ScoreGradients(s, width, ds, Tile, count, HeadRows.Width(columns), null, logSums, memory + layout.Delta);
                SmallGemm.TN(columns, vWidth, count, s, width, dy, vWidth, memory + layout.Dv + (c * (nint)vWidth), vWidth, 1);
                SmallGemm.TN(columns, qWidth, count, ds, Tile, q, qWidth, memory + layout.Dk + (c * (nint)qWidth), qWidth, 1);
                SmallGemm.NN(count, qWidth, columns, ds, Tile, k, qWidth, memory + layout.Dq, qWidth, 1);
            }
        }

        private readonly void Diagonals(in VerticalSlashTile tile, in Layout layout, long start, int count, float* logSums, float* memory)
        {
            (int qWidth, int vWidth, int width) = (layout.QWidth, layout.VWidth, tile.Width);
            float* q = memory + layout.Q, dy = memory + layout.Dy, ds = memory + layout.Ds;
            float* k = memory + layout.BandK, v = memory + layout.BandV, dk = memory + layout.BandDk, dv = memory + layout.BandDv;
            int* rows = stackalloc int[SlashKernel.Diagonals];
            for (int group = tile.FirstGroup(start, count); group < tile.Groups; group++)
            {
                if (layout.Whole)
                {
                    tile.WholeBands(group, start, rows);
                }
                else
                {
                    int copied = tile.Bands(group, count, rows);
                    tile.GatherBands(group, start, count, rows, false, k);
                    tile.GatherBands(group, start, count, rows, true, v);
                    new Span<float>(dk, copied * qWidth).Clear();
                    new Span<float>(dv, copied * vWidth).Clear();
                }

                float* s = memory + layout.S + tile.SlashStart + (group * SlashKernel.Diagonals);
                new Span<float>(ds, count * SlashKernel.Diagonals).Clear();
                SlashKernel.Dots(count, qWidth, q, k, rows, s, width);
                SlashKernel.Dots(count, vWidth, dy, v, rows, ds, SlashKernel.Diagonals);
                AttentionKernel.ScoreGradients(s, width, ds, SlashKernel.Diagonals, count, SlashKernel.Diagonals, null, logSums, memory + layout.Delta);
                SlashKernel.AddRows(count, qWidth, ds, SlashKernel.Diagonals, k, rows, memory + layout.Dq);
                SlashKernel.AddToRows(count, qWidth, ds, SlashKernel.Diagonals, q, dk, rows);
                SlashKernel.AddToRows(count, vWidth, s, width, dy, dv, rows);
                if (!layout.Whole)
                {
                    tile.ScatterBands(group, start, count, rows, dk, View.HeadDim, Dk, DpastK);
                    tile.ScatterBands(group, start, count, rows, dv, View.ValueDim, Dv, DpastV);
                }
            }
        }
    }
}
