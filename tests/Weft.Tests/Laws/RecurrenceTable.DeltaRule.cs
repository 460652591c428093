using Weft.Models.Recurrences;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    private static RecurrenceRow[] DeltaRuleRows =>
    [
        new("gated delta rule", 16, GroupedKeys: true,
            s => new Drawn(2).Unit("q", s.Over(s.KeyHeads * s.KeyWidth), s.KeyWidth).Unit("k", s.Over(s.KeyHeads * s.KeyWidth), s.KeyWidth)
                .Gaussian("v", s.Over(s.Heads * s.ValueWidth)).Uniform("beta", s.Over(s.Heads), 0, 2).Decay("a", s.Over(s.Heads), s.Decay).Gaussian("initial", s.State),
            (s, x) => Both(DeltaRule.Scan(x["q"], x["k"], x["v"], x["beta"], x["a"], x.GetValueOrDefault("initial"), s.KeyHeads, 0.7f)),
            (s, x) => Both(DeltaRule.Chunked(x["q"], x["k"], x["v"], x["beta"], x["a"], x.GetValueOrDefault("initial"), s.KeyHeads, 0.7f, 16)),
            (s, x) => OverHeads(s, x, (state, t) =>
            {
                double decay = Math.Exp(x["a"][t.Head]);
                for (int j = 0; j < s.ValueWidth; j++)
                {
                    double recalled = 0;
                    for (int i = 0; i < s.KeyWidth; i++)
                    {
                        state[i, j] *= decay;
                        recalled += state[i, j] * x["k"][t.Key + i];
                    }

                    for (int i = 0; i < s.KeyWidth; i++)
                    {
                        state[i, j] += x["beta"][t.Head] * x["k"][t.Key + i] * (x["v"][t.Value + j] - recalled);
                    }
                }

                return j => 0.7 * Enumerable.Range(0, s.KeyWidth).Sum(i => state[i, j] * x["q"][t.Key + i]);
            })),
    ];
}
