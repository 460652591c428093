using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

/// <summary>TTT-Linear beyond the laws: its options.</summary>
public sealed class TttTests : IDisposable
{
    private readonly CpuDevice device = new(1);

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData("ttt-linear[head-dim=7]", "block 0 'ttt-linear': head-dim=7 does not divide the width 96; head widths that do: 96, 48, 32, 24, 16, 12")]
    [InlineData("ttt-linear[head-dim=3]", "block 0 'ttt-linear': head-dim=3 is odd, and rotary positions turn pairs of columns; use an even one, or rope-theta=0")]
    [InlineData("ttt-linear[mini-batch=0]", "block 0 'ttt-linear': mini-batch=0 is not a whole number from 1 to 1024")]
    [InlineData("ttt-linear[rope-theta=0.5]", "block 0 'ttt-linear': rope-theta=0.5 would turn faster for later columns; use 1 or more, as a rule 10000, or 0 for no positions")]
    [InlineData("ttt-linear[base-rate=-1]", "block 0 'ttt-linear': base-rate=-1 is not a number from 0 to 100")]
    public void ImpossibleOptionsAreRefused(string block, string message) =>
        Assert.Equal(message, Assert.Throws<InputException>(() => BlockTable.Create(Pattern.Parse(block)[0], 0, new Builder(device, new RandomSource(1), 96, 4))).Message);
}
