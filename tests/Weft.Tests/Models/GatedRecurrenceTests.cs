using Weft.Models;
using Weft.Models.Recurrences;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;

namespace Weft.Tests.Models;

/// <summary>What the laws do not say of LSTM, GRU and sLSTM: initial values, range, dense against heads, errors.</summary>
public sealed class GatedRecurrenceTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData("lstm", "in_proj.weight in_proj.bias recurrent.weight")]
    [InlineData("gru", "in_proj.weight in_proj.bias recurrent.weight recurrent.bias")]
    [InlineData("slstm", "conv1d.weight conv1d.bias igate.weight fgate.weight zgate.weight ogate.weight recurrent.weight recurrent.bias norm.weight")]
    public void ParametersHaveTheirNames(string block, string names) =>
        Assert.Equal(names.Split(' '), Create(block, 64).Parameters().Select(p => p.Name));

    [Fact]
    public void ForgetGatesOfSlstmFallOverAHeadsChannels()
    {
        const int width = 64, each = 16;
        float[] bias = Create("slstm", width).Parameters().Single(p => p.Name == "recurrent.bias").Tensor.ToArray();
        for (int head = 0; head < 4; head++)
        {
            float[] forget = bias[((head * 4 * each) + each)..((head * 4 * each) + (2 * each))];
            Assert.Equal(5, forget[0], 1e-6);
            Assert.Equal(-7, forget[^1], 1e-6);
            Assert.Equal(5 - (12 * Math.Pow(1.0 / 15, 0.3)), forget[1], 1e-5);
            Assert.All(forget.Zip(forget.Skip(1)), pair => Assert.True(pair.Second < pair.First));
        }

        Assert.Equal(width, bias.Count(b => b != 0));
    }

    [Fact]
    public void SlstmStandsAnyGate()
    {
        // Gates that e^x of would be infinite, or nothing at all, from the first token on.
        const int width = 8;
        using var tape = new Tape(device);
        foreach (float scale in new[] { 1f, 100f, 1e4f, 1e30f })
        {
            Tensor[] gates = [.. Enumerable.Range(0, 4).Select(g => device.Of(LawTools.Gaussian(2 * 40 * width, (ulong)g, scale), new Shape(2, 40, width)).WithGrad())];
            (Tensor h, GatedStates final) = GatedRecurrence.Slstm(Ops.Copy(gates[0], tape), Ops.Copy(gates[1], tape), Ops.Copy(gates[2], tape), Ops.Copy(gates[3], tape),
                device.Zeros(new Shape(2, 4, 16)).WithGrad(), null);
            Assert.All(h.ToArray().Concat(final.N!.ToArray()), v => Assert.True(float.IsFinite(v)));
            Assert.All(h.ToArray(), v => Assert.InRange(v, -1.0001f, 1.0001f)); // an average of tanh(z)
            tape.Backward(Ops.Sum(h));
            Assert.All(gates.SelectMany(g => g.Grad!.ToArray()), v => Assert.True(float.IsFinite(v)));
            tape.Reset();
        }
    }

    [Theory]
    [InlineData("lstm[heads=5]", "block 0 'lstm': heads=5 does not divide width 64; heads that do: 64, 32, 16, 8, 4, 2")]
    [InlineData("gru[heads=0]", "block 0 'gru': heads=0 is not a whole number from 1 to 4096")]
    [InlineData("slstm[heads=3]", "block 0 'slstm': heads=3 does not divide width 64; heads that do: 64, 32, 16, 8, 4, 2")]
    [InlineData("slstm[conv=1]", "block 0 'slstm': conv=1 is not a whole number from 2 to 64")]
    [InlineData("lstm[chunk=64]", "block 0 'lstm': unknown option 'chunk'")]
    public void ErrorsSayWhatWouldDo(string block, string message) =>
        Assert.StartsWith(message, Assert.Throws<InputException>(() => Create(block, 64)).Message, StringComparison.Ordinal);

    private Mixer Create(string block, int width) =>
        BlockTable.Create(Pattern.Parse(block)[0], 0, new Builder(device, new RandomSource(1), width, 4));
}
