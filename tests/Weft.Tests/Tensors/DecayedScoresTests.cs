using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;

namespace Weft.Tests.Tensors;

/// <summary>Scores under a decay per channel, and their gradients, against double loops in double precision.</summary>
public sealed unsafe class DecayedScoresTests : IDisposable
{
    private readonly CpuDevice device = new(1);
    private readonly List<nint> taken = [];

    public void Dispose()
    {
        taken.ForEach(device.FreeMemory);
        device.Dispose();
    }

    [Theory]
    [InlineData(1, 8, 0, 1)]
    [InlineData(1, 8, 1, 1)]
    [InlineData(16, 48, 0, 0.01)]
    [InlineData(17, 5, 1, 0.3)]
    [InlineData(37, 20, 0, 8)]
    [InlineData(64, 64, 0, 0.05)]
    [InlineData(64, 64, 1, 2)]
    [InlineData(64, 80, 0, 30)]
    [InlineData(64, 80, 1, 1000)]
    [InlineData(128, 16, 1, 0.001)]
    public void EqualTheDefinition(int c, int n, int lag, double decay)
    {
        int ld = DecayedScores.Padded(n), lda = c + 3;
        const float scale = 0.7f;
        float[] g = new Drawn(1).Decay("g", new Shape(c, n), decay).Arrays[0].Values;
        float[] x = LawTools.Gaussian(c * n, 2), y = LawTools.Gaussian(c * n, 3), da = LawTools.Gaussian(c * c, 4);
        float[] toStart = LawTools.Gaussian(c * n, 5), toEnd = LawTools.Gaussian(c * n, 6), through = LawTools.Gaussian(n, 7);

        double[] a = new double[c * c], dx = new double[c * n], dy = new double[c * n], dg = new double[c * n], from = new double[c * n], to = new double[c * n], whole = new double[n];
        for (int k = 0; k < n; k++)
        {
            double G(int after, int last)
            {
                double sum = 0;
                for (int t = after + 1; t <= last; t++)
                {
                    sum += g[(t * n) + k];
                }

                return sum;
            }

            void Spread(int after, int last, double slope)
            {
                for (int t = after + 1; t <= last; t++)
                {
                    dg[(t * n) + k] += slope;
                }
            }

            whole[k] = Math.Exp(G(-1, c - 1));
            Spread(-1, c - 1, through[k]);
            for (int i = 0; i < c; i++)
            {
                from[(i * n) + k] = Math.Exp(G(-1, i - lag));
                to[(i * n) + k] = Math.Exp(G(i, c - 1));
                dx[(i * n) + k] += 0.5 * from[(i * n) + k] * toStart[(i * n) + k];
                dy[(i * n) + k] += to[(i * n) + k] * toEnd[(i * n) + k];
                Spread(-1, i - lag, 0.5 * from[(i * n) + k] * toStart[(i * n) + k] * x[(i * n) + k]);
                Spread(i, c - 1, to[(i * n) + k] * toEnd[(i * n) + k] * y[(i * n) + k]);
                for (int j = 0; j <= i - lag; j++)
                {
                    double e = scale * Math.Exp(G(j, i - lag)), slope = da[(i * c) + j];
                    a[(i * c) + j] += e * x[(i * n) + k] * y[(j * n) + k];
                    dx[(i * n) + k] += e * slope * y[(j * n) + k];
                    dy[(j * n) + k] += e * slope * x[(i * n) + k];
                    Spread(j, i - lag, e * slope * x[(i * n) + k] * y[(j * n) + k]);
                }
            }
        }

        var run = new Job
        {
            C = c,
            N = n,
            Lag = lag,
            Lda = lda,
            Scale = scale,
            G = Padded(g, c, n),
            X = Padded(x, c, n),
            Y = Padded(y, c, n),
            TStart = Padded(toStart, c, n),
            TEnd = Padded(toEnd, c, n),
            Through = Padded(through, 1, n),
            A = Empty(c * lda),
            DA = Empty(c * lda),
            DX = Empty(c * ld),
            DY = Empty(c * ld),
            DG = Empty(c * ld),
            OnlyDX = Empty(c * ld),
            From = Empty(c * ld),
            To = Empty(c * ld),
            Whole = Empty(ld),
            Scratch = Empty(DecayedScores.Scratch(c, ld)),
        };
        for (int i = 0; i < c; i++)
        {
            for (int j = 0; j <= i - lag; j++)
            {
                run.DA[(i * lda) + j] = da[(i * c) + j];
            }
        }

        Simd.Fill(run.Scratch, (nint)DecayedScores.Scratch(c, ld), float.NaN);
        device.Pool.RunWide(ref run, 1);

        var actual = new float[c * c];
        for (int i = 0; i < c; i++)
        {
            for (int j = 0; j < Math.Min(c, (i / 16 * 16) + 16); j++)
            {
                actual[(i * c) + j] = run.A[(i * lda) + j];
            }
        }

        LawTools.Close(actual, Floats(a), 1e-5, "scores");
        LawTools.Close(Rows(run.From, c, n), Floats(from), 1e-5, "decays from the start");
        LawTools.Close(Rows(run.To, c, n), Floats(to), 1e-5, "decays to the end");
        LawTools.Close(Rows(run.Whole, 1, n), Floats(whole), 1e-5, "the chunk's decay");
        LawTools.Close(Rows(run.DX, c, n), Floats(dx), 1e-5, "dx");
        LawTools.Close(Rows(run.DY, c, n), Floats(dy), 1e-5, "dy");
        LawTools.Close(Rows(run.DG, c, n), Floats(dg), 1e-5, "dg");
        LawTools.Close(Rows(run.OnlyDX, c, n), Rows(run.DX, c, n), 1e-6, "dx alone");
    }

    private float* Empty(long count)
    {
        float* at = (float*)device.AllocateMemory(count * sizeof(float));
        taken.Add((nint)at);
        Simd.Fill(at, (nint)count, 0);
        return at;
    }

    private float* Padded(float[] values, int c, int n)
    {
        float* at = Empty(c * DecayedScores.Padded(n));
        fixed (float* from = values)
        {
            DecayedScores.Load(c, n, new Strided(from, n), at);
        }

        return at;
    }

    private static float[] Rows(float* from, int c, int n)
    {
        var values = new float[c * n];
        fixed (float* to = values)
        {
            DecayedScores.Store(c, n, from, new Strided(to, n));
        }

        return values;
    }

    private static float[] Floats(double[] values) => [.. values.Select(v => (float)v)];

    private struct Job : IWideJob
    {
        public int C, N, Lag, Lda;
        public float Scale;
        public float* G, X, Y, TStart, TEnd, Through, A, DA, DX, DY, DG, OnlyDX, From, To, Whole, Scratch;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int ld = DecayedScores.Padded(N);
            DecayedScores.Scores<S, V>(C, ld, Lag, Scale, G, X, Y, A, Lda, Scratch);
            DecayedScores.Gradients<S, V>(C, ld, Lag, Scale, G, X, Y, DA, Lda, DX, DY, DG, Scratch);
            DecayedScores.Gradients<S, V>(C, ld, Lag, Scale, G, X, Y, DA, Lda, OnlyDX, null, null, Scratch);
            DecayedScores.FromStart<S, V>(C, ld, Lag, G, From);
            DecayedScores.FromStartGradients<S, V>(C, ld, Lag, 0.5f, From, TStart, X, DX, DG);
            DecayedScores.FromStartGradients<S, V>(C, ld, Lag, 0.5f, From, TStart, X, OnlyDX, null);
            DecayedScores.ToEnd<S, V>(C, ld, G, To, Whole);
            DecayedScores.ToEndGradients<S, V>(C, ld, To, TEnd, Y, Through, DY, DG);
        }
    }
}
