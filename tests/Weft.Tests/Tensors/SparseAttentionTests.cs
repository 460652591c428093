using Weft.Models.Recurrences;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;

namespace Weft.Tests.Tensors;

/// <summary>Sizes of sparse attention at which its work is cut: several groups of diagonals, columns and tiles; shared keys; a cache.</summary>
public sealed unsafe class SparseAttentionTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData(70, 40, 128, 16)]
    [InlineData(5, 100, 64, 64)]
    [InlineData(130, 3, 192, 7)]
    [InlineData(17, 33, 48, 5)]
    [InlineData(90, 90, 1088, 64)]
    public void VerticalSlashIsTheDefinition(int vertical, int slash, int tile, int last)
    {
        var pattern = new VerticalSlash(vertical, slash, tile, last);
        AreEqual(20, (q, k, v) => VerticalSlashSoftmax.Plain(q, k, v, 2, 0.3f, pattern), (q, k, v) =>
        {
            // The first tokens lie in the cache.
            int past = q.Shape[1] / 3, own = q.Shape[1] - past;
            var before = new AttentionPast(Ops.Slice(k, 1, 0, past), Ops.Slice(v, 1, 0, past), 0, past);
            Tensor first = VerticalSlashSoftmax.Fast(Ops.Slice(q, 1, 0, past), before.Keys!, before.Values!, default, null, 2, 0.3f, pattern);
            Tensor rest = VerticalSlashSoftmax.Fast(Ops.Slice(q, 1, past, own), Ops.Slice(k, 1, past, own), Ops.Slice(v, 1, past, own), before, Ops.Slice(q, 1, 0, past), 2, 0.3f, pattern);
            return Ops.Concat(first, rest, 1);
        });
    }

    [Theory]
    [InlineData(8, 5, 4)]
    [InlineData(20, 6, 1 << 16)] // means of 20 are not exact: no equal ones
    [InlineData(4, 30, 4)]
    [InlineData(64, 4, 4)]
    public void BlockSparseIsTheDefinition(int block, int budget, int coarse)
    {
        var sparsity = new BlockSparsity(block, budget);
        AreEqual(coarse, (q, k, v) => BlockSparseSoftmax.Plain(q, k, v, 2, 0.3f, sparsity), (q, k, v) => BlockSparseSoftmax.Fast(q, k, v, default, 2, 0.3f, sparsity));
    }

    /// <summary>Outputs and gradients of 4 heads that share 2 of keys. Queries and keys are multiples of 1 / coarse: products are exact where that is small.</summary>
    private void AreEqual(int coarse, Func<Tensor, Tensor, Tensor, Tensor> definition, Func<Tensor, Tensor, Tensor, Tensor> fast)
    {
        const int Time = 600, HeadDim = 20, ValueDim = 12;
        float[][] results = [.. new[] { definition, fast }.Select(run =>
        {
            using var tape = new Tape(device);
            Tensor[] inputs = [.. new[] { 4 * HeadDim, 2 * HeadDim, 2 * ValueDim }.Select((width, i) =>
                device.Of([.. LawTools.Gaussian(Time * width, (ulong)(70 + i)).Select(x => MathF.Round(x * coarse) / coarse)], new Shape(1, Time, width)).WithGrad())];
            Tensor y = run(Ops.Copy(inputs[0], tape), Ops.Copy(inputs[1], tape), Ops.Copy(inputs[2], tape));
            tape.Backward(Ops.Sum(Ops.Multiply(y, tape.Of(LawTools.Gaussian(y.Shape.Count, 80), y.Shape))));
            float[] result = [.. y.ToArray(), .. inputs.SelectMany(x => x.Grad!.ToArray())];
            Array.ForEach(inputs, x => x.Dispose());
            return result;
        })];
        int outputs = Time * 4 * ValueDim;
        LawTools.Close(results[1].AsSpan(0, outputs), results[0].AsSpan(0, outputs), 1e-5, "output");
        LawTools.Close(results[1].AsSpan(outputs), results[0].AsSpan(outputs), 1e-4, "gradients");
    }

    [Fact]
    public void TopKAreTheLargestAndOfEqualOnesTheFirst()
    {
        var random = new Random(3);
        for (int round = 0; round < 300; round++)
        {
            int n = random.Next(1, 200), k = random.Next(n + 1);
            float[] values = [.. Enumerable.Range(0, n).Select(_ => (float)random.Next(round % 2 == 0 ? 10 : 100_000))];
            Assert.Equal(values.Index().OrderByDescending(x => x.Item).Take(k).Select(x => x.Index).Order(), Largest(values, k));
        }

        Assert.Equal(3, Largest([1, float.NaN, 2, float.NaN, 0], 3).Distinct().Count());
    }

    private static int[] Largest(float[] values, int k)
    {
        var best = new float[k + 1];
        var indices = new int[k + 1];
        fixed (float* v = values, b = best)
        fixed (int* i = indices)
        {
            TopK.Indices(v, values.Length, k, b, i);
        }

        return indices[..k];
    }
}
