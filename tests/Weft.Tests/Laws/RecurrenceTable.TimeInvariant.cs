using System.Numerics;
using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    // The channels are H dv, the states of a channel dk; where all channels share a state, it has H dv dk / 2 numbers.
    private static RecurrenceRow[] TimeInvariantRows =>
    [
        new("time-invariant, a channel by itself", 64, GroupedKeys: false,
            s =>
            {
                int channels = s.Heads * s.ValueWidth;
                return Poles(new Drawn(11), "lambda", new Shape(2, s.KeyWidth, channels), s.Decay).Gaussian("x", s.Over(channels)).Gaussian("w", new Shape(2, s.KeyWidth, channels))
                    .Gaussian("skip", new Shape(channels)).Gaussian("initial", new Shape(s.Batch, 2, s.KeyWidth, channels));
            },
            (s, x) => Both(TimeInvariant.Scan(x["x"], x["lambda"], x["w"], x["skip"], x.GetValueOrDefault("initial"))),
            (s, x) => Both(TimeInvariant.Fused(x["x"], x["lambda"], x["w"], x["skip"], x.GetValueOrDefault("initial"))),
            (s, x) =>
            {
                int channels = s.Heads * s.ValueWidth, plane = s.KeyWidth * channels;
                double[] y = new double[s.Batch * s.Time * channels], final = new double[s.Batch * 2 * plane];
                for (int at = 0; at < s.Batch * channels; at++)
                {
                    int b = at / channels, c = at % channels;
                    for (int n = 0; n < s.KeyWidth; n++)
                    {
                        int i = (n * channels) + c, state = (2 * b * plane) + i;
                        Complex h = x.TryGetValue("initial", out float[]? initial) ? new Complex(initial[state], initial[state + plane]) : Complex.Zero;
                        for (int t = 0; t < s.Time; t++)
                        {
                            int token = (((b * s.Time) + t) * channels) + c;
                            h = (Of(x["lambda"], i) * h) + x["x"][token];
                            y[token] += (2 * (Of(x["w"], i) * h).Real) + (n == 0 ? x["skip"][c] * (double)x["x"][token] : 0);
                        }

                        (final[state], final[state + plane]) = (h.Real, h.Imaginary);
                    }

                    Complex Of(float[] array, int i) => new(array[i], array[i + plane]);
                }

                return [y, final];
            }),
        new("time-invariant, diagonal plus low rank", 32, GroupedKeys: false,
            s =>
            {
                int channels = s.Heads * s.ValueWidth;
                Shape complex = new(2, s.KeyWidth, channels);
                float small = 0.3f / s.KeyWidth; // so that the correction leaves what the diagonal makes stable
                return Poles(new Drawn(13), "lambda", complex, s.Decay + 0.2).Gaussian("x", s.Over(channels)).Gaussian("left", complex, small).Gaussian("right", complex, small)
                    .Gaussian("b", complex).Gaussian("c", complex).Gaussian("skip", new Shape(channels)).Gaussian("initial", new Shape(s.Batch, 2, s.KeyWidth, channels));
            },
            (s, x) => Both(LowRank(x).Scan(x["x"], x.GetValueOrDefault("initial"))),
            (s, x) => Both(LowRank(x).Recurrent(x["x"], x.GetValueOrDefault("initial"))),
            (s, x) =>
            {
                int channels = s.Heads * s.ValueWidth, plane = s.KeyWidth * channels;
                double[] y = new double[s.Batch * s.Time * channels], final = new double[s.Batch * 2 * plane];
                for (int at = 0; at < s.Batch * channels; at++)
                {
                    int b = at / channels, c = at % channels, start = 2 * b * plane;
                    var h = new Complex[s.KeyWidth];
                    for (int n = 0; n < h.Length && x.TryGetValue("initial", out float[]? initial); n++)
                    {
                        h[n] = new Complex(initial[start + (n * channels) + c], initial[start + plane + (n * channels) + c]);
                    }

                    for (int t = 0; t < s.Time; t++)
                    {
                        int token = (((b * s.Time) + t) * channels) + c;
                        double sigma = 2 * Enumerable.Range(0, h.Length).Sum(n => (Of("left", n) * h[n]).Real), input = x["x"][token];
                        for (int n = 0; n < h.Length; n++)
                        {
                            h[n] = (Of("lambda", n) * h[n]) - (Of("right", n) * sigma) + (Of("b", n) * input);
                        }

                        y[token] = (2 * Enumerable.Range(0, h.Length).Sum(n => (Of("c", n) * h[n]).Real)) + (x["skip"][c] * input);
                    }

                    for (int n = 0; n < h.Length; n++)
                    {
                        (final[start + (n * channels) + c], final[start + plane + (n * channels) + c]) = (h[n].Real, h[n].Imaginary);
                    }

                    Complex Of(string name, int n) => new(x[name][(n * channels) + c], x[name][plane + (n * channels) + c]);
                }

                return [y, final];
            }),
        new("time-invariant, all channels", 64, GroupedKeys: false,
            s =>
            {
                var poles = new Shape(2, SharedStates(s));
                return Poles(new Drawn(12), "lambda", poles, s.Decay).Gaussian("u", s.Over(2 * SharedStates(s))).Gaussian("gain", poles).Gaussian("initial", new Shape(s.Batch, 2, SharedStates(s)));
            },
            (s, x) => Both(TimeInvariant.ScanStates(x["u"], x["lambda"], x["gain"], x.GetValueOrDefault("initial"))),
            (s, x) => Both(TimeInvariant.FusedStates(x["u"], x["lambda"], x["gain"], x.GetValueOrDefault("initial"))),
            (s, x) =>
            {
                int states = SharedStates(s);
                double[] all = new double[s.Batch * s.Time * 2 * states], final = new double[s.Batch * 2 * states];
                for (int at = 0; at < s.Batch * states; at++)
                {
                    int b = at / states, p = at % states, state = (2 * b * states) + p;
                    Complex h = x.TryGetValue("initial", out float[]? initial) ? new Complex(initial[state], initial[state + states]) : Complex.Zero;
                    for (int t = 0; t < s.Time; t++)
                    {
                        int token = (((b * s.Time) + t) * 2 * states) + p;
                        h = (new Complex(x["lambda"][p], x["lambda"][states + p]) * h) + (new Complex(x["gain"][p], x["gain"][states + p]) * new Complex(x["u"][token], x["u"][token + states]));
                        (all[token], all[token + states]) = (h.Real, h.Imaginary);
                    }

                    (final[state], final[state + states]) = (h.Real, h.Imaginary);
                }

                return [all, final];
            }),
    ];

    private static LowRankDiagonal LowRank(IReadOnlyDictionary<string, Tensor> x) => new(x["lambda"], x["left"], x["right"], x["b"], x["c"], x["skip"]);

    private static int SharedStates(Sizes s) => Math.Max(1, s.Heads * s.ValueWidth * s.KeyWidth / 2);

    /// <summary>Poles of modulus e^-U(0, 2 decay) at any angle: real parts, then imaginary ones.</summary>
    private static Drawn Poles(Drawn drawn, string name, Shape shape, double decay)
    {
        var random = new RandomSource(77);
        var values = new float[shape.Count];
        int half = values.Length / 2;
        for (int i = 0; i < half; i++)
        {
            Complex pole = Complex.FromPolarCoordinates(Math.Exp(-2 * decay * random.NextDouble()), 2 * Math.PI * random.NextDouble());
            (values[i], values[half + i]) = ((float)pole.Real, (float)pole.Imaginary);
        }

        drawn.Arrays.Add((name, shape, values));
        return drawn;
    }
}
