using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

using Weft.Tests.Laws;

/// <summary>Hyena beyond the laws: options, and the filters that inference keeps.</summary>
public sealed class HyenaTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData("hyena[chunk=100]", "block 0 'hyena': chunk=100 is not a power of two; 64, 128 and 256 are")]
    [InlineData("hyena[chunk=8]", "block 0 'hyena': chunk=8 is not a whole number from 16 to 65536")]
    [InlineData("hyena[features=4]", "block 0 'hyena': features=4 is even; a position and pairs of cosine and sine are an odd number, such as 5")]
    [InlineData("hyena[order=1]", "block 0 'hyena': order=1 is not a whole number from 2 to 8")]
    [InlineData("hyena[length=0]", "block 0 'hyena': length=0 is not a whole number from 1 to 1048576")]
    public void ImpossibleOptionsAreRefused(string block, string message) =>
        Assert.Equal(message, Assert.Throws<InputException>(() => Create(block)).Message);

    /// <summary>Inputs further back than the filters are long are not seen.</summary>
    [Fact]
    public void NothingIsSeenBeyondTheLength()
    {
        const int width = 16, time = 100, length = 30;
        Mixer mixer = Create($"hyena[length={length}, chunk=16]");
        float[] x = LawTools.Gaussian(time * width, 1), other = [.. x];
        other[0] += 1; // the first token; the short convolution sees two more
        float[] y = LawTools.Mix(mixer, mixer.NewState(1), x, 1, width, [time]), changed = LawTools.Mix(mixer, mixer.NewState(1), other, 1, width, [time]);
        int seen = (length + 2) * width;
        Assert.True(LawTools.Error(changed.AsSpan(0, seen), y.AsSpan(0, seen)) > 1e-4);
        LawTools.Close(changed.AsSpan(seen), y.AsSpan(seen), 1e-6, "beyond");
    }

    /// <summary>Filters are kept over a sequence, but not over a change of the weights that make them.</summary>
    [Fact]
    public void KeptFiltersFollowTheWeights()
    {
        const int width = 16, time = 40;
        Mixer mixer = Create("hyena[length=64, chunk=16]");
        float[] x = LawTools.Gaussian(time * width, 1);
        float[] before = LawTools.Mix(mixer, mixer.NewState(1), x, 1, width, [7, time - 7]);
        Tensor weight = mixer.Parameters().First(p => p.Name == "filter.3.weight").Tensor;
        weight.Set(Array.ConvertAll(weight.ToArray(), w => 2 * w));
        float[] after = LawTools.Mix(mixer, mixer.NewState(1), x, 1, width, [7, time - 7]);
        Assert.NotEqual(before, after);
        using var tape = new Tape(device);
        LawTools.Close(after, mixer.Mix(tape.Of(x, new Shape(1, time, width)), mixer.NewState(1)).ToArray(), 1e-5, "as a tape that records computes");
    }

    private Mixer Create(string block) => BlockTable.Create(Pattern.Parse(block)[0], 0, new Builder(device, new RandomSource(1), 16, 4));
}
