using Weft.Models.Recurrences;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    private static RecurrenceRow[] ScalarDecayRows =>
    [
        new("scalar decay", 16, GroupedKeys: true,
            s => new Drawn(1).Gaussian("q", s.Over(s.KeyHeads * s.KeyWidth)).Gaussian("k", s.Over(s.KeyHeads * s.KeyWidth)).Gaussian("v", s.Over(s.Heads * s.ValueWidth))
                .Decay("a", s.Over(s.Heads), s.Decay).Gaussian("gate", s.Over(s.Heads)).Gaussian("skip", new(s.Heads)).Gaussian("initial", s.State),
            (s, x) => Both(ScalarDecay.Scan(x["q"], x["k"], x["v"], x["a"], x["gate"], x["skip"], x.GetValueOrDefault("initial"), s.KeyHeads, 0.7f)),
            (s, x) => Both(ScalarDecay.Chunked(x["q"], x["k"], x["v"], x["a"], x["gate"], x["skip"], x.GetValueOrDefault("initial"), s.KeyHeads, 0.7f, 16)),
            (s, x) => OverHeads(s, x, (state, t) =>
            {
                double decay = Math.Exp(x["a"][t.Head]), gate = x["gate"][t.Head];
                for (int i = 0; i < s.KeyWidth; i++)
                {
                    for (int j = 0; j < s.ValueWidth; j++)
                    {
                        state[i, j] = (decay * state[i, j]) + (gate * x["k"][t.Key + i] * x["v"][t.Value + j]);
                    }
                }

                return j => (0.7 * Enumerable.Range(0, s.KeyWidth).Sum(i => state[i, j] * x["q"][t.Key + i])) + ((double)x["skip"][t.HeadIndex] * x["v"][t.Value + j]);
            })),
    ];
}
