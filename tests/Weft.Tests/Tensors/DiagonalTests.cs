using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;

namespace Weft.Tests.Tensors;

/// <summary>What the recurrences' laws do not reach of the operations on channels: infinities, column views, final states in place.</summary>
public sealed class DiagonalTests : IDisposable
{
    private const float None = float.NegativeInfinity;
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    [Fact]
    public void MaxPlusOfNothingIsNothingAndNeverNaN()
    {
        using var tape = new Tape(device);
        Tensor f = device.Of([None, -1, None, 0], new Shape(1, 4, 1)).WithGrad(), i = device.Of([None, None, 2, None], new Shape(1, 4, 1)).WithGrad();
        (Tensor m, Tensor final) = Ops.MaxPlus(Ops.Copy(f, tape), Ops.Copy(i, tape), null);
        Assert.Equal([None, None, 2, 2], m.ToArray());
        tape.Backward(Ops.Sum(Ops.Slice(m, 1, 3, 1)));
        Assert.Equal([0f, 0, 0, 1], f.Grad!.ToArray());
        Assert.Equal([0f, 0, 1, 0], i.Grad!.ToArray());
        Assert.Equal(2, final.Scalar());
    }

    [Fact]
    public void ADecayOfMinusInfinityForgets()
    {
        using var tape = new Tape(device);
        Tensor a = device.Of([None, -1], new Shape(1, 2, 1)).WithGrad(), initial = device.Of([5], new Shape(1, 1)).WithGrad();
        (Tensor h, Tensor _) = Ops.DiagonalRecurrence(tape.Of([1, 2], new Shape(1, 2, 1)), Ops.Copy(a, tape), Ops.Copy(initial, tape));
        Assert.Equal(1, h.ToArray()[0]);
        tape.Backward(Ops.Sum(h));
        Assert.Equal(0, initial.Grad!.Scalar());
        Assert.Equal(0, a.Grad!.ToArray()[0]);
    }

    [Fact]
    public void TheRootsSlopeIsBounded()
    {
        using var tape = new Tape(device);
        Tensor a = device.Of([0, -1e-9f, -0.5f], new Shape(1, 3, 1)).WithGrad();
        (Tensor h, Tensor _) = Ops.DiagonalRecurrence(tape.Of([1, 1, 1], new Shape(1, 3, 1)), Ops.Copy(a, tape), null, DiagonalInput.UnitVariance);
        tape.Backward(Ops.Sum(Ops.Slice(h, 1, 0, 1)));
        Assert.Equal(-2000, a.Grad!.ToArray()[0], 1e-2); // 2 e^2a times at most 1000
    }

    [Fact]
    public void Expm1KeepsItsDigits()
    {
        using var tape = new Tape(device) { Recording = false };
        float[] x = [.. Enumerable.Range(0, 20_000).Select(i => -MathF.Exp((i - 16_000) * 0.001f)), 0, float.NegativeInfinity]; // -1e-7 to -50
        float[] y = Ops.Expm1(tape.Of(x, new Shape(x.Length))).ToArray();
        for (int i = 0; i < x.Length; i++)
        {
            double a = x[i], exact = a < -1e-3 ? Math.Exp(a) - 1 : a * (1 + (a / 2 * (1 + (a / 3))));
            Assert.True(Math.Abs(y[i] - exact) <= 3 * 1.2e-7 * Math.Abs(exact), $"expm1({x[i]}) = {y[i]}, exactly {exact}");
        }
    }

    /// <summary>Both inputs as columns of one tensor, and as one and the same tensor: the same as copies, gradients included.</summary>
    [Theory]
    [InlineData(5, 5)] // between vectors and whole ones
    [InlineData(300, 0)]
    public void ColumnViewsNeedNoCopies(int channels, int apart)
    {
        var shape = new Shape(2, 9, channels + apart);
        float[] values = LawTools.Gaussian(shape.Count, 1);
        foreach (Func<Tensor, Tensor, Tensor> run in new Func<Tensor, Tensor, Tensor>[] { (a, b) => Ops.DiagonalRecurrence(a, b, null).H, (a, b) => Ops.MaxPlus(a, b, null).M })
        {
            Assert.Equal(Run(run, copied: true), Run(run, copied: false));
        }

        float[] Run(Func<Tensor, Tensor, Tensor> run, bool copied)
        {
            using var tape = new Tape(device);
            Tensor x = device.Of(values, shape).WithGrad();
            Tensor on = Ops.Copy(x, tape), a = on.Columns(0, channels), b = on.Columns(apart, channels);
            Tensor y = copied ? run(Ops.Copy(a, tape), Ops.Copy(b, tape)) : run(a, b);
            float[] output = y.ToArray();
            tape.Backward(Ops.Sum(Ops.Multiply(y, y)));
            return [.. output, .. x.Grad!.ToArray()];
        }
    }
}
