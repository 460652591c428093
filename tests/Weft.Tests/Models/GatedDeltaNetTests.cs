using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

/// <summary>What the laws over all mixers do not say of Gated DeltaNet: its defaults, its initial values, its errors.</summary>
public sealed class GatedDeltaNetTests : IDisposable
{
    private readonly CpuDevice device = new(1);

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData("gated-deltanet", 128, 3, 32, 64)]
    [InlineData("gated-deltanet", 256, 3, 64, 128)]
    [InlineData("gated-deltanet", 512, 3, 128, 256)]
    [InlineData("gated-deltanet", 768, 6, 96, 192)]
    [InlineData("gated-deltanet[heads=4]", 256, 4, 48, 96)]
    [InlineData("gated-deltanet[head-dim=32]", 256, 6, 32, 64)]
    [InlineData("gated-deltanet[head-dim=24, expand-v=1.5]", 256, 8, 24, 36)]
    [InlineData("gated-deltanet", 16, 3, 8, 16)]
    public void HeadsFollowThePapersRatio(string block, int width, int heads, int keyWidth, int valueWidth)
    {
        var state = (GatedDeltaNetState)Create(block, width).NewState(2);
        Assert.Equal(new Shape(2, heads, keyWidth, valueWidth), state.Memory.Shape);
        Assert.Equal(new Shape(2, 3, heads * ((2 * keyWidth) + valueWidth)), state.Conv.Shape);
    }

    [Fact]
    public void ALayerOfTheUsualSizesHasSixWidthsSquared()
    {
        const double width = 256;
        Assert.InRange(Create("gated-deltanet", 256).ParameterCount() / (width * width), 6, 6.1);
    }

    [Fact]
    public void InitialDecaysAreThePapers()
    {
        Dictionary<string, Parameter> parameters = Create("gated-deltanet[heads=64, head-dim=8]", 32).Parameters().ToDictionary(p => p.Name);
        Assert.All(parameters["A_log"].Tensor.ToArray(), a => Assert.InRange(Math.Exp(a), 0, 16));
        Assert.InRange(parameters["A_log"].Tensor.ToArray().Average(a => Math.Exp(a)), 6, 10);
        Assert.All(parameters["dt_bias"].Tensor.ToArray(), b => Assert.InRange(Math.Log(1 + Math.Exp(b)), 0.00099, 0.101));
        Assert.All(new[] { "A_log", "dt_bias", "norm.weight" }, name => Assert.False(parameters[name].Decay));
        Assert.All(new[] { "in_proj.weight", "conv.weight", "out_proj.weight" }, name => Assert.True(parameters[name].Decay));
    }

    [Fact]
    public void AValueWidthIsWhole()
    {
        InputException e = Assert.Throws<InputException>(() => Create("gated-deltanet[head-dim=8, expand-v=1.3]", 32));
        Assert.Equal("block 0 'gated-deltanet': expand-v=1.3 times head-dim 8 is 10.4, not a whole value width; 1, 1.5 or 2 usually do", e.Message);
    }

    private Mixer Create(string block, int width) =>
        BlockTable.Create(Pattern.Parse(block)[0], 0, new Builder(device, new RandomSource(1), width, 4));
}
