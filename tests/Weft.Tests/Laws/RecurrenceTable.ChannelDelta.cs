using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    private static RecurrenceRow[] ChannelDeltaRows =>
    [
        new("channel delta", 24, GroupedKeys: false,
            s => new Drawn(4).Unit("q", OfKeys(s), s.KeyWidth).Unit("k", OfKeys(s), s.KeyWidth)
                .Gaussian("v", s.Over(s.Heads * s.ValueWidth)).Uniform("beta", s.Over(s.Heads), 0, 2).Decay("g", OfKeys(s), s.Decay).Gaussian("initial", s.State),
            (s, x) => Both(ChannelDelta.Scan(x["q"], x["k"], x["v"], x["beta"], x["g"], x.GetValueOrDefault("initial"), 0.7f)),
            (s, x) => Both(ChannelDelta.Chunked(x["q"], x["k"], x["v"], x["beta"], x["g"], x.GetValueOrDefault("initial"), 0.7f, 24)),
            (s, x) => OverHeads(s, x, (state, t) => Transition(s, x, state, t,
                a: i => Math.Exp(x["g"][t.Key + i]) * x["k"][t.Key + i], b: i => -x["beta"][t.Head] * x["k"][t.Key + i], write: x["beta"][t.Head]))),

        // Vectors of their own, as RWKV-7 makes them: recalled along -kappa, erased along kappa times a rate per channel.
        new("diagonal plus low rank", 40, GroupedKeys: false,
            s => new Drawn(5).Gaussian("q", OfKeys(s)).Gaussian("k", OfKeys(s)).Gaussian("v", s.Over(s.Heads * s.ValueWidth))
                .Unit("kappa", OfKeys(s), s.KeyWidth).Uniform("rate", OfKeys(s), 0, 1).Decay("g", OfKeys(s), s.Decay).Gaussian("initial", s.State),
            (s, x) => Both(ChannelDelta.ScanLowRank(x["q"], x["k"], x["v"], Ops.Affine(x["kappa"], -1), Ops.Multiply(x["kappa"], x["rate"]), x["g"],
                x.GetValueOrDefault("initial"), s.Heads, 0.7f)),
            (s, x) => Both(ChannelDelta.ChunkedLowRank(x["q"], x["k"], x["v"], Ops.Affine(x["kappa"], -1), Ops.Multiply(x["kappa"], x["rate"]), x["g"],
                x.GetValueOrDefault("initial"), s.Heads, 0.7f, 40)),
            (s, x) => OverHeads(s, x, (state, t) => Transition(s, x, state, t,
                a: i => -x["kappa"][t.Key + i], b: i => (double)x["kappa"][t.Key + i] * x["rate"][t.Key + i], write: 1))),
    ];

    private static Shape OfKeys(Sizes s) => s.Over(s.Heads * s.KeyWidth);

    /// <summary>S = diag(e^g) S + b (a^T S) + write k v^T, and what q reads of it.</summary>
    private static Func<int, double> Transition(Sizes s, IReadOnlyDictionary<string, float[]> x, double[,] state, TokenOfHead t, Func<int, double> a, Func<int, double> b, double write)
    {
        for (int j = 0; j < s.ValueWidth; j++)
        {
            double recalled = 0;
            for (int i = 0; i < s.KeyWidth; i++)
            {
                recalled += a(i) * state[i, j];
            }

            for (int i = 0; i < s.KeyWidth; i++)
            {
                state[i, j] = (Math.Exp(x["g"][t.Key + i]) * state[i, j]) + (b(i) * recalled) + (write * x["k"][t.Key + i] * x["v"][t.Value + j]);
            }
        }

        return j => 0.7 * Enumerable.Range(0, s.KeyWidth).Sum(i => state[i, j] * x["q"][t.Key + i]);
    }
}
