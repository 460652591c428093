using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    private const int MemoryOffset = 5; // where an initial state is given, it lies within a mini-batch
    private const float MemoryEpsilon = 1e-5f;

    private static RecurrenceRow[] MemoryGradientRows =>
    [
        new("memory gradient", 16, GroupedKeys: false,
            s =>
            {
                Shape over = s.Over(s.Heads * s.ValueWidth), norm = new(s.Heads * s.ValueWidth);
                return new Drawn(7).Gaussian("q", over, 0.5f).Gaussian("k", over, 0.5f).Gaussian("v", over)
                    .Uniform("rate", s.Over(s.Heads), 0, Math.Min(1, s.Decay) / s.ValueWidth).Uniform("step", s.Over(s.Heads), 0, 1)
                    .Uniform("weight", norm, 0.5, 1.5).Gaussian("bias", norm, 0.3f)
                    .Gaussian("initial", new(s.Batch, s.Heads, 2 * (s.ValueWidth + 1), s.ValueWidth), 0.5f);
            },
            (s, x) => Both(MemoryGradient.Scan(x["q"], x["k"], x["v"], x["rate"], x["step"], x["weight"], x["bias"], x.GetValueOrDefault("initial"), Offset(x), 16, MemoryEpsilon)),
            (s, x) => Both(MemoryGradient.Dual(x["q"], x["k"], x["v"], x["rate"], x["step"], x["weight"], x["bias"], x.GetValueOrDefault("initial"), Offset(x), 16, MemoryEpsilon)),
            MemoryGradientInDouble),
    ];

    private static int Offset<T>(IReadOnlyDictionary<string, T> x) => x.ContainsKey("initial") ? MemoryOffset : 0;

    private static double[][] MemoryGradientInDouble(Sizes s, IReadOnlyDictionary<string, float[]> x)
    {
        int d = s.ValueWidth, columns = s.Heads * d, memory = (d + 1) * d, offset = Offset(x);
        var z = new double[s.Batch * s.Time * columns];
        var final = new double[s.Batch * s.Heads * 2 * memory];
        (float[] weight, float[] bias) = (x["weight"], x["bias"]);
        for (int index = 0; index < s.Batch * s.Heads; index++)
        {
            (int b, int h) = (index / s.Heads, index % s.Heads);
            double[] w = new double[memory], sum = new double[memory], u = new double[d], y = new double[d];
            for (int i = 0; i < memory && x.TryGetValue("initial", out float[]? initial); i++)
            {
                (w[i], sum[i]) = (initial[(2 * index * memory) + i], initial[(((2 * index) + 1) * memory) + i]);
            }

            for (int t = 0; t < s.Time; t++)
            {
                int row = (b * s.Time) + t, at = (row * columns) + (h * d);
                float rate = x["rate"][(row * s.Heads) + h], step = x["step"][(row * s.Heads) + h];
                double Key(string name, int i) => i < d ? x[name][at + i] : 1; // the bias is one more row of the memory, with a key of 1
                for (int j = 0; j < d; j++)
                {
                    u[j] = Enumerable.Range(0, d + 1).Sum(i => Key("k", i) * w[(i * d) + j]);
                }

                double mean = u.Average(), r = 1 / Math.Sqrt(u.Average(a => (a - mean) * (a - mean)) + MemoryEpsilon);
                for (int j = 0; j < d; j++)
                {
                    u[j] = (u[j] - mean) * r;
                    y[j] = weight[(h * d) + j] * ((weight[(h * d) + j] * u[j]) + bias[(h * d) + j] - ((double)x["v"][at + j] - x["k"][at + j]));
                }

                double meanY = y.Average(), meanXY = u.Zip(y, (p, q) => p * q).Average();
                for (int j = 0; j < d; j++)
                {
                    double g = r * (y[j] - meanY - (u[j] * meanXY));
                    for (int i = 0; i <= d; i++)
                    {
                        sum[(i * d) + j] += rate * Key("k", i) * g;
                        z[at + j] += Key("q", i) * (w[(i * d) + j] - (step * sum[(i * d) + j]));
                    }
                }

                if ((offset + t + 1) % 16 == 0)
                {
                    for (int i = 0; i < memory; i++)
                    {
                        w[i] -= step * sum[i];
                        sum[i] = 0;
                    }
                }
            }

            w.CopyTo(final, 2 * index * memory);
            sum.CopyTo(final, ((2 * index) + 1) * memory);
        }

        return [z, final];
    }
}
