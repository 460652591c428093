namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void ChooseVerticalSlash(in AttentionOperands operands, in VerticalSlash pattern, Tensor? lastQueries, Tensor? inForce, Tensor choices)
    {
        using Timed timed = Measure([operands.Q, operands.K, Operand.Tokens(operands.Past.Keys, operands.Past.Length), lastQueries, inForce, choices]);
        var view = new AttentionView(operands);
        CountFlops(view.Batch * pattern.ChoiceFlops(view.Options, view.Tokens, view.Position));
        SlashChoiceJob job = new()
        {
            View = view,
            Pattern = pattern,
            LastQueries = new TokenRows(lastQueries),
            InForce = inForce is null ? null : inForce.Pointer,
            Choices = choices.Pointer,
            Tiles = choices.Shape[1],
            Scratch = Pool.Scratch(0, SlashChoiceJob.ScratchFloats(view, pattern) * Pool.Workers),
        };
        Pool.Run(ref job, view.Batch * view.Heads * job.Tiles);
    }

    /// <summary>What one head sees in one tile.</summary>
    private struct SlashChoiceJob : IJob
    {
        public AttentionView View;
        public VerticalSlash Pattern;
        public TokenRows LastQueries;            // [B,last,H d], position p in row p mod last
        public float* InForce, Choices, Scratch; // [B,H,vertical + slash] or null, [B,tiles,H,vertical + slash]
        public int Tiles;

        // The queries, their scores with a tile of keys, those keys turned, each query's sums; the sums of columns and of diagonals; the best of one of them, and which.
        public static nint ScratchFloats(in AttentionView view, in VerticalSlash pattern) =>
            (pattern.Last * ((nint)view.HeadDim + Tile + 2)) + (Tile * (nint)view.HeadDim) + (2 * (nint)view.End) + (2 * (nint)Math.Max(pattern.Vertical, pattern.Slash));

        public readonly void Run(int index, int worker)
        {
            int batch = index / Tiles / View.Heads, head = index / Tiles % View.Heads, number = index % Tiles, budget = Pattern.Vertical + Pattern.Slash;
            long start = ((View.Position / Pattern.Tile) + number) * Pattern.Tile;
            float* choice = Choices + (((((nint)batch * Tiles) + number) * View.Heads) + head) * budget;
            if (number == 0 && start > 0)
            {
                new ReadOnlySpan<float>(InForce + ((((nint)batch * View.Heads) + head) * budget), budget).CopyTo(new Span<float>(choice, budget));
                return;
            }

            float* columns = Scratch + (worker * ScratchFloats(View, Pattern)), diagonals = columns + View.End, best = diagonals + View.End;
            int most = Math.Max(Pattern.Vertical, Pattern.Slash);
            int* which = (int*)(best + most);
            if (Pattern.Chooses(start))
            {
                Sum(batch, head, start, columns, diagonals, best + (2 * most));
            }

            // Ascending; diagonal i of the sums is that of distance start - 1 - i.
            new Span<float>(choice, budget).Clear();
            (int all, int forced, int count) = ((int)start, Pattern.Sinks, Pattern.Columns(start));
            if (start > Pattern.Vertical)
            {
                TopK.Indices(columns + forced, all - forced, count - forced, best, which);
            }

            for (int i = 0; i < count; i++)
            {
                choice[i] = i < forced || start <= Pattern.Vertical ? i : forced + which[i - forced];
            }

            (forced, count) = (Pattern.Near, Pattern.Diagonals(start));
            choice += Pattern.Vertical;
            if (start > Pattern.Slash)
            {
                TopK.Indices(diagonals, all - forced, count - forced, best, which);
            }

            for (int i = 0; i < count; i++)
            {
                choice[i] = i < forced || start <= Pattern.Slash ? i : all - 1 - which[count - 1 - i];
            }
        }

        // The probabilities of the last queries before a position, summed by column and by diagonal; scores are computed twice, so that no matrix is held.
        private readonly void Sum(int batch, int head, long start, float* columns, float* diagonals, float* scratch)
        {
            (int headDim, int last, int keyHead) = (View.HeadDim, Pattern.Last, head / View.Group);
            float* queries = scratch, s = queries + (last * headDim), turned = s + (last * Tile), max = turned + (Tile * headDim), sum = max + last;
            for (int i = 0; i < last; i++)
            {
                long p = start - last + i;
                float* query = p >= View.Position ? View.Q.At(batch, (int)(p - View.Position), head * headDim) : LastQueries.At(batch, (int)(p % last), head * headDim);
                new ReadOnlySpan<float>(query, headDim).CopyTo(new Span<float>(queries + (i * headDim), headDim));
            }

            new Span<float>(max, last).Fill(float.MinValue);
            new Span<float>(sum, last).Clear();
            new Span<float>(columns, (int)start).Clear();
            new Span<float>(diagonals, (int)start).Clear();
            for (int pass = 0; pass < 2; pass++)
            {
                for (long end, k = 0; k < start; k = end)
                {
                    end = AttentionView.TileEnd(k, start);
                    for (long j = k; j < end;)
                    {
                        KeyRun run = View.Run(j, end);
                        SmallGemm.NT(last, run.Count, headDim, queries, headDim, View.Keys(run, batch, keyHead), View.KeyStride(run), s + (j - k), Tile, 0, turned, View.Scale);
                        j += run.Count;
                    }

                    for (int i = 0; i < last; i++)
                    {
                        long p = start - last + i;
                        int seen = (int)Math.Clamp(p + 1 - k, 0, end - k);
                        float* si = s + (i * Tile);
                        if (pass == 0)
                        {
                            float largest = MathF.Max(max[i], Simd.Max(seen, si));
                            sum[i] = (sum[i] * Simd.Exp(max[i] - largest)) + AttentionKernel.ExpSum(si, seen, largest);
                            max[i] = largest;
                        }
                        else
                        {
                            AttentionKernel.ExpSum(si, seen, max[i] + MathF.Log(sum[i]));
                            Simd.Add(seen, si, columns + k);
                            Simd.Add(seen, si, diagonals + (k - p + start - 1));
                        }
                    }
                }
            }
        }
    }
}
