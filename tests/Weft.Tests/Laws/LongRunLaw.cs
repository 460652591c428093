using Weft.Models;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Laws;

/// <summary>A sequence of 20,000 tokens in pieces is the sequence whole.</summary>
public sealed class LongRunLaw : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    [Theory]
    [MemberData(nameof(MixerTable.All), MemberType = typeof(MixerTable))]
    public void LongRunsDoNotDrift(int index, string block)
    {
        MixerRow row = MixerTable.Row(index);
        Mixer mixer = row.Create(device);
        const int time = 20_000, piece = 777;
        float[] x = LawTools.Gaussian((long)time * row.Width, 5);
        MixerState whole = mixer.NewState(1), cut = mixer.NewState(1);
        float[] expected = LawTools.Mix(mixer, whole, x, 1, row.Width, [time]);
        float[] actual = LawTools.Mix(mixer, cut, x, 1, row.Width, [.. Enumerable.Repeat(piece, time / piece), time % piece]);
        LawTools.Close(actual, expected, 1e-4, block);
        LawTools.Close(actual.AsSpan(^(100 * row.Width)..), expected.AsSpan(^(100 * row.Width)..), 1e-4, $"{block}, the last 100 tokens");
        MixerLaws.SameState(cut, whole, 1e-4, block);
    }
}
