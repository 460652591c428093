using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    // The width is H dv; R, of KeyHeads blocks, is small enough for the past to fade.
    private static RecurrenceRow[] GatedRecurrenceRows =>
    [
        Gated("lstm", ["i", "f", "g", "o"], ["H", "C"],
            (x, initial) => GatedRecurrence.LstmScan(x["i"], x["f"], x["g"], x["o"], x["R"], x["bias"], initial),
            (x, initial) => GatedRecurrence.Lstm(x["i"], x["f"], x["g"], x["o"], x["R"], x["bias"], initial),
            (a, given, s) =>
            {
                s[1] = (Sigmoid(a[1] + given[1]) * s[1]) + (Sigmoid(a[0] + given[0]) * Math.Tanh(a[2] + given[2]));
                s[0] = Sigmoid(a[3] + given[3]) * Math.Tanh(s[1]);
            }),
        Gated("gru", ["r", "f", "n"], ["H"],
            (x, initial) => GatedRecurrence.GruScan(x["r"], x["f"], x["n"], x["R"], x["bias"], initial),
            (x, initial) => GatedRecurrence.Gru(x["r"], x["f"], x["n"], x["R"], x["bias"], initial),
            (a, given, s) =>
            {
                double z = Sigmoid(a[1] + given[1]), n = Math.Tanh(a[2] + (Sigmoid(a[0] + given[0]) * given[2]));
                s[0] = ((1 - z) * n) + (z * s[0]);
            }),
        Gated("slstm", ["i", "f", "z", "o"], ["H", "C", "N", "M"],
            (x, initial) => GatedRecurrence.SlstmScan(x["i"], x["f"], x["z"], x["o"], x["R"], x["bias"], initial),
            (x, initial) => GatedRecurrence.Slstm(x["i"], x["f"], x["z"], x["o"], x["R"], x["bias"], initial),
            (a, given, s) =>
            {
                double i = a[0] + given[0], kept = s[3] + Math.Log(Sigmoid(a[1] + given[1])), m = s[2] == 0 ? i : Math.Max(kept, i) + Math.Log(1 + Math.Exp(-Math.Abs(kept - i)));
                s[1] = (Math.Exp(kept - m) * s[1]) + (Math.Exp(i - m) * Math.Tanh(a[2] + given[2]));
                s[2] = (Math.Exp(kept - m) * s[2]) + Math.Exp(i - m);
                s[3] = m;
                s[0] = Sigmoid(a[3] + given[3]) * s[1] / s[2];
            }),
    ];

    private static double Sigmoid(double x) => 1 / (1 + Math.Exp(-x));

    /// <param name="name">The cell.</param>
    /// <param name="gates">Its inputs over time, the one that decays called f.</param>
    /// <param name="states">Its states.</param>
    /// <param name="definition">The plain form.</param>
    /// <param name="fast">The fused form.</param>
    /// <param name="step">One channel's step in double precision: of a token's gates, what h gives to them, and the states, which it advances.</param>
    private static RecurrenceRow Gated(string name, string[] gates, string[] states,
        Func<IReadOnlyDictionary<string, Tensor>, GatedStates, (Tensor H, GatedStates Final)> definition,
        Func<IReadOnlyDictionary<string, Tensor>, GatedStates, (Tensor H, GatedStates Final)> fast, Action<double[], double[], double[]> step)
    {
        return new(name, 16, GroupedKeys: true, Draw, (s, x) => All(definition(x, Initial(x))), (s, x) => All(fast(x, Initial(x))), Double);

        Drawn Draw(Sizes s)
        {
            int width = s.Heads * s.ValueWidth, each = width / s.KeyHeads;
            var drawn = new Drawn(6);
            foreach (string gate in gates)
            {
                drawn.Gaussian(gate, s.Over(width));
            }

            // The forgetting gate's sigmoid is e^-decay in the middle.
            float middle = (float)Math.Clamp(-Math.Log(Math.Exp(s.Decay) - 1), -12, 12);
            float[] forget = drawn.Arrays.Single(a => a.Name == "f").Values;
            for (int i = 0; i < forget.Length; i++)
            {
                forget[i] += middle;
            }

            drawn.Gaussian("R", new(s.KeyHeads, each, gates.Length * each), 0.3f / MathF.Sqrt(each)).Gaussian("bias", new(s.KeyHeads, gates.Length * each));
            foreach (string state in states)
            {
                _ = state == "N" ? drawn.Uniform("initialN", new(s.Batch, width), 0.5, 2) : drawn.Gaussian($"initial{state}", new(s.Batch, width));
            }

            return drawn;
        }

        GatedStates Initial(IReadOnlyDictionary<string, Tensor> x) =>
            new(x.GetValueOrDefault("initialH"), x.GetValueOrDefault("initialC"), x.GetValueOrDefault("initialN"), x.GetValueOrDefault("initialM"));

        Tensor[] All((Tensor H, GatedStates Final) result) => [result.H, .. new[] { result.Final.H, result.Final.C, result.Final.N, result.Final.M }.OfType<Tensor>()];

        double[][] Double(Sizes s, IReadOnlyDictionary<string, float[]> x)
        {
            int width = s.Heads * s.ValueWidth, each = width / s.KeyHeads;
            var h = new double[s.Batch * s.Time * width];
            double[][] now = [.. states.Select(name => x.TryGetValue($"initial{name}", out float[]? initial) ? Array.ConvertAll(initial, v => (double)v) : new double[s.Batch * width])];
            for (int row = 0; row < s.Batch * s.Time; row++)
            {
                int first = row / s.Time * width;
                double[] before = now[0].AsSpan(first, width).ToArray();
                for (int c = 0; c < width; c++)
                {
                    int head = c / each, from = head * each;
                    double Given(int gate) => x["bias"][(((head * gates.Length) + gate) * each) + (c - from)] + Enumerable.Range(0, each).Sum(k => before[from + k] * x["R"][(((from + k) * gates.Length) + gate) * each + (c - from)]);
                    double[] mine = [.. now.Select(state => state[first + c])];
                    step([.. gates.Select(g => (double)x[g][(row * width) + c])], [.. Enumerable.Range(0, gates.Length).Select(Given)], mine);
                    for (int state = 0; state < states.Length; state++)
                    {
                        now[state][first + c] = mine[state];
                    }

                    h[(row * width) + c] = mine[0];
                }
            }

            return [h, .. now];
        }
    }
}
