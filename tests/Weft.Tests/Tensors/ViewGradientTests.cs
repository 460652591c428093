using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Tensors;

/// <summary>Gradients of tensors that are used through views of their columns.</summary>
public sealed class ViewGradientTests : IDisposable
{
    private const int Rows = 5, Columns = 12;
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    public static TheoryData<string> Uses => ["0-12", "0-4 4-8 8-12", "8-12 0-4", "2-5", "0-8 4-12", "0-8 2-6", "0-4 0-4 4-12", "0-4 whole", "whole 0-4", "0-4 rows", "rows 4-8", "0-3 6-9 1-8 whole rows"];

    /// <summary>The loss is the sum, over uses, of use number u's elements times u + 1: the gradient counts the uses of a column.</summary>
    [Theory]
    [MemberData(nameof(Uses))]
    public void EveryColumnGetsWhatItsUsesSay(string uses)
    {
        float[] values = new float[Rows * Columns];
        new RandomSource(1).FillGaussian(values);
        using Tensor leaf = device.Of(values, new Shape(Rows, Columns)).WithGrad();
        using var tape = new Tape(device);
        tape.Empty(leaf.Shape).Fill(float.NaN); // what the gradient's memory may hold
        var expected = new float[Columns];
        for (int step = 0; step < 2; step++) // memory that a tape uses again is not zero
        {
            Array.Clear(expected);
            leaf.ClearGrad();
            Tensor whole = Ops.Affine(Ops.Copy(leaf, tape), 1);
            Tensor? loss = null;
            foreach ((int u, string use) in uses.Split(' ').Index())
            {
                (int from, int to) = use.Contains('-', StringComparison.Ordinal) ? (int.Parse(use.Split('-')[0]), int.Parse(use.Split('-')[1])) : (0, Columns);
                Tensor part = use == "rows" ? whole.Reshape(new Shape(Rows * 2, Columns / 2)) : use == "whole" ? whole : whole.Columns(from, to - from);
                Tensor sum = Ops.Sum(Ops.Affine(part, u + 1));
                loss = loss is null ? sum : Ops.Add(loss, sum);
                for (int c = from; c < to; c++)
                {
                    expected[c] += u + 1;
                }
            }

            tape.Backward(loss!);
            Assert.Equal(Enumerable.Range(0, Rows).SelectMany(_ => expected), leaf.Grad!.ToArray());
            tape.Reset();
        }
    }
}
