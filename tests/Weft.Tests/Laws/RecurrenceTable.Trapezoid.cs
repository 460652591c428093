using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    private static RecurrenceRow[] TrapezoidRows => [TrapezoidRow(1), TrapezoidRow(2), TrapezoidRow(4)];

    private static RecurrenceRow TrapezoidRow(int rank)
    {
        return new($"trapezoid of rank {rank}", 16, GroupedKeys: false,
            s =>
            {
                Drawn drawn = new Drawn(4).Gaussian("b", s.Over(rank * s.KeyWidth)).Gaussian("c", s.Over(rank * s.KeyWidth))
                    .Gaussian("bias b", new(s.Heads, rank, s.KeyWidth)).Gaussian("bias c", new(s.Heads, rank, s.KeyWidth)).Gaussian("x", s.Over(s.Heads * s.ValueWidth))
                    .Uniform("rate", s.Over(Pairs(s)), -0.5, 0.5).Uniform("dt", s.Over(s.Heads), 0.05, 1).Decay("a", s.Over(s.Heads), s.Decay)
                    .Uniform("lambda", s.Over(s.Heads), 0, 1).Gaussian("skip", new(s.Heads))
                    .Gaussian("initial u", s.State).Gaussian("initial k", new(s.Batch, rank, s.Heads * s.KeyWidth)).Gaussian("initial v", new(s.Batch, 1, s.Heads * s.ValueWidth))
                    .Uniform("initial gamma", new(s.Batch, 1, s.Heads), 0, 1).Uniform("initial angle", new(s.Batch, 2, s.Heads, Pairs(s)), -0.2, 0.2);
                return rank == 1 ? drawn : drawn.Gaussian("up", new(s.Heads, rank, s.ValueWidth));
            },
            (_, x) => Listed(Trapezoid.Scan(Inputs(x), State(x))),
            (_, x) => Listed(Trapezoid.Chunked(Inputs(x), State(x), 16)),
            (s, x) => TrapezoidInDouble(s, x, rank));

        static TrapezoidInputs Inputs(IReadOnlyDictionary<string, Tensor> x) => new(
            x["b"], x["c"], x["bias b"], x["bias c"], x["x"], x.GetValueOrDefault("up"), x["rate"], x["dt"], x["a"], x["lambda"], x["skip"]);

        static TrapezoidState State(IReadOnlyDictionary<string, Tensor> x) => new(
            x.GetValueOrDefault("initial u"), x.GetValueOrDefault("initial k"), x.GetValueOrDefault("initial v"), x.GetValueOrDefault("initial gamma"), x.GetValueOrDefault("initial angle"));

        static Tensor[] Listed((Tensor Y, TrapezoidState Final) result) =>
            [result.Y, result.Final.U!, result.Final.K!, result.Final.V!, result.Final.Gamma!, result.Final.Angle!];
    }

    private static int Pairs(Sizes s) => Math.Max(1, s.KeyWidth / 4);

    private static double[][] TrapezoidInDouble(Sizes s, IReadOnlyDictionary<string, float[]> x, int rank)
    {
        int n = s.KeyWidth, p = s.ValueWidth, pairs = Pairs(s);
        double[] y = new double[s.Batch * s.Time * rank * s.Heads * p], lastU = new double[s.State.Count], lastK = new double[s.Batch * rank * s.Heads * n];
        double[] lastV = new double[s.Batch * s.Heads * p], lastGamma = new double[s.Batch * s.Heads], lastAngle = new double[s.Batch * 2 * s.Heads * pairs];
        for (int sequence = 0; sequence < s.Batch * s.Heads; sequence++)
        {
            int batch = sequence / s.Heads, head = sequence % s.Heads;
            double First(string name, int at) => x.TryGetValue(name, out float[]? values) ? values[at] : 0;
            var k = new double[rank, n];
            var v = new double[p];
            var h = new double[n, p];
            var angle = new double[pairs];
            double gamma = First("initial gamma", sequence);
            for (int j = 0; j < p; j++)
            {
                v[j] = First("initial v", (sequence * p) + j);
            }

            for (int i = 0; i < rank * n; i++)
            {
                k[i / n, i % n] = First("initial k", (((batch * rank) + (i / n)) * s.Heads * n) + (head * n) + (i % n));
            }

            for (int i = 0; i < n * p; i++)
            {
                h[i / p, i % p] = First("initial u", (sequence * n * p) + i);
            }

            for (int i = 0; i < pairs; i++)
            {
                angle[i] = First("initial angle", (((batch * 2 * s.Heads) + head) * pairs) + i) + First("initial angle", (((((batch * 2) + 1) * s.Heads) + head) * pairs) + i);
            }

            Write(gamma);
            for (int t = 0; t < s.Time; t++)
            {
                int row = (batch * s.Time) + t, at = (row * s.Heads) + head;
                double dt = x["dt"][at], lambda = x["lambda"][at], alpha = Math.Exp(x["a"][at]);
                Write((1 - lambda) * dt);
                for (int i = 0; i < n * p; i++)
                {
                    h[i / p, i % p] *= alpha;
                    lastU[(sequence * n * p) + i] = h[i / p, i % p];
                }

                for (int i = 0; i < pairs; i++)
                {
                    angle[i] += (double)x["rate"][(row * pairs) + i] * dt;
                }

                k = Turned("b", row);
                for (int j = 0; j < p; j++)
                {
                    v[j] = x["x"][(at * p) + j];
                }

                Write(gamma = lambda * dt);
                double[,] q = Turned("c", row);
                for (int i = 0; i < rank * p; i++)
                {
                    int r = i / p, j = i % p;
                    double sum = x["skip"][head] * v[j] * Up(r, j);
                    for (int e = 0; e < n; e++)
                    {
                        sum += h[e, j] * q[r, e];
                    }

                    y[(((((row * rank) + r) * s.Heads) + head) * p) + j] = sum;
                }
            }

            lastGamma[sequence] = gamma;
            Array.Copy(v, 0, lastV, sequence * p, p);
            for (int i = 0; i < rank * n; i++)
            {
                lastK[(((batch * rank) + (i / n)) * s.Heads * n) + (head * n) + (i % n)] = k[i / n, i % n];
            }

            for (int i = 0; i < pairs; i++)
            {
                lastAngle[(((batch * 2 * s.Heads) + head) * pairs) + i] = angle[i] - Math.Round(angle[i]);
            }

            double Up(int r, int j) => rank == 1 ? 1 : x["up"][(((head * rank) + r) * p) + j];

            // h += gate k v^T
            void Write(double gate)
            {
                for (int i = 0; i < rank * n * p; i++)
                {
                    int r = i / (n * p), e = i / p % n, j = i % p;
                    h[e, j] += gate * k[r, e] * v[j] * Up(r, j);
                }
            }

            double[,] Turned(string name, int row)
            {
                var result = new double[rank, n];
                for (int r = 0; r < rank; r++)
                {
                    double At(int i) => (double)x[name][(((row * rank) + r) * n) + i] + x["bias " + name][(((head * rank) + r) * n) + i];
                    for (int i = 0; i < n; i++)
                    {
                        double turn = 2 * Math.PI * angle[i % pairs];
                        result[r, i] = i < pairs ? (At(i) * Math.Cos(turn)) - (At(i + pairs) * Math.Sin(turn))
                            : i < 2 * pairs ? (At(i - pairs) * Math.Sin(turn)) + (At(i) * Math.Cos(turn))
                            : At(i);
                    }
                }

                return result;
            }
        }

        return [y, lastU, lastK, lastV, lastGamma, lastAngle];
    }
}
