using Weft.Models.Recurrences;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    private static RecurrenceRow[] MatrixMemoryRows =>
    [
        // Queries and keys lean to one side, as n . q is divided by: near 0 the output would be all rounding.
        // In double precision without the stabiliser: C and n themselves, brought to the scale of m only at the end.
        new("matrix memory", 16, GroupedKeys: false,
            s => new Drawn(3).Uniform("q", s.Over(s.Heads * s.KeyWidth), -0.2, 1).Uniform("k", s.Over(s.Heads * s.KeyWidth), -0.2, 1).Gaussian("v", s.Over(s.Heads * s.ValueWidth))
                .Uniform("i", s.Over(s.Heads), -4, 4).Uniform("f", s.Over(s.Heads), -Math.Log(Math.Exp(s.Decay) - 1) - 1, -Math.Log(Math.Exp(s.Decay) - 1) + 1)
                .Gaussian("initial memory", new(s.Batch, s.Heads, s.KeyWidth, s.ValueWidth + 1)).Gaussian("initial m", new(s.Batch, s.Heads)),
            (s, x) => All(MatrixMemory.Scan(x["q"], x["k"], x["v"], x["i"], x["f"], x.GetValueOrDefault("initial memory"), x.GetValueOrDefault("initial m"))),
            (s, x) => All(MatrixMemory.Chunked(x["q"], x["k"], x["v"], x["i"], x["f"], x.GetValueOrDefault("initial memory"), x.GetValueOrDefault("initial m"), 16)),
            Unstabilised),
    ];

    private static Weft.Tensors.Tensor[] All((Weft.Tensors.Tensor H, Weft.Tensors.Tensor Memory, Weft.Tensors.Tensor M) result) => [result.H, result.Memory, result.M];

    private static double[][] Unstabilised(Sizes s, IReadOnlyDictionary<string, float[]> x)
    {
        int dk = s.KeyWidth, columns = s.ValueWidth + 1;
        var h = new double[s.Batch * s.Time * s.Heads * s.ValueWidth];
        var memory = new double[s.Batch * s.Heads * dk * columns];
        var m = new double[s.Batch * s.Heads];
        for (int sequence = 0; sequence < s.Batch * s.Heads; sequence++)
        {
            double most = x.TryGetValue("initial m", out float[]? m0) ? m0[sequence] : 0;
            var state = new double[dk, columns];
            for (int e = 0; e < state.Length && x.TryGetValue("initial memory", out float[]? initial); e++)
            {
                state[e / columns, e % columns] = initial[(sequence * state.Length) + e] * Math.Exp(most);
            }

            for (int t = 0; t < s.Time; t++)
            {
                int at = ((((sequence / s.Heads) * s.Time) + t) * s.Heads) + (sequence % s.Heads);
                double f = 1 / (1 + Math.Exp(-x["f"][at])), i = Math.Exp(x["i"][at]);
                most = Math.Max(Math.Log(f) + most, x["i"][at]);
                var read = new double[columns];
                for (int r = 0; r < dk; r++)
                {
                    for (int c = 0; c < columns; c++)
                    {
                        state[r, c] = (f * state[r, c]) + (i * x["k"][(at * dk) + r] * (c < s.ValueWidth ? x["v"][(at * s.ValueWidth) + c] : 1));
                        read[c] += state[r, c] * x["q"][(at * dk) + r] / Math.Sqrt(dk);
                    }
                }

                for (int c = 0; c < s.ValueWidth; c++)
                {
                    h[(at * s.ValueWidth) + c] = read[c] / Math.Max(Math.Abs(read[^1]), 1);
                }
            }

            m[sequence] = most;
            for (int e = 0; e < state.Length; e++)
            {
                memory[(sequence * state.Length) + e] = state[e / columns, e % columns] * Math.Exp(-most);
            }
        }

        return [h, memory, m];
    }
}
