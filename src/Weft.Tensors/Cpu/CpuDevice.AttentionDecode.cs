namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    // Keys that one item of decoding reads: enough to outweigh its start, few enough to spread one sequence over the threads.
    private const int DecodeRange = 256;

    /// <summary>
    /// Attention of one new token a sequence: bound by reading the cache, once and in order. The keys are cut into ranges at absolute
    /// positions; each gives, per head, the softmax over its own keys, and these are combined in order: the bits depend on neither
    /// the threads nor their timing.
    /// </summary>
    private void Decode(in AttentionView view, in AttentionDecay decay, Tensor y)
    {
        long first = view.FirstKey(view.Heads - 1, view.Position) / DecodeRange;
        int ranges = (int)((view.Position / DecodeRange) - first + 1);
        int result = DecodeJob.ResultFloats(view.ValueDim), scores = view.Heads * DecodeRange;
        nint results = (nint)view.Batch * ranges * view.Heads * result;
        float* memory = Pool.Scratch(0, results + ((nint)scores * Pool.Workers));
        DecodeJob job = new() { View = view, Decay = decay, FirstRange = first, Ranges = ranges, Results = memory, Scores = memory + results };
        Pool.Run(ref job, view.Batch * ranges);
        CombineJob combine = new() { View = view, Y = new TokenRows(y), Ranges = ranges, Results = memory };
        Pool.Run(ref combine, view.Batch * view.Heads);
    }

    private struct DecodeJob : IJob
    {
        public AttentionView View;
        public AttentionDecay Decay;
        public long FirstRange;
        public int Ranges;
        public float* Results, Scores;

        /// <summary>Per batch, range and head: the largest score, the sum of exponentials, 14 unused, and the weighted sum of values.</summary>
        public static int ResultFloats(int valueDim) => 16 + ((valueDim + 15) / 16 * 16);

        public readonly void Run(int index, int worker)
        {
            int batch = index / Ranges, size = ResultFloats(View.ValueDim);
            long range = FirstRange + (index % Ranges);
            long k0 = Math.Max(View.First, range * DecodeRange), k1 = Math.Min(View.End, (range + 1) * DecodeRange);
            float* s = Scores + ((nint)worker * View.Heads * DecodeRange);
            float* results = Results + ((nint)index * View.Heads * size);
            if (View.Options.LocalHeads == 0)
            {
                Range(batch, 0, View.Heads, Math.Max(k0, View.FirstKey(0, View.Position)), k1, s, results);
                return;
            }

            // Heads that see different keys are read one by one.
            for (int head = 0; head < View.Heads; head++)
            {
                Range(batch, head, head + 1, Math.Max(k0, View.FirstKey(head, View.Position)), k1, s, results + (head * size));
            }
        }

        // All heads, or one head.
        private readonly void Range(int batch, int head0, int head1, long k0, long k1, float* s, float* results)
        {
            int keys = (int)Math.Max(0, k1 - k0), size = ResultFloats(View.ValueDim), keyHead = head0 / View.Group;
            (int keyHeads, int group) = head1 == head0 + 1 ? (1, 1) : (View.KeyHeads, View.Group);
            float* q = View.Q.At(batch, 0, head0 * View.HeadDim);
            for (int i = 0; i < keys;)
            {
                KeyRun run = View.Run(k0 + i, k1);
                AttentionKernel.Scores(keyHeads, group, View.HeadDim, View.Scale, q, View.Keys(run, batch, keyHead), View.KeyStride(run), run.Count, s + i, DecodeRange);
                i += run.Count;
            }

            for (int head = head0; head < head1; head++)
            {
                float* scores = s + ((head - head0) * DecodeRange), result = results + ((head - head0) * size);
                if (!Decay.IsNull)
                {
                    Decay.AddTo(scores, batch, head, View.Position, k0, k1);
                }

                result[0] = Simd.Max(keys, scores); // of no keys -infinity: the range then weighs nothing
                result[1] = AttentionKernel.ExpSum(scores, keys, result[0]);
                new Span<float>(result + 16, View.ValueDim).Clear();
            }

            for (int i = 0; i < keys;)
            {
                KeyRun run = View.Run(k0 + i, k1);
                AttentionKernel.AddValues(keyHeads, group, View.ValueDim, s + i, DecodeRange, View.Values(run, batch, keyHead), View.ValueStride(run), run.Count, results + 16, size);
                i += run.Count;
            }
        }
    }

    /// <summary>One head's output: the ranges' sums, each scaled to the largest score of all.</summary>
    private struct CombineJob : IJob
    {
        public AttentionView View;
        public TokenRows Y;
        public int Ranges;
        public float* Results;

        public readonly void Run(int index, int worker)
        {
            int batch = index / View.Heads, head = index % View.Heads, size = DecodeJob.ResultFloats(View.ValueDim);
            float* results = Results + ((((nint)batch * Ranges * View.Heads) + head) * size);
            nint next = (nint)View.Heads * size;
            float max = float.NegativeInfinity;
            for (int i = 0; i < Ranges; i++)
            {
                max = MathF.Max(max, results[i * next]);
            }

            float* y = Y.At(batch, 0, head * View.ValueDim);
            new Span<float>(y, View.ValueDim).Clear();
            float sum = 0;
            for (int i = 0; i < Ranges; i++)
            {
                float* result = results + (i * next);
                float weight = MathF.Exp(result[0] - max);
                sum += weight * result[1];
                Simd.Axpy(View.ValueDim, weight, result + 16, y);
            }

            Simd.Scale(View.ValueDim, 1 / sum, y);
        }
    }
}
