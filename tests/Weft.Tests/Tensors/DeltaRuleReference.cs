using Weft.Tensors;

namespace Weft.Tests.Tensors;

/// <summary>
/// The gated delta rule in double precision, token by token as its equation says, with its gradients: what the fast code is held to.
/// </summary>
internal sealed class DeltaRuleReference
{
    public required int Batch, Time, Heads, KeyHeads, KeyWidth, ValueWidth;
    public required double Scale;
    public required float[] Q, K, V, Beta;
    public float[]? LogDecay, Initial;

    public double[] O = [], Final = [];
    public double[] DQ = [], DK = [], DV = [], DBeta = [], DLogDecay = [], DInitial = [];

    public int StateSize => KeyWidth * ValueWidth;

    /// <summary>Random inputs: keys of length 1, queries too, decays e^-U(0, <paramref name="decay"/>) unless negative.</summary>
    public static DeltaRuleReference Random(ulong seed, int batch, int time, int heads, int keyHeads, int dk, int dv, double decay, bool initial, double maxBeta = 2)
    {
        var random = new RandomSource(seed);
        float[] Draw(long count)
        {
            var x = new float[count];
            random.FillGaussian(x);
            return x;
        }

        float[] Unit(long count)
        {
            float[] x = Draw(count);
            for (int i = 0; i < x.Length; i += dk)
            {
                double sum = 1e-12;
                for (int j = 0; j < dk; j++)
                {
                    sum += x[i + j] * (double)x[i + j];
                }

                for (int j = 0; j < dk; j++)
                {
                    x[i + j] = (float)(x[i + j] / Math.Sqrt(sum));
                }
            }

            return x;
        }

        float[] Uniform(long count, double high)
        {
            var x = new float[count];
            random.FillUniform(x, 0, (float)high);
            return x;
        }

        return new DeltaRuleReference
        {
            Batch = batch,
            Time = time,
            Heads = heads,
            KeyHeads = keyHeads,
            KeyWidth = dk,
            ValueWidth = dv,
            Scale = 1 / Math.Sqrt(dk),
            Q = Unit((long)batch * time * keyHeads * dk),
            K = Unit((long)batch * time * keyHeads * dk),
            V = Draw((long)batch * time * heads * dv),
            Beta = Uniform((long)batch * time * heads, maxBeta),
            LogDecay = decay < 0 ? null : Array.ConvertAll(Uniform((long)batch * time * heads, decay), a => -a),
            Initial = initial ? Draw((long)batch * heads * dk * dv) : null,
        };
    }

    /// <summary>Computes outputs and, given what multiplies them in a sum (null: nothing), all gradients of that sum.</summary>
    public void Run(float[]? @do = null, float[]? dfinal = null)
    {
        (O, Final) = (new double[V.Length], new double[Batch * Heads * StateSize]);
        (DQ, DK, DV, DBeta, DLogDecay, DInitial) =
            (new double[Q.Length], new double[K.Length], new double[V.Length], new double[Beta.Length], new double[Beta.Length], new double[Final.Length]);
        for (int i = 0; i < Batch * Heads; i++)
        {
            Head(i / Heads, i % Heads, @do, dfinal);
        }
    }

    private void Head(int b, int h, float[]? @do, float[]? dfinal)
    {
        int n = StateSize, at = ((b * Heads) + h) * n;
        bool backward = @do is not null || dfinal is not null;
        var states = new double[backward ? Time + 1 : 2][];
        states[0] = new double[n];
        states[1] = new double[n];
        for (int i = 0; Initial is not null && i < n; i++)
        {
            states[0][i] = Initial[at + i];
        }

        for (int t = 0; t < Time; t++)
        {
            double[] before = states[backward ? t : t % 2], after = backward ? states[t + 1] = new double[n] : states[(t + 1) % 2];
            (int q, int v, int s, double e, double[] y) = Token(b, h, t, before);
            for (int i = 0; i < KeyWidth; i++)
            {
                for (int j = 0; j < ValueWidth; j++)
                {
                    double x = after[(i * ValueWidth) + j] = (e * before[(i * ValueWidth) + j]) + (K[q + i] * Beta[s] * y[j]);
                    O[v + j] += Scale * Q[q + i] * x;
                }
            }
        }

        (backward ? states[Time] : states[Time % 2]).CopyTo(Final, at);
        var ds = new double[n];
        for (int i = 0; dfinal is not null && i < n; i++)
        {
            ds[i] = dfinal[at + i];
        }

        for (int t = Time - 1; t >= 0 && backward; t--)
        {
            double[] before = states[t], after = states[t + 1];
            (int q, int v, int s, double e, double[] y) = Token(b, h, t, before);
            var du = new double[ValueWidth];
            for (int i = 0; i < KeyWidth; i++)
            {
                for (int j = 0; j < ValueWidth; j++)
                {
                    int x = (i * ValueWidth) + j;
                    double d = @do is null ? 0 : Scale * @do[v + j];
                    DQ[q + i] += d * after[x];
                    ds[x] += d * Q[q + i];
                    DK[q + i] += ds[x] * Beta[s] * y[j];
                    du[j] += ds[x] * K[q + i];
                }
            }

            for (int j = 0; j < ValueWidth; j++)
            {
                DBeta[s] += du[j] * y[j];
                DV[v + j] += Beta[s] * du[j];
            }

            for (int i = 0; i < KeyWidth; i++)
            {
                for (int j = 0; j < ValueWidth; j++)
                {
                    int x = (i * ValueWidth) + j;
                    DK[q + i] -= e * before[x] * Beta[s] * du[j];
                    ds[x] = e * (ds[x] - (K[q + i] * Beta[s] * du[j]));
                    DLogDecay[s] += ds[x] * before[x];
                }
            }
        }

        for (int i = 0; i < n; i++)
        {
            DInitial[at + i] = ds[i];
        }
    }

    // Where a token's key, value and gates are, its decay, and the error y = v - e S^T k.
    private (int Q, int V, int S, double E, double[] Y) Token(int b, int h, int t, double[] state)
    {
        int row = (b * Time) + t, q = (row * KeyHeads * KeyWidth) + (h / (Heads / KeyHeads) * KeyWidth), v = (row * Heads * ValueWidth) + (h * ValueWidth);
        int s = (row * Heads) + h;
        double e = LogDecay is null ? 1 : Math.Exp(LogDecay[s]);
        var y = new double[ValueWidth];
        for (int j = 0; j < ValueWidth; j++)
        {
            double sum = 0;
            for (int i = 0; i < KeyWidth; i++)
            {
                sum += state[(i * ValueWidth) + j] * K[q + i];
            }

            y[j] = V[v + j] - (e * sum);
        }

        return (q, v, s, e, y);
    }
}
