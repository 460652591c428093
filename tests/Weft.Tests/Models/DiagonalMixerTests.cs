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
    [InlineData("rwkv4[heads=2]", "unknown option 'heads'; this block takes none")]
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
        Assert.Equal(8 / 32f, first["time_mix_key"][8]);
        Assert.Equal(Math.Pow(8 / 32.0, 0.25) + 0.3, last["time_mix_value"][8], 1e-5);
        Assert.Equal(Math.Sqrt(8 / 32.0), first["time_mix_receptance"][8], 1e-6);

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

    private Mixer Create(string block, int width) =>
        BlockTable.Create(Pattern.Parse(block)[0], 0, new Builder(device, new RandomSource(1), width, 4));
}
