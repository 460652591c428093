using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    private static RecurrenceRow[] DiagonalRows =>
    [
        Diagonal(DiagonalInput.Whole, restart: false, _ => 1),
        Diagonal(DiagonalInput.Complement, restart: false, a => -ExpM1(a)),
        Diagonal(DiagonalInput.UnitVariance, restart: true, a => Math.Sqrt(-ExpM1(2 * a))),
        new("running maximum", 16, GroupedKeys: false,
            s => new Drawn(12).Gaussian("f", s.OverChannels, (float)s.Decay).Gaussian("i", s.OverChannels).Gaussian("initial", s.ChannelState),
            (s, x) => Both(RunningMaximum.Scan(x["f"], x["i"], x.GetValueOrDefault("initial"))),
            (s, x) => Both(RunningMaximum.Fast(x["f"], x["i"], x.GetValueOrDefault("initial"))),
            (s, x) => OverChannels(s, x, double.NegativeInfinity, (m, at, _) => Math.Max(m + x["f"][at], x["i"][at]))),
        new("wkv", 16, GroupedKeys: false,
            s => new Drawn(13).Gaussian("k", s.OverChannels, 2).Gaussian("v", s.OverChannels).Decay("w", new(s.ChannelState[1]), s.Decay).Gaussian("u", new(s.ChannelState[1]))
                .Gaussian("initial", new(s.Batch, 2, s.ChannelState[1])),
            (s, x) => Both(Wkv.Scan(x["k"], x["v"], x["w"], x["u"], x.GetValueOrDefault("initial"))),
            (s, x) => Both(Wkv.Fast(x["k"], x["v"], x["w"], x["u"], x.GetValueOrDefault("initial"))),
            WkvInDouble),
    ];

    private static double[][] WkvInDouble(Sizes s, IReadOnlyDictionary<string, float[]> x)
    {
        int channels = s.ChannelState[1];
        var o = new double[s.OverChannels.Count];
        var final = new double[2 * s.ChannelState.Count];
        for (int b = 0; b < s.Batch; b++)
        {
            for (int c = 0; c < channels; c++)
            {
                int at = (2 * b * channels) + c;
                double d = x.TryGetValue("initial", out float[]? initial) ? Math.Exp(initial[at + channels]) : 0, n = initial is null ? 0 : initial[at] * d; // doubles hold the sums as they are
                for (int t = 0; t < s.Time; t++)
                {
                    int i = (((b * s.Time) + t) * channels) + c;
                    double own = Math.Exp(x["u"][c] + x["k"][i]), weight = Math.Exp(x["k"][i]);
                    o[i] = (n + (own * x["v"][i])) / (d + own);
                    (n, d) = ((Math.Exp(x["w"][c]) * n) + (weight * x["v"][i]), (Math.Exp(x["w"][c]) * d) + weight);
                }

                (final[at], final[at + channels]) = (n / d, Math.Log(d));
            }
        }

        return [o, final];
    }

    private static double ExpM1(double x) => Math.Abs(x) > 1e-3 ? Math.Exp(x) - 1 : x + (x * x / 2) + (x * x * x / 6);

    private static RecurrenceRow Diagonal(DiagonalInput input, bool restart, Func<double, double> weight) =>
        new($"diagonal, input {input}", 16, GroupedKeys: false,
            s => new Drawn(11).Gaussian("x", s.OverChannels).Uniform("a", s.OverChannels, -2 * s.Decay, -2e-3 * s.Decay) // not so near 0 that the root's slope is bounded
                .Gaussian("initial", s.ChannelState),
            (s, x) => Both(DiagonalRecurrence.Scan(x["x"], x["a"], x.GetValueOrDefault("initial"), input, restart)),
            (s, x) => Both(DiagonalRecurrence.Fast(x["x"], x["a"], x.GetValueOrDefault("initial"), input, restart)),
            (s, x) => OverChannels(s, x, 0, (h, at, t) => t == 0 && restart ? x["x"][at] : (Math.Exp(x["a"][at]) * h) + (weight(x["a"][at]) * x["x"][at])));

    /// <summary>
    /// Runs a recurrence of channels in double precision: <paramref name="step"/> gives a channel's state from the one before and the
    /// place of its inputs in [B,T,C], C = H dv, and the token.
    /// </summary>
    private static double[][] OverChannels(Sizes s, IReadOnlyDictionary<string, float[]> x, double empty, Func<double, int, int, double> step)
    {
        int channels = s.ChannelState[1];
        var o = new double[s.OverChannels.Count];
        var final = new double[s.ChannelState.Count];
        for (int i = 0; i < final.Length; i++)
        {
            double state = x.TryGetValue("initial", out float[]? initial) ? initial[i] : empty;
            for (int t = 0; t < s.Time; t++)
            {
                int at = (((i / channels * s.Time) + t) * channels) + (i % channels);
                o[at] = state = step(state, at, t);
            }

            final[i] = state;
        }

        return [o, final];
    }
}
