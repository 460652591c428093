using Weft.Models.Recurrences;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    private static RecurrenceRow[] AttentionRows =>
    [
        // Every head has queries; a head of keys and values is shared.
        new("forgetting softmax", 64, GroupedKeys: true,
            s => new Drawn(9).Gaussian("q", s.Over(s.Heads * s.KeyWidth)).Gaussian("k", s.Over(s.KeyHeads * s.KeyWidth)).Gaussian("v", s.Over(s.KeyHeads * s.ValueWidth))
                .Decay("f", s.Over(s.Heads), s.Decay),
            (s, x) => [ForgettingSoftmax.Scan(x["q"], x["k"], x["v"], x["f"], s.KeyHeads, SoftmaxScale(s))],
            (s, x) => [ForgettingSoftmax.Fast(x["q"], x["k"], x["v"], x["f"], s.KeyHeads, SoftmaxScale(s))],
            (s, x) => [SoftmaxInDouble(s, x)]),
    ];

    private static float SoftmaxScale(Sizes s) => 1 / MathF.Sqrt(s.KeyWidth);

    /// <summary>Each query by itself, from its own key back until what is left weighs less than e^-100.</summary>
    private static double[] SoftmaxInDouble(Sizes s, IReadOnlyDictionary<string, float[]> x)
    {
        (float[] q, float[] k, float[] v, float[] f) = (x["q"], x["k"], x["v"], x["f"]);
        (int dk, int dv, float scale) = (s.KeyWidth, s.ValueWidth, SoftmaxScale(s));
        var o = new double[s.Batch * s.Time * s.Heads * dv];
        Parallel.For(0, s.Batch * s.Time * s.Heads, index =>
        {
            (int head, int row) = (index % s.Heads, index / s.Heads);
            int start = row / s.Time * s.Time, keyHead = head / (s.Heads / s.KeyHeads);
            var sum = new double[dv];
            double total = 0, lost = 0;
            for (int at = row; at >= start && lost > -130; at--)
            {
                int key = (at * s.KeyHeads) + keyHead;
                double score = 0;
                for (int i = 0; i < dk; i++)
                {
                    score += (double)q[(index * dk) + i] * k[(key * dk) + i];
                }

                double weight = Math.Exp((scale * score) + lost);
                total += weight;
                for (int j = 0; j < dv; j++)
                {
                    sum[j] += weight * v[(key * dv) + j];
                }

                lost += f[(at * s.Heads) + head];
            }

            for (int j = 0; j < dv; j++)
            {
                o[(index * dv) + j] = sum[j] / total;
            }
        });
        return o;
    }
}
