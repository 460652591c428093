using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    private static RecurrenceRow[] LongConvolutionRows =>
    [
        new("long convolution", 16, GroupedKeys: false,
            s => new Drawn(6).Gaussian("x", Channels(s)).Gaussian("kernel", new(Taps(s), s.Heads * s.ValueWidth)).Gaussian("skip", new(s.Heads * s.ValueWidth))
                .Gaussian("initial", Channels(s).With(1, 21)),
            (s, x) => [LongConvolution.Direct(x["x"], x["kernel"], x["skip"], x.GetValueOrDefault("initial"))],
            (s, x) => [LongConvolution.Transformed(x["x"], x["kernel"], x["skip"], x.TryGetValue("initial", out Tensor? past) ? new(past, 0, 21, 21) : default, 16)],
            (s, x) =>
            {
                (int channels, int before, int taps) = (s.Heads * s.ValueWidth, x.ContainsKey("initial") ? 21 : 0, Taps(s));
                var y = new double[s.Batch * s.Time * channels];
                float[] inputs = x["x"], past = x.GetValueOrDefault("initial", []), kernel = x["kernel"];
                for (int i = 0; i < y.Length; i++)
                {
                    int c = i % channels, t = i / channels % s.Time, b = i / channels / s.Time;
                    y[i] = (double)x["skip"][c] * inputs[i];
                    for (int j = 0; j < taps && j <= t + before; j++)
                    {
                        double u = t >= j ? inputs[i - (j * channels)] : past[(((b * before) + before + t - j) * channels) + c];
                        y[i] += kernel[(j * channels) + c] * u;
                    }
                }

                return [y];
            }),
    ];

    private static Shape Channels(Sizes s) => s.Over(s.Heads * s.ValueWidth);

    // More taps than tokens where those are few, fewer where they are many.
    private static int Taps(Sizes s) => Math.Min(s.Time + 30, 500);
}
