using Weft.Models.Recurrences;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    private static RecurrenceRow[] DiagonalRows =>
    [
        new("diagonal", 16, GroupedKeys: false,
            s => new Drawn(11).Gaussian("x", s.OverChannels).Decay("a", s.OverChannels, s.Decay).Gaussian("initial", s.ChannelState),
            (s, x) => Both(DiagonalRecurrence.Scan(x["x"], x["a"], x.GetValueOrDefault("initial"))),
            (s, x) => Both(DiagonalRecurrence.Fast(x["x"], x["a"], x.GetValueOrDefault("initial"))),
            (s, x) => OverChannels(s, x, 0, (h, at) => (Math.Exp(x["a"][at]) * h) + x["x"][at])),
        new("running maximum", 16, GroupedKeys: false,
            s => new Drawn(12).Gaussian("f", s.OverChannels, (float)s.Decay).Gaussian("i", s.OverChannels).Gaussian("initial", s.ChannelState),
            (s, x) => Both(RunningMaximum.Scan(x["f"], x["i"], x.GetValueOrDefault("initial"))),
            (s, x) => Both(RunningMaximum.Fast(x["f"], x["i"], x.GetValueOrDefault("initial"))),
            (s, x) => OverChannels(s, x, double.NegativeInfinity, (m, at) => Math.Max(m + x["f"][at], x["i"][at]))),
    ];

    /// <summary>
    /// Runs a recurrence of channels in double precision: <paramref name="step"/> gives a channel's state from the one before and the
    /// place of its inputs in [B,T,C], C = H dv.
    /// </summary>
    private static double[][] OverChannels(Sizes s, IReadOnlyDictionary<string, float[]> x, double empty, Func<double, int, double> step)
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
                o[at] = state = step(state, at);
            }

            final[i] = state;
        }

        return [o, final];
    }
}
