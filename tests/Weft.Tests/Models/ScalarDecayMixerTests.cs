using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

/// <summary>What the laws do not say of the mixers with one decay a head: sizes, initial values, decays, what they refuse.</summary>
public sealed class ScalarDecayMixerTests : IDisposable
{
    private readonly CpuDevice device = new(1);

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData("linear-attention", 512, 8, 64, 65)]
    [InlineData("linear-attention", 96, 4, 24, 25)]
    [InlineData("linear-attention[heads=2, feature=identity]", 32, 2, 16, 16)]
    [InlineData("retnet", 2048, 8, 256, 512)]
    [InlineData("retnet", 96, 4, 24, 48)]
    [InlineData("lightning", 512, 4, 128, 128)]
    [InlineData("lightning[head-dim=32]", 96, 3, 32, 32)]
    public void StatesAreMatricesOfTheHeads(string block, int width, int heads, int keyWidth, int valueWidth)
    {
        StateSlot s = Create(block, width).NewState(2).Slots[0];
        Assert.Equal(new Shape(2, heads, keyWidth, valueWidth), ((StateTensor)s).Shape);
    }

    [Theory]
    [InlineData("linear-attention[heads=5]", 96, "block 0 'linear-attention': heads=5 does not split the width 96 into heads of an even width; heads that do: 48, 24, 16, 12, 8, 6")]
    [InlineData("linear-attention[feature=identity, normalise]", 32, "block 0 'linear-attention': normalise=true divides by sums that may be zero or negative where feature=identity; use feature=elu or relu, or normalise=false")]
    [InlineData("linear-attention[feature=gelu]", 32, "block 0 'linear-attention': feature=gelu is not one of elu, relu, identity")]
    [InlineData("retnet[heads=32]", 96, "block 0 'retnet': heads=32 does not split the width 96 into heads of an even width; heads that do: 48, 24, 16, 12, 8, 6")]
    [InlineData("retnet[heads=24]", 96, "block 0 'retnet': heads=24 would have decays 1 - 2^(-5 - h) too near 1 to tell apart in float32; use at most 20")]
    [InlineData("retnet[chunk=0]", 96, "block 0 'retnet': chunk=0 is not a whole number from 1 to 1024")]
    [InlineData("lightning[decay-factor=-1]", 96, "block 0 'lightning': decay-factor=-1 is not a number from 0 to 100")]
    [InlineData("mlstm[heads=5]", 32, "block 0 'mlstm': heads=5 does not divide expand x width = 64; heads that do: 64, 32, 16, 8, 4, 2")]
    [InlineData("mlstm[qkv-block=3]", 32, "block 0 'mlstm': qkv-block=3 does not divide expand x width = 64; blocks that do: 64, 32, 16, 8, 4, 2")]
    [InlineData("mamba3[head-dim=48]", 32, "block 0 'mamba3': head-dim=48 does not divide expand x width = 64; head widths that do: 64, 32, 16, 8, 4, 2")]
    [InlineData("mamba3[rank=3]", 32, "block 0 'mamba3': rank=3 is not one of 1, 2, 4")]
    [InlineData("mamba3[state=7]", 32, "block 0 'mamba3': state=7 is odd, and states turn in pairs; use an even number, as a rule 128")]
    [InlineData("mamba3[state=2]", 32, "block 0 'mamba3': state=2 leaves no pair to turn with rope-fraction=0.5; use 4 or more, or rope-fraction=1")]
    public void ImpossibleOptionsAreRefused(string block, int width, string message) =>
        Assert.Equal(message, Assert.Throws<InputException>(() => Create(block, width)).Message);

    [Fact]
    public void LinearAttentionIsTheWeightedMeanOfValues()
    {
        // Where all keys are equal, outputs are the mean of the values so far, whatever the queries.
        using var tape = new Tape(device) { Recording = false };
        const int time = 70, heads = 2, dv = 3;
        Tensor k = Ops.EluPlusOne(tape.Of(Enumerable.Repeat(0.3f, time * heads * 4).ToArray(), new Shape(1, time, heads * 4)));
        Tensor q = Ops.EluPlusOne(tape.Of(Values(time * heads * 4), k.Shape));
        float[] values = Values(time * heads * dv);
        Tensor v = Ops.AppendOnes(tape.Of(values, new Shape(1, time, heads * dv)), heads);
        (Tensor o, Tensor _) = Ops.ScalarDecay(q, k, v, tape.Of(new float[heads], new Shape(heads)), null, null, null, heads, chunk: 16);
        float[] means = Ops.DivideByLast(o, null, heads, 0).ToArray();
        for (int t = 0; t < time; t++)
        {
            for (int c = 0; c < heads * dv; c++)
            {
                Assert.Equal(Enumerable.Range(0, t + 1).Average(s => values[(s * heads * dv) + c]), means[(t * heads * dv) + c], 1e-4);
            }
        }

        static float[] Values(int count)
        {
            var values = new float[count];
            new RandomSource(3).FillGaussian(values);
            return values;
        }
    }

    private Mixer Create(string block, int width) =>
        BlockTable.Create(Pattern.Parse(block)[0], 0, new Builder(device, new RandomSource(1), width, 4));
}
