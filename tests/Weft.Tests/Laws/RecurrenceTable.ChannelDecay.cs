using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    private static RecurrenceRow[] ChannelDecayRows => [ChannelDecayRow("of keys", false, false), ChannelDecayRow("of keys, with a bonus", true, false), ChannelDecayRow("of values", false, true), GatedSlotsRow];

    private static RecurrenceRow ChannelDecayRow(string form, bool bonus, bool ofValues)
    {
        const int chunk = 48; // three blocks of pairs
        return new($"channel decay {form}", chunk, GroupedKeys: false,
            s =>
            {
                Drawn x = new Drawn(3).Gaussian("q", s.Over(s.Heads * s.KeyWidth)).Gaussian("k", s.Over(s.Heads * s.KeyWidth)).Gaussian("v", s.Over(s.Heads * s.ValueWidth))
                    .Decay("g", s.Over(s.Heads * (ofValues ? s.ValueWidth : s.KeyWidth)), s.Decay).Gaussian("initial", s.State);
                return bonus ? x.Gaussian("u", new(s.Heads * s.KeyWidth)) : x;
            },
            (s, x) => Both(ChannelDecay.Scan(x["q"], x["k"], x["v"], x["g"], x.GetValueOrDefault("u"), x.GetValueOrDefault("initial"), s.Heads, 0.7f, ofValues)),
            (s, x) => Both(ChannelDecay.Chunked(x["q"], x["k"], x["v"], x["g"], x.GetValueOrDefault("u"), x.GetValueOrDefault("initial"), s.Heads, 0.7f, ofValues, chunk)),
            (s, x) => OverHeads(s, x, (state, t) =>
            {
                var o = new double[s.ValueWidth];
                for (int i = 0; i < s.KeyWidth; i++)
                {
                    for (int j = 0; j < s.ValueWidth; j++)
                    {
                        double write = (double)x["k"][t.Key + i] * x["v"][t.Value + j], before = state[i, j];
                        state[i, j] = (Math.Exp(x["g"][ofValues ? t.Value + j : t.Key + i]) * before) + write;
                        o[j] += 0.7 * x["q"][t.Key + i] * (bonus ? before + (x["u"][(t.HeadIndex * s.KeyWidth) + i] * write) : state[i, j]);
                    }
                }

                return j => o[j];
            }));
    }

    // Slots are as many as KeyWidth says, keys as wide as values.
    private static RecurrenceRow GatedSlotsRow => new("gated slots", 32, GroupedKeys: false,
        s => new Drawn(4).Gaussian("q", s.Over(s.Heads * s.ValueWidth)).Gaussian("k", s.Over(s.Heads * s.ValueWidth)).Gaussian("v", s.Over(s.Heads * s.ValueWidth))
            .Uniform("s", s.Over(s.Heads * s.KeyWidth), 0, 1).Decay("g", s.Over(s.Heads * s.KeyWidth), s.Decay)
            .Gaussian("initial keys", new(s.Batch, s.Heads, s.ValueWidth, s.KeyWidth)).Gaussian("initial", s.State),
        (s, x) => Three(GatedSlots.Scan(x["q"], x["k"], x["v"], x["s"], x["g"], x.GetValueOrDefault("initial keys"), x.GetValueOrDefault("initial"), s.Heads, 0.1f)),
        (s, x) => Three(GatedSlots.Chunked(x["q"], x["k"], x["v"], x["s"], x["g"], x.GetValueOrDefault("initial keys"), x.GetValueOrDefault("initial"), s.Heads, 0.1f, 32)),
        (s, x) =>
        {
            var keys = new double[s.State.Count];
            x.GetValueOrDefault("initial keys")?.CopyTo(keys, 0);
            double[][] result = OverHeads(s, x, (values, t) =>
            {
                int sequence = (t.Head / s.Heads / s.Time * s.Heads) + t.HeadIndex;
                var weights = new double[s.KeyWidth];
                for (int i = 0; i < s.KeyWidth; i++)
                {
                    double f = Math.Exp(x["g"][t.Key + i]), write = x["s"][t.Key + i], score = 0;
                    for (int j = 0; j < s.ValueWidth; j++)
                    {
                        ref double key = ref keys[(((sequence * s.ValueWidth) + j) * s.KeyWidth) + i];
                        key = (f * key) + (write * x["k"][t.Value + j]);
                        score += key * x["q"][t.Value + j];
                        values[i, j] = (f * values[i, j]) + (write * x["v"][t.Value + j]);
                    }

                    weights[i] = 0.1 * score;
                }

                double most = weights.Max(), total = weights.Sum(w => Math.Exp(w - most));
                return j => Enumerable.Range(0, s.KeyWidth).Sum(i => Math.Exp(weights[i] - most) / total * values[i, j]);
            });
            return [result[0], keys, result[1]];
        });

    private static Tensor[] Three((Tensor O, Tensor Keys, Tensor Values) result) => [result.O, result.Keys, result.Values];
}
