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

        int span = VerticalSlashTile.Span(pattern), tiles = (int)(((view.End - 1) / span) - (view.Position / span) + 1);
        SlashForwardJob job = new()
        {
            View = view,
            Pattern = pattern,
            Choices = choices.Pointer,
            ChoiceStride = choices.Shape.Count / view.Batch,
            Y = new TokenRows(y),
            LogSums = logSums is null ? null : logSums.Pointer,
            Scratch = Pool.Scratch(0, SlashForwardJob.ScratchFloats(view, pattern) * Pool.Workers),
            ScratchInts = (int*)Pool.Scratch(0, (VerticalSlashTile.Ints(view, pattern) + 1) * Pool.Workers, slot: 1),
            Tiles = tiles,
            Whole = VerticalSlashTile.Whole(view, pattern),
        };
        job.Held = job.ScratchInts + (VerticalSlashTile.Ints(view, pattern) * Pool.Workers);
        new Span<int>(job.Held, Pool.Workers).Fill(-1);
        Pool.Run(ref job, checked(view.Batch * view.Heads * tiles));
    }

    /// <summary>The queries of one head in a tile, a part at a time: the scores with all that they see side by side.</summary>
    private struct SlashForwardJob : IJob
    {
        public AttentionView View;
        public VerticalSlash Pattern;
        public TokenRows Y;
        public float* Choices, LogSums, Scratch; // [B,tiles,H,vertical + slash]; [B,H,T] or null
        public long ChoiceStride;
        public int* ScratchInts, Held; // by worker: of which key head it holds a whole copy
        public int Tiles;
        public bool Whole;

        // Scores; queries and outputs, and of each query three numbers; the columns' keys and values, a part of those keys turned; a whole head's, or a group's bands.
        public static nint ScratchFloats(in AttentionView view, in VerticalSlash pattern)
        {
            nint part = VerticalSlashTile.Part(pattern), headDim = HeadRows.Width(view.HeadDim), valueDim = HeadRows.Width(view.ValueDim);
            return (part * (VerticalSlashTile.RowWidth(pattern) + headDim + valueDim + 3)) + (pattern.Vertical * (headDim + valueDim)) + (Tile * headDim)
                + (VerticalSlashTile.Whole(view, pattern) ? VerticalSlashTile.WholeRows(view) * (headDim + valueDim) : SlashKernel.Diagonals * part * Math.Max(headDim, valueDim));
        }

        public readonly void Run(int index, int worker)
        {
            int owner = index / Tiles, batch = owner / View.Heads, head = owner % View.Heads, span = VerticalSlashTile.Span(Pattern), part = VerticalSlashTile.Part(Pattern);
            long first = Math.Max(View.Position, ((View.Position / span) + (index % Tiles)) * span);
            var tile = new VerticalSlashTile(View, Pattern, batch, head, first, Choices + (batch * ChoiceStride), ScratchInts + (worker * VerticalSlashTile.Ints(View, Pattern)));
            int qWidth = HeadRows.Width(View.HeadDim), vWidth = HeadRows.Width(View.ValueDim);
            float* s = Scratch + (worker * ScratchFloats(View, Pattern)), q = s + (part * (nint)tile.Width), o = q + (part * qWidth), max = o + (part * vWidth), sum = max + part, rescale = sum + part;
            float* keys = rescale + part, values = keys + (Pattern.Vertical * (nint)qWidth), turned = values + (Pattern.Vertical * (nint)vWidth), bands = turned + (Tile * qWidth);
            int* rows = stackalloc int[SlashKernel.Diagonals];
            tile.Gather(false, keys);
            tile.Gather(true, values);
            float* allValues = bands + (VerticalSlashTile.WholeRows(View) * qWidth);
            int keyHead = (batch * View.KeyHeads) + (head / View.Group);
            if (Whole && Held[worker] != keyHead)
            {
                var rowsOf = new HeadRows(View, batch, head / View.Group);
                rowsOf.Read(VerticalSlashTile.WholeStart, View.End, false, bands);
                rowsOf.Read(VerticalSlashTile.WholeStart, View.End, true, allValues);
                Held[worker] = keyHead;
            }

            for (long end, start = tile.First; start < tile.End; start = end)
            {
                end = tile.PartEnd(start);
                int count = (int)(end - start), row = (int)(start - View.Position), firstGroup = tile.FirstGroup(start, count);
                HeadRows.Copy(count, View.HeadDim, View.Q.At(batch, row, head * View.HeadDim), View.Q.Stride, q);
                Simd.Scale(count * qWidth, View.Scale, q);
                tile.Mask(start, count, s);
                for (int c = 0; c < tile.ColumnCount; c += Tile)
                {
                    SmallGemm.NT(count, Math.Min(Tile, tile.ColumnCount - c), qWidth, q, qWidth, keys + (c * (nint)qWidth), qWidth, s + c, tile.Width, 1, turned);
                }

                for (int group = firstGroup; group < tile.Groups; group++)
                {
                    Bands(tile, group, start, count, rows, false, bands);
                    SlashKernel.Dots(count, qWidth, q, bands, rows, s + tile.SlashStart + (group * SlashKernel.Diagonals), tile.Width);
                }

                new Span<float>(max, count).Fill(float.MinValue);
                new Span<float>(sum, count).Clear();
                AttentionKernel.SoftmaxRows(s, tile.Width, count, tile.Width, null, max, sum, rescale);
                new Span<float>(o, count * vWidth).Clear();
                for (int c = 0; c < tile.ColumnCount; c += Tile)
                {
                    SmallGemm.NN(count, vWidth, Math.Min(Tile, tile.ColumnCount - c), s + c, tile.Width, values + (c * (nint)vWidth), vWidth, o, vWidth, 1);
                }

                for (int group = firstGroup; group < tile.Groups; group++)
                {
                    float* v = Whole ? allValues : bands;
                    Bands(tile, group, start, count, rows, true, v);
                    SlashKernel.AddRows(count, vWidth, s + tile.SlashStart + (group * SlashKernel.Diagonals), tile.Width, v, rows, o);
                }

                for (int i = 0; i < count; i++)
                {
                    Simd.Scale(View.ValueDim, 1 / sum[i], o + (i * vWidth));
                    if (LogSums is not null)
                    {
                        LogSums[((long)owner * View.Tokens) + row + i] = max[i] + MathF.Log(sum[i]);
                    }
                }

                AttentionKernel.Put(count, View.ValueDim, o, vWidth, Y.At(batch, row, head * View.ValueDim), Y.Stride, false);
            }
        }

        private readonly void Bands(in VerticalSlashTile tile, int group, long start, int count, int* rows, bool values, float* bands)
        {
            if (Whole)
            {
                tile.WholeBands(group, start, rows);
                return;
            }

            tile.Bands(group, count, rows);
            tile.GatherBands(group, start, count, rows, values, bands);
        }
    }
}
