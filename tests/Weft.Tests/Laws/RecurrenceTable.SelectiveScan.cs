using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    // Channels are H dv, states dk, groups of channels the heads of keys.
    private static RecurrenceRow[] SelectiveScanRows =>
    [
        Selective("selective scan", softplus: true, skip: true),
        Selective("selective scan of given steps", softplus: false, skip: false),
    ];

    private static RecurrenceRow Selective(string name, bool softplus, bool skip)
    {
        return new(name, Ops.SelectiveScanChunk, GroupedKeys: true,
            s =>
            {
                int channels = s.Heads * s.ValueWidth;
                Drawn drawn = new Drawn(5).Gaussian("x", s.Over(channels)).Gaussian("b", s.Over(s.KeyHeads * s.KeyWidth)).Gaussian("c", s.Over(s.KeyHeads * s.KeyWidth))
                    .Decay("a", new(channels, s.KeyWidth), s.Decay).Gaussian("initial", new(s.Batch, s.KeyWidth, channels));
                drawn = softplus ? drawn.Gaussian("dt", s.Over(channels)) : drawn.Uniform("dt", s.Over(channels), 0, 1.5);
                return skip ? drawn.Gaussian("skip", new(channels)) : drawn;
            },
            (s, x) => Both(SelectiveScan.Scan(x["x"], x["dt"], x["a"], x["b"], x["c"], x.GetValueOrDefault("skip"), x.GetValueOrDefault("initial"), s.KeyHeads, softplus)),
            (s, x) => Both(SelectiveScan.Fused(x["x"], x["dt"], x["a"], x["b"], x["c"], x.GetValueOrDefault("skip"), x.GetValueOrDefault("initial"), s.KeyHeads, softplus)),
            Double);

        double[][] Double(Sizes s, IReadOnlyDictionary<string, float[]> x)
        {
            int channels = s.Heads * s.ValueWidth, states = s.KeyWidth;
            double[] y = new double[s.Batch * s.Time * channels], h = new double[s.Batch * states * channels];
            for (int i = 0; i < h.Length && x.TryGetValue("initial", out float[]? initial); i++)
            {
                h[i] = initial[i];
            }

            for (int row = 0; row < s.Batch * s.Time; row++)
            {
                for (int c = 0; c < channels; c++)
                {
                    int at = (row * channels) + c, shared = ((row * s.KeyHeads) + (c / (channels / s.KeyHeads))) * states;
                    double step = softplus ? Math.Log(1 + Math.Exp(x["dt"][at])) : x["dt"][at];
                    y[at] = skip ? (double)x["skip"][c] * x["x"][at] : 0;
                    for (int n = 0; n < states; n++)
                    {
                        ref double state = ref h[(((row / s.Time) * states) + n) * channels + c];
                        state = (Math.Exp(step * x["a"][(c * states) + n]) * state) + (step * x["x"][at] * x["b"][shared + n]);
                        y[at] += x["c"][shared + n] * state;
                    }
                }
            }

            return [y, h];
        }
    }
}
