using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Laws;

/// <summary>The laws with products of bfloat16, on what multiplies it here; and that they compute what float32 does.</summary>
public sealed class MixerLawsInBf16() : MixerLaws(Precision.BFloat16, 2e-2)
{
    [Theory]
    [MemberData(nameof(MixerTable.All), MemberType = typeof(MixerTable))]
    public void AgreesWithFloat32(int index, string block)
    {
        MixerRow row = MixerTable.Row(index);
        using CpuDevice exact = new(2), rounded = new(2, Precision.BFloat16);
        int time = row.Grid + 70, outputs = 2 * time * row.Width;
        float[] expected = Gradients(exact, row, time), actual = Gradients(rounded, row, time);
        double tolerance = row.Jumps ? 5e-2 : 2e-2;
        LawTools.Close(actual.AsSpan(0, outputs), expected.AsSpan(0, outputs), tolerance, block);
        LawTools.Close(actual.AsSpan(outputs), expected.AsSpan(outputs), tolerance, $"{block}: gradients");
        if (row.Create(exact).Parameters().Any(p => p.Name.EndsWith("proj.weight", StringComparison.Ordinal)))
        {
            Assert.False(expected.AsSpan().SequenceEqual(actual), $"{block}: nothing was rounded");
        }
    }
}
