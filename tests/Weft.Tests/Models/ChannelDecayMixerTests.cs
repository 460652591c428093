using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

/// <summary>What the laws over all mixers do not say of the channel-decay family: defaults, initial values, refusals.</summary>
public sealed class ChannelDecayMixerTests : IDisposable
{
    private readonly CpuDevice device = new(1);

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData("gla[heads=5]", 32, "expand-k=0.5 (the default)", "5 heads do not divide")]
    [InlineData("gla[expand-k=0.3]", 32, "expand-k=0.3", "9.6 columns")]
    [InlineData("gla[chunk=0]", 32, "chunk=0", "from 1 to 1024")]
    [InlineData("hgrn2[expand=5]", 32, "expand=5", "does not divide width 32; 16 would")]
    [InlineData("hgrn2[lower-bound=1]", 32, "lower-bound=1", "from 0 to 0.999")]
    [InlineData("rwkv6[head-dim=5]", 32, "head-dim=5", "does not divide width 32")]
    [InlineData("gsa[heads=5]", 32, "heads=5", "does not divide width 32")]
    [InlineData("gsa[slots=0]", 32, "slots=0", "from 1 to 4096")]
    public void ImpossibleOptionsAreRefused(string block, int width, string option, string reason) =>
        Refused.With(() => Create(block, width), option, reason);

    [Theory]
    [InlineData("gla", 512, 4, 64, 128)]
    [InlineData("gla", 96, 4, 12, 24)]
    [InlineData("hgrn2", 512, 4, 128, 128)]
    [InlineData("hgrn2", 96, 3, 32, 32)]
    [InlineData("rwkv6", 512, 8, 64, 64)]
    [InlineData("rwkv6", 96, 3, 32, 32)]
    [InlineData("gsa", 512, 4, 64, 128)]
    [InlineData("gsa", 96, 4, 24, 24)]
    public void UsualSizesAreThePapers(string block, int width, int heads, int keyWidth, int valueWidth) =>
        Assert.Contains(Create(block, width).NewState(1).Slots, s => ((StateTensor)s).Shape == new Shape(1, heads, keyWidth, valueWidth));

    [Fact]
    public void LowerBoundsRiseWithTheLayers()
    {
        Assert.DoesNotContain(Create("hgrn2", 32, 0).Parameters(), p => p.Name == "lower_bound");
        float[] bounds = Create("hgrn2", 32, 3).Parameters().Single(p => p.Name == "lower_bound").Tensor.ToArray();
        Assert.All(bounds, b => Assert.Equal(0.75, 1 / (1 + Math.Exp(-b)), 1e-5));
    }

    [Fact]
    public void Rwkv6StartsAsTheAuthorsDo()
    {
        Dictionary<string, float[]> p = Create("rwkv6", 64, 3).Parameters().ToDictionary(p => p.Name, p => p.Tensor.ToArray());
        Assert.Equal((-6f, -1f), (p["decay"][0], p["decay"][63])); // e^-e^-6 to e^-e^-1
        Assert.All(p["output.weight"].Concat(p["mix_down"]).Concat(p["decay_down"]), w => Assert.Equal(0, w));
        Assert.Equal((1f, 0.7f), (p["mix_k"][0], p["mix_v"][0]));
        Assert.All(p["norm.weight"], w => Assert.Equal(1, w));
    }

    [Fact]
    public void ForgetGatesAreStableAndComplementary()
    {
        float[] z = [-100, -30, -3, 0, 3, 30, 100];
        using var tape = new Tape(device);
        foreach ((double bound, float root) in new[] { (0.0, 1f), (0.0, 16f), (0.25, 1f), (0.9, 8f) })
        {
            Tensor x = tape.Of(z, new Shape(1, z.Length));
            Tensor? logit = bound == 0 ? null : tape.Of([.. Enumerable.Repeat((float)Math.Log(bound / (1 - bound)), z.Length)], new Shape(z.Length));
            (Tensor log, Tensor input) = Ops.ForgetGate(x, logit, root);
            Assert.Equal(log.ToArray(), Ops.LogForgetGate(x, logit, root).ToArray());
            for (int i = 0; i < z.Length; i++)
            {
                // sigmoid(-100) is e^-100: its logarithm is -100.
                double expected = Math.Log(bound + ((1 - bound) / (1 + Math.Exp(-(double)z[i])))) / root;
                Assert.Equal(expected, log.ToArray()[i], 1e-6 + (1e-5 * Math.Abs(expected)));
                Assert.Equal(1 - Math.Exp(expected), input.ToArray()[i], 1e-6);
            }
        }
    }

    private Mixer Create(string block, int width, int index = 0) =>
        BlockTable.Create(Pattern.Parse(block)[0], index, new Builder(device, new RandomSource(1), width, 4));
}
