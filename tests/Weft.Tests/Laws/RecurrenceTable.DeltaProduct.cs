using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    // Two steps a token.
    private static RecurrenceRow[] DeltaProductRows =>
    [
        new("gated delta product", 8, GroupedKeys: true,
            s => new Drawn(3).Unit("q", s.Over(s.KeyHeads * s.KeyWidth), s.KeyWidth).Unit("k", Twice(s, s.KeyHeads * s.KeyWidth), s.KeyWidth)
                .Gaussian("v", Twice(s, s.Heads * s.ValueWidth)).Uniform("beta", Twice(s, s.Heads), 0, 2).Decay("a", s.Over(s.Heads), s.Decay).Gaussian("initial", s.State),
            (s, x) => Both(DeltaProduct.Scan(x["q"], x["k"], x["v"], x["beta"], x["a"], x.GetValueOrDefault("initial"), s.KeyHeads, 0.7f)),
            (s, x) => Both(DeltaProduct.Chunked(x["q"], x["k"], x["v"], x["beta"], x["a"], x.GetValueOrDefault("initial"), s.KeyHeads, 0.7f, 8)),
            (s, x) => OverHeads(s, x, (state, t) =>
            {
                int token = t.Head / s.Heads, keys = s.KeyHeads * s.KeyWidth, key = t.Key - (token * keys);
                double decay = Math.Exp(x["a"][t.Head]);
                for (int step = 2 * token; step < 2 * (token + 1); step++, decay = 1)
                {
                    for (int j = 0; j < s.ValueWidth; j++)
                    {
                        double recalled = 0;
                        for (int i = 0; i < s.KeyWidth; i++)
                        {
                            state[i, j] *= decay;
                            recalled += state[i, j] * x["k"][(step * keys) + key + i];
                        }

                        for (int i = 0; i < s.KeyWidth; i++)
                        {
                            state[i, j] += x["beta"][(step * s.Heads) + t.HeadIndex] * x["k"][(step * keys) + key + i]
                                * (x["v"][(((step * s.Heads) + t.HeadIndex) * s.ValueWidth) + j] - recalled);
                        }
                    }
                }

                return j => 0.7 * Enumerable.Range(0, s.KeyWidth).Sum(i => state[i, j] * x["q"][t.Key + i]);
            })),
    ];

    private static Shape Twice(Sizes s, int columns) => new(s.Batch, 2 * s.Time, columns);
}
