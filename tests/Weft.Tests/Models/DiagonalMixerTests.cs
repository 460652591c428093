using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;

namespace Weft.Tests.Models;

/// <summary>What the laws do not say of the mixers on real diagonal recurrences: their first token, their initial values, their errors.</summary>
public sealed class DiagonalMixerTests : IDisposable
{
    private readonly CpuDevice device = new(1);

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData("rg-lru[heads=5]", "heads=5 does not divide d-rnn = 128; numbers that do: 64, 32, 16, 8, 4")]
    [InlineData("rg-lru[d-rnn=0]", "d-rnn=0 is not a whole number from 1")]
    [InlineData("rg-lru[conv=1]", "conv=1 is not a whole number from 2 to 64")]
    [InlineData("hgrn[lower-bound=1]", "lower-bound=1 is not a number from 0 to 0.9999")]
    [InlineData("mingru[expand=0]", "expand=0 is not a whole number from 1 to 16")]
    [InlineData("minlstm[heads=2]", "unknown option 'heads'")]
    [InlineData("rwkv4[heads=2]", "unknown option 'heads'; known: channels")]
    public void ErrorsSayWhatWouldDo(string block, string says) => Refused.With(() => Create(block, 96), "block 0", says);

    [Theory]
    [InlineData(96, 128)]
    [InlineData(512, 704)]
    [InlineData(32, 64)]
    public void TheRecurrenceOfGriffinIsAThirdWider(int width, int channels) =>
        Assert.Equal(new Shape(1, channels), ((RgLruState)Create("rg-lru", width).NewState(1)).H.Shape);

    [Fact]
    public void RadiiLieOnTheRingOfTheAuthorsCode()
    {
        float[] lambda = Create("rg-lru[d-rnn=2048]", 32).Parameters().Single(p => p.Name == "lambda").Tensor.ToArray();
        double[] radii = [.. lambda.Select(l => Math.Exp(-Math.Log(1 + Math.Exp(l))))];
        Assert.All(radii, r => Assert.InRange(r, 0.8999, 0.9991));
        Assert.InRange(radii.Average(r => r * r), 0.899, 0.909); // uniform by area: the mean square is halfway between 0.81 and 0.998
    }

    /// <summary>A state that is saved before the first token, and restored, is still before it; one that has seen a token is not.</summary>
    [Fact]
    public void OnlyTheFirstTokenEntersWhole()
    {
        var mixer = (RgLru)Create("rg-lru[d-rnn=16, heads=2]", 32);
        float[] x = LawTools.Gaussian(5 * 32, 1);
        float[] expected = LawTools.Mix(mixer, mixer.NewState(1), x, 1, 32, [5]);
        MixerState used = mixer.NewState(1);
        LawTools.Mix(mixer, used, x, 1, 32, [5]);
        LawTools.Restore(used, LawTools.Save(mixer.NewState(1)));
        Assert.Equal(expected, LawTools.Mix(mixer, used, x, 1, 32, [5]));

        // A state of zeros that stands after some token is another thing.
        MixerState zeros = mixer.NewState(1);
        ((RgLruState)zeros).Tokens.Advance(1);
        Assert.NotEqual(expected[0], LawTools.Mix(mixer, zeros, x, 1, 32, [5])[0]);
    }

    [Fact]
    public void LowerBoundsRiseWithTheLayer()
    {
        Assert.DoesNotContain(Create("hgrn", 32).Parameters(), p => p.Name == "lower_bound");
        Parameter bound = BlockTable.Create(Pattern.Parse("hgrn")[0], 3, new Builder(device, new RandomSource(1), 32, 4)).Parameters().Single(p => p.Name == "lower_bound");
        Assert.False(bound.Decay);
        Assert.All(bound.Tensor.ToArray(), p => Assert.Equal(0.75, 1 / (1 + Math.Exp(-p)), 1e-6));
    }

    [Fact]
    public void DecaysAndShiftsOfRwkv4AreTheAuthors()
    {
        Dictionary<string, float[]> first = Vectors(0), last = Vectors(3);
        Assert.Equal([-5f, 3f], [first["time_decay"][0], first["time_decay"][^1]]);
        Assert.Equal(-5 + (8 * Math.Pow(8 / 31.0, 2)), last["time_decay"][8], 1e-5); // the exponent rises from 0.7 to 2
        Assert.Equal([-1.204f, -0.704f, -1.704f], first["time_first"].Take(3).Select(u => MathF.Round(u, 3)));
        Assert.Equal(8 / 32f, first["time_mix"][8]);
        Assert.Equal(Math.Pow(8 / 32.0, 0.25) + 0.3, last["time_mix"][32 + 8], 1e-5);
        Assert.Equal(Math.Sqrt(8 / 32.0), first["time_mix"][64 + 8], 1e-6);

        Dictionary<string, float[]> Vectors(int index) => BlockTable.Create(Pattern.Parse("rwkv4")[0], index, new Builder(device, new RandomSource(1), 32, 4))
            .Parameters().ToDictionary(p => p.Name, p => p.Tensor.ToArray());
    }

    /// <summary>Keys far below and far above what e^k can hold: the average does not depend on a common shift of them.</summary>
    [Theory]
    [InlineData(-300)]
    [InlineData(200)]
    public void WkvHoldsKeysOfAnySize(float shift)
    {
        using var tape = new Tape(device) { Recording = false };
        var shape = new Shape(1, 6, 3);
        float[] keys = LawTools.Gaussian(shape.Count, 1), values = LawTools.Gaussian(shape.Count, 2);
        Tensor v = tape.Of(values, shape), decay = tape.Of([-0.1f, -1, -10], new Shape(3)), first = tape.Of([0.5f, 0, -0.5f], new Shape(3));
        float[] expected = Ops.Wkv(tape.Of(keys, shape), v, decay, first, null).O.ToArray();
        (Tensor o, Tensor _) = Ops.Wkv(tape.Of([.. keys.Select(k => k + shift)], shape), v, decay, first, device.Zeros(new Shape(1, 2, 3)), restart: true);
        LawTools.Close(o.ToArray(), expected, 1e-4, $"keys shifted by {shift}"); // the shift itself rounds the keys
    }

    /// <summary>Griffin's block as its equations stand, in double precision.</summary>
    [Fact]
    public void RgLruIsTheEquations()
    {
        const int width = 8, inner = 12, block = 4, taps = 3, time = 9;
        Mixer mixer = new MixerRow($"rg-lru[d-rnn={inner}, heads=3, conv={taps}]", width, 16).Create(device);
        Dictionary<string, float[]> p = mixer.Parameters().ToDictionary(p => p.Name, p => p.Tensor.ToArray());
        float[] x = LawTools.Gaussian(time * width, 1), expected = new float[x.Length];
        var entering = new double[time, inner];
        var h = new double[inner];
        for (int t = 0; t < time; t++)
        {
            double[] y = [.. Enumerable.Range(0, inner).Select(c => In(c))], u = new double[inner];
            for (int c = 0; c < inner; c++)
            {
                entering[t, c] = In(inner + c);
                u[c] = p["conv1d.bias"][c] + Enumerable.Range(0, taps).Where(j => t - j >= 0).Sum(j => p["conv1d.weight"][(c * taps) + taps - 1 - j] * entering[t - j, c]);
            }

            for (int c = 0; c < inner; c++)
            {
                double logDecay = -8 * Math.Log(1 + Math.Exp(p["lambda"][c])) * Gate("recurrence_gate", c), a = t == 0 ? 0 : Math.Exp(logDecay);
                h[c] = (a * h[c]) + (Math.Sqrt(1 - (a * a)) * Gate("input_gate", c) * u[c]);
            }

            for (int i = 0; i < width; i++)
            {
                expected[(t * width) + i] = (float)(p["out_proj.bias"][i] + Enumerable.Range(0, inner).Sum(c => p["out_proj.weight"][(i * inner) + c] * h[c] * Gelu(y[c])));
            }

            double In(int row) => p["in_proj.bias"][row] + Enumerable.Range(0, width).Sum(j => (double)p["in_proj.weight"][(row * width) + j] * x[(t * width) + j]);

            double Gate(string name, int c) => // weights [heads, inputs, outputs]
                1 / (1 + Math.Exp(-p[name + ".bias"][c] - Enumerable.Range(0, block).Sum(j => p[name + ".weight"][(((c / block * block) + j) * block) + (c % block)] * u[(c / block * block) + j])));
        }

        LawTools.Close(LawTools.Mix(mixer, mixer.NewState(1), x, 1, width, [time]), expected, 1e-5, "rg-lru");

        static double Gelu(double v) => v * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (v + (0.044715 * v * v * v)))) / 2;
    }

    /// <summary>minGRU and minLSTM as the paper writes them for one token after the other (algorithms 5 and 6), in double precision.</summary>
    [Theory]
    [InlineData("mingru[expand=1]")]
    [InlineData("minlstm[expand=1]")]
    public void MinimalRnnsAreThePapers(string block)
    {
        const int width = 8, time = 7;
        Mixer mixer = Create(block, width);
        float[][] p = [.. mixer.Parameters().Select(p => p.Tensor.ToArray())]; // in_proj.weight, in_proj.bias, out_proj.weight
        float[] x = LawTools.Gaussian(time * width, 1), expected = new float[x.Length];
        var h = new double[width];
        for (int t = 0; t < time; t++)
        {
            for (int i = 0; i < width; i++)
            {
                double candidate = Row(p[1].Length - width + i), g = candidate >= 0 ? candidate + 0.5 : Sigmoid(candidate), gate = Sigmoid(Row(i));
                double other = Sigmoid(Row(width + i)), write = p[1].Length == 2 * width ? gate : other / (gate + other);
                h[i] = ((1 - write) * h[i]) + (write * g);
            }

            for (int i = 0; i < width; i++)
            {
                expected[(t * width) + i] = (float)Enumerable.Range(0, width).Sum(j => p[2][(i * width) + j] * h[j]);
            }

            double Row(int row) => p[1][row] + Enumerable.Range(0, width).Sum(j => (double)p[0][(row * width) + j] * x[(t * width) + j]);
        }

        LawTools.Close(LawTools.Mix(mixer, mixer.NewState(1), x, 1, width, [time]), expected, 1e-5, block);

        static double Sigmoid(double x) => 1 / (1 + Math.Exp(-x));
    }

    private Mixer Create(string block, int width) =>
        BlockTable.Create(Pattern.Parse(block)[0], 0, new Builder(device, new RandomSource(1), width, 4));
}
