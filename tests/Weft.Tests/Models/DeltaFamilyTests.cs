using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

/// <summary>What the laws over all mixers do not say of the delta-rule family: its usual sizes, its initial values, its refusals.</summary>
public sealed class DeltaFamilyTests : IDisposable
{
    private readonly CpuDevice device = new(1);

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData("deltanet[heads=5]", "heads=5 does not divide width 96")]
    [InlineData("deltanet[head-dim=40]", "head-dim=40 does not divide width 96")]
    [InlineData("deltanet[heads=3, head-dim=16]", "heads=3 of head-dim=16 channels do not make up width 96")]
    [InlineData("deltanet[chunk=0]", "chunk=0 is not a whole number from 1")]
    [InlineData("kda[heads=7]", "heads=7 does not divide width 96")]
    [InlineData("kda[conv=1]", "conv=1 is not a whole number from 2")]
    [InlineData("rwkv7[heads=5]", "heads=5 does not divide width 96")]
    [InlineData("gated-deltanet[heads=4, key-heads=3]", "key-heads=3 does not divide the 4 heads; numbers that do: 4, 2, 1")]
    [InlineData("gated-deltaproduct[householders=0]", "householders=0 is not a whole number from 1")]
    [InlineData("gated-deltaproduct[head-dim=8, expand-v=1.3]", "expand-v=1.3 times head-dim 8 is 10.4, not a whole value width")]
    public void ImpossibleOptionsAreRefused(string block, string message)
    {
        InputException e = Assert.Throws<InputException>(() => Create(block, 96));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Theory]
    [InlineData("deltanet", 512, 4, 128)]
    [InlineData("deltanet", 96, 3, 32)]
    [InlineData("deltanet", 32, 2, 16)]
    [InlineData("deltanet[heads=8]", 512, 8, 64)]
    public void HeadsAreOf128OrWhatSuitsTheWidth(string block, int width, int heads, int headDim) =>
        Assert.Equal(new Shape(1, heads, headDim, headDim), ((DeltaNetState)Create(block, width).NewState(1)).Memory.Shape);

    [Theory]
    [InlineData(1, 3)]
    [InlineData(2, 2)]
    [InlineData(3, 2)]
    public void MoreStepsATokenTakeFewerHeads(int householders, int heads)
    {
        Mixer mixer = Create($"gated-deltaproduct[householders={householders}]", 512);
        Assert.Equal(new Shape(1, heads, 128, 256), ((GatedDeltaProductState)mixer.NewState(1)).Memory.Shape);
        Assert.InRange(mixer.ParameterCount() / (512.0 * 512), 5, 7.2);
    }

    [Fact]
    public void KeyHeadsAreSharedByGroupsOfValueHeads()
    {
        var state = (GatedDeltaNetState)Create("gated-deltanet[heads=4, key-heads=2, head-dim=16, expand-v=1]", 64).NewState(1);
        Assert.Equal(new Shape(1, 4, 16, 16), state.Memory.Shape);
        Assert.Equal(new Shape(1, 3, (2 * 2 * 16) + (4 * 16)), state.Conv.Shape);
    }

    [Fact]
    public void KimisDecaysBeginAsItsCodeSays()
    {
        Dictionary<string, Parameter> parameters = Create("kda", 256).Parameters().ToDictionary(p => p.Name);
        Assert.All(parameters["A_log"].Tensor.ToArray(), a => Assert.InRange(Math.Exp(a), 1, 16.001));
        Assert.All(parameters["dt_bias"].Tensor.ToArray(), b => Assert.InRange(Math.Log(1 + Math.Exp(b)), 0.00099, 0.101));
        Assert.All(new[] { "A_log", "dt_bias", "norm.weight", "g_proj.bias" }, name => Assert.False(parameters[name].Decay));
    }

    [Fact]
    public void TheInitialValuesOfRwkv7AreItsAuthors()
    {
        const int width = 128;
        Dictionary<string, float[]> first = Values(0), last = Values(3);
        Assert.All(first["output.weight"], w => Assert.Equal(0, w));
        Assert.All(first["key.weight"], w => Assert.InRange(w, -0.05f / MathF.Sqrt(width), 0.05f / MathF.Sqrt(width)));
        Assert.All(first["w1"], w => Assert.Equal(0, w));
        Assert.Equal([1, 1, 1, 1, 1, 1], Enumerable.Range(0, 6).Select(i => first["mix"][i * width]));
        Assert.Equal(1 - MathF.Pow(0.5f, 0.7f), first["mix"][width + (width / 2)], 1e-6);
        Assert.Equal(1 - MathF.Pow(0.5f, 0.7f / 4), last["mix"][width + (width / 2)], 1e-6);
        Assert.Equal((-6 + 0.5f - 2.5f, 0.5f + 2.5f), (first["w0"][0], first["w0"][^1]));
        Assert.Equal(1, last["norm.weight"][0]);
        Assert.Equal(MathF.Pow(0.25f, 0.7f), first["norm.weight"][0], 1e-6);

        // The columns of a second map of low rank, [width, 32]: orthogonal, and a tenth long.
        for (int i = 0; i < 3; i++)
        {
            for (int j = 0; j <= i; j++)
            {
                double dot = Enumerable.Range(0, width).Sum(r => (double)first["w2"][(r * 32) + i] * first["w2"][(r * 32) + j]);
                Assert.Equal(i == j ? 0.01 : 0, dot, 1e-7);
            }
        }

        Dictionary<string, float[]> Values(int index) => BlockTable.Create(Pattern.Parse("rwkv7")[0], index, new Builder(device, new RandomSource(1), width, 4))
            .Parameters().ToDictionary(p => p.Name, p => p.Tensor.ToArray());
    }

    private Mixer Create(string block, int width) =>
        BlockTable.Create(Pattern.Parse(block)[0], 0, new Builder(device, new RandomSource(1), width, 4));
}
