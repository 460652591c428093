using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;

namespace Weft.Tests.Tensors;

/// <summary>The head's fused loss against its definition, <see cref="Ops.CrossEntropy"/> of <see cref="Ops.Linear"/>.</summary>
public sealed class HeadLossTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    private sealed record Result(float[] Losses, float[] Dx, float[] Dhead, long Flops, long ArenaBytes);

    private static Result Run(Device device, Shape x, int vocabulary, int[] targets, bool fused, float size = 1, bool views = false)
    {
        int width = x.Columns;
        Tensor input = device.Of(LawTools.Gaussian(x.Count, 1), x).WithGrad();
        using Tensor head = device.Of(LawTools.Gaussian((long)vocabulary * width, 2, size), new Shape(vocabulary, width)).WithGrad();
        using var tape = new Tape(device);
        long before = device.Flops;
        Tensor copy = Ops.Copy(input, tape), seen = views ? copy.Columns(width / 4, width / 2) : copy;
        Tensor weight = views ? Ops.Slice(Ops.Copy(head, tape), 1, 0, width / 2) : head;
        Tokens tokens = tape.Tokens(targets, x[0], x[1]);
        Tensor losses = fused ? Ops.HeadLoss(seen, weight, tokens) : Ops.CrossEntropy(Ops.Linear(seen, weight), tokens);
        tape.Backward(Ops.Sum(Ops.Multiply(losses, tape.Of(LawTools.Gaussian(targets.Length, 3), losses.Shape))));
        var result = new Result(losses.ToArray(), input.Grad!.ToArray(), head.Grad!.ToArray(), device.Flops - before, tape.ArenaBytes);
        input.Dispose();
        return result;
    }

    private static int[] Targets(int count, int vocabulary)
    {
        var random = new Random(4);
        return [.. Enumerable.Range(0, count).Select(i => i % 5 == 3 ? -1 : i == 0 ? vocabulary - 1 : random.Next(vocabulary))];
    }

    [Theory]
    [InlineData(1, 1, 1, 8)]
    [InlineData(2, 3, 1, 8)]
    [InlineData(2, 9, 7, 5)]
    [InlineData(3, 1, 257, 24)]
    [InlineData(1, 700, 257, 33)]
    [InlineData(2, 300, 5000, 16)]   // several runs of columns
    [InlineData(1, 2500, 1000, 12)]  // two blocks of rows besides
    [InlineData(1, 1, 5000, 48)]
    public void EqualsItsDefinition(int batch, int time, int vocabulary, int width)
    {
        int[] targets = Targets(batch * time, vocabulary);
        Shape x = new(batch, time, width);
        Result expected = Run(device, x, vocabulary, targets, fused: false), actual = Run(device, x, vocabulary, targets, fused: true);
        LawTools.Close(actual.Losses, expected.Losses, 1e-6, "losses");
        LawTools.Close(actual.Dx, expected.Dx, 1e-5, "gradient of the input");
        LawTools.Close(actual.Dhead, expected.Dhead, 1e-5, "gradient of the head");
        Assert.All(targets.Select((t, i) => (t, i)).Where(p => p.t < 0), p => Assert.Equal(0, actual.Losses[p.i]));
    }

    [Theory]
    [InlineData(40)]
    [InlineData(9000)]
    public void TakesViewsAndInputsThatAreUsedElsewhere(int vocabulary)
    {
        int[] targets = Targets(300, vocabulary);
        Shape x = new(1, 300, 32);
        Result expected = Run(device, x, vocabulary, targets, fused: false, views: true), actual = Run(device, x, vocabulary, targets, fused: true, views: true);
        LawTools.Close(actual.Losses, expected.Losses, 1e-6, "losses");
        LawTools.Close(actual.Dx, expected.Dx, 1e-5, "gradient of the input");
        LawTools.Close(actual.Dhead, expected.Dhead, 1e-5, "gradient of the head");
    }

    [Fact]
    public void LargeLogitsOverflowNothing()
    {
        int[] targets = Targets(300, 9000);
        Result expected = Run(device, new Shape(1, 300, 16), 9000, targets, fused: false, size: 50), actual = Run(device, new Shape(1, 300, 16), 9000, targets, fused: true, size: 50);
        LawTools.Close(actual.Losses, expected.Losses, 1e-6, "losses");
        LawTools.Close(actual.Dx, expected.Dx, 1e-5, "gradient of the input");
        Assert.True(actual.Losses.Max() > 100);
    }

    [Theory]
    [InlineData(20)]
    [InlineData(9000)]
    public void TargetsThatAreAllMissingGiveZeros(int vocabulary)
    {
        Result result = Run(device, new Shape(1, 300, 8), vocabulary, [.. Enumerable.Repeat(-1, 300)], fused: true);
        Assert.All(result.Losses, l => Assert.Equal(0, l));
        Assert.All(result.Dx, g => Assert.Equal(0, g));
        Assert.All(result.Dhead, g => Assert.Equal(0, g));
    }

    [Theory]
    [InlineData(200, false)]
    [InlineData(9000, false)]
    [InlineData(200, true)]
    public void RowsWithoutATargetCostNothing(int vocabulary, bool views)
    {
        int[] targets = [.. Targets(640, vocabulary).Select((t, i) => i % 16 == 5 ? t : -1)];
        int asked = targets.Count(t => t >= 0), rounded = (asked + 15) / 16 * 16;
        Shape x = new(10, 64, 32);
        Result expected = Run(device, x, vocabulary, targets, fused: false, views: views), actual = Run(device, x, vocabulary, targets, fused: true, views: views);
        LawTools.Close(actual.Losses, expected.Losses, 1e-6, "losses");
        LawTools.Close(actual.Dx, expected.Dx, 1e-5, "gradient of the input");
        LawTools.Close(actual.Dhead, expected.Dhead, 1e-5, "gradient of the head");
        Assert.InRange(asked, 20, 40);
        Assert.Equal(0, actual.Flops % rounded);
        Assert.True(actual.Flops * 8 < expected.Flops);
        for (int row = 0; row < targets.Length; row++)
        {
            bool isAsked = targets[row] >= 0;
            Assert.Equal(isAsked, actual.Losses[row] != 0);
            Assert.Equal(isAsked, actual.Dx[(row * 32)..((row + 1) * 32)].Any(g => g != 0));
        }
    }

    [Fact]
    public void MasksMayChangeFromStepToStep()
    {
        using Tensor head = device.Of(LawTools.Gaussian(500 * 16, 2), new Shape(500, 16)).WithGrad();
        using Tensor input = device.Of(LawTools.Gaussian(320 * 16, 1), new Shape(5, 64, 16)).WithGrad();
        using var tape = new Tape(device);
        foreach (int every in (int[])[7, 3, 1, 400, 9, 3])
        {
            int[] targets = [.. Enumerable.Range(0, 320).Select(i => i % every == every - 1 ? i : -1)];
            float[][] gradients = [.. new[] { true, false }.Select(fused =>
            {
                head.ClearGrad();
                input.ClearGrad();
                Tokens tokens = tape.Tokens(targets, 5, 64);
                Tensor x = Ops.Copy(input, tape), losses = fused ? Ops.HeadLoss(x, head, tokens) : Ops.CrossEntropy(Ops.Linear(x, head), tokens);
                tape.Backward(Ops.Sum(losses));
                float[] all = [.. losses.ToArray(), .. head.Grad!.ToArray(), .. input.Grad!.ToArray()];
                tape.Reset();
                return all;
            })];
            LawTools.Close(gradients[0], gradients[1], 1e-5, $"losses and gradients, one of {every} asked");
        }
    }

    [Theory]
    [InlineData(100)]
    [InlineData(9000)]
    public void GivesTheSameBitsAgainAndWithOtherThreads(int vocabulary)
    {
        int[] targets = Targets(300, vocabulary);
        using var one = new CpuDevice(1);
        using var three = new CpuDevice(3);
        Result first = Run(device, new Shape(3, 100, 48), vocabulary, targets, fused: true);
        foreach (Device other in (Device[])[device, one, three])
        {
            Result again = Run(other, new Shape(3, 100, 48), vocabulary, targets, fused: true);
            Assert.Equal(first.Losses, again.Losses);
            Assert.Equal(first.Dx, again.Dx);
            Assert.Equal(first.Dhead, again.Dhead);
        }
    }

    [Fact]
    public void WhetherItRecordsChangesNoLoss()
    {
        int[] targets = Targets(300, 5000);
        using var tape = new Tape(device) { Recording = false };
        Tensor losses = Ops.HeadLoss(tape.Of(LawTools.Gaussian(300 * 16, 1), new Shape(1, 300, 16)), tape.Of(LawTools.Gaussian(5000 * 16, 2), new Shape(5000, 16)),
            tape.Tokens(targets, 1, 300));
        LawTools.Close(losses.ToArray(), Run(device, new Shape(1, 300, 16), 5000, targets, fused: true).Losses, 1e-6, "losses");
    }

    [Fact]
    public void ATargetOutsideTheVocabularyIsNamed()
    {
        Refused.With(() => Run(device, new Shape(1, 3, 8), 40, [1, 40, 2], fused: true), "target 40 is outside the vocabulary of 40");
    }

    [Fact]
    public void OnlyLogitsComputedAgainCostMore()
    {
        long product = 2L * 240 * 16; // rows that have a target
        Assert.Equal(3 * product * 100, Run(device, new Shape(1, 300, 16), 100, Targets(300, 100), fused: true).Flops);
        Assert.Equal(4 * product * 9000, Run(device, new Shape(1, 300, 16), 9000, Targets(300, 9000), fused: true).Flops);
    }

    [Fact]
    public void ALargeVocabularyTakesLittleMemory()
    {
        const int rows = 512, vocabulary = 40_000;
        int[] targets = Targets(rows, vocabulary);
        long whole = (long)rows * vocabulary * sizeof(float);
        Assert.True(Run(device, new Shape(1, rows, 16), vocabulary, targets, fused: false).ArenaBytes >= 2 * whole);
        Assert.InRange(Run(device, new Shape(1, rows, 16), vocabulary, targets, fused: true).ArenaBytes, 0, whole / 10);
    }
}
