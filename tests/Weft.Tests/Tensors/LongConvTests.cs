using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Tensors;

using Weft.Tests.Laws;

/// <summary>Convolution with a long kernel, beyond what the recurrence laws say: lengths, views, rings, bits, accuracy.</summary>
public sealed class LongConvTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData(1, 1, 5, 1, 0)]
    [InlineData(2, 40, 16, 40, 0)]
    [InlineData(2, 64, 19, 64, 0)]
    [InlineData(1, 300, 33, 300, 0)]
    [InlineData(3, 257, 70, 90, 0)] // fewer taps than tokens
    [InlineData(2, 130, 7, 1000, 0)] // more
    [InlineData(1, 130, 64, 130, 1)]
    [InlineData(1, 131, 20, 140, 2)]
    [InlineData(1, 1000, 130, 1000, 256)]
    [InlineData(1, 700, 3, 650, 4096)]
    public void ValuesAndGradients(int batch, int time, int channels, int length, int block)
    {
        const int offset = 3; // input and kernel are views: columns of wider tensors
        int wide = channels + 5;
        float[] x = LawTools.Gaussian(batch * time * wide, 1), k = LawTools.Gaussian(length * wide, 2), d = LawTools.Gaussian(channels, 3), dy = LawTools.Gaussian(batch * time * channels, 4);
        using var tape = new Tape(device);
        Tensor tx = device.Of(x, new Shape(batch, time, wide)).WithGrad(), tk = device.Of(k, new Shape(length, wide)).WithGrad(), td = device.Of(d, new Shape(channels)).WithGrad();
        Tensor y = Ops.LongConv(Ops.Copy(tx, tape).Columns(offset, channels), Ops.Copy(tk, tape).Columns(offset, channels), td, default, block);
        tape.Backward(Ops.Sum(Ops.Multiply(y, tape.Of(dy, y.Shape))));

        var expected = new double[dy.Length];
        double[] dx = new double[x.Length], dk = new double[k.Length], dd = new double[channels];
        for (int b = 0; b < batch; b++)
        {
            for (int t = 0; t < time; t++)
            {
                for (int c = 0; c < channels; c++)
                {
                    int at = (((b * time) + t) * channels) + c, own = (((b * time) + t) * wide) + offset + c;
                    expected[at] += (double)d[c] * x[own];
                    dd[c] += (double)dy[at] * x[own];
                    dx[own] += (double)dy[at] * d[c];
                    for (int j = 0; j < length && j <= t; j++)
                    {
                        int from = own - (j * wide), tap = (j * wide) + offset + c;
                        expected[at] += (double)k[tap] * x[from];
                        dx[from] += (double)k[tap] * dy[at];
                        dk[tap] += (double)x[from] * dy[at];
                    }
                }
            }
        }

        LawTools.Close(y.ToArray(), Single(expected), 1e-6, "y");
        LawTools.Close(tx.Grad!.ToArray(), Single(dx), 1e-6, "dx");
        LawTools.Close(tk.Grad!.ToArray(), Single(dk), 1e-6, "dkernel");
        LawTools.Close(td.Grad!.ToArray(), Single(dd), 1e-6, "dskip");
    }

    [Theory]
    [InlineData(8192, 8192)]
    [InlineData(20_000, 20_000)]
    [InlineData(20_000, 3000)]
    public void LongSequencesStayCloseToDoublePrecision(int time, int length)
    {
        const int channels = 2;
        float[] x = LawTools.Gaussian(time * channels, 1), k = LawTools.Gaussian(length * channels, 2);
        using var tape = new Tape(device) { Recording = false };
        Tensor tx = tape.Of(x, new Shape(1, time, channels)), tk = tape.Of(k, new Shape(length, channels));
        var expected = new double[x.Length];
        for (int t = 0; t < time; t++)
        {
            for (int j = 0; j < length && j <= t; j++)
            {
                expected[2 * t] += (double)k[2 * j] * x[2 * (t - j)];
                expected[(2 * t) + 1] += (double)k[(2 * j) + 1] * x[(2 * (t - j)) + 1];
            }
        }

        LawTools.Close(Ops.LongConv(tx, tk).ToArray(), Single(expected), 1e-6, "transforms");

        // The last token alone, tap by tap.
        var past = new LongConvPast(tape.Of(x.AsSpan(0, x.Length - channels), new Shape(1, time - 1, channels)), 0, time - 1, time - 1);
        Tensor last = Ops.LongConv(tape.Of(x.AsSpan(x.Length - channels), new Shape(1, 1, channels)), tk, null, past);
        Assert.Equal(expected[^2], last.ToArray()[0], 1e-6 * Math.Sqrt(length));
        Assert.Equal(expected[^1], last.ToArray()[1], 1e-6 * Math.Sqrt(length));
    }

    /// <summary>Pieces on the grid, the past in a ring that wraps, longer than the kernel or just as long: the same bits as the whole. Pieces off the grid: the same values.</summary>
    [Theory]
    [InlineData(64, 32, 64)]
    [InlineData(60, 32, 64)]
    [InlineData(64, 32, 80)]
    [InlineData(1000, 64, 1024)]
    public void PiecesGiveTheSameBits(int length, int block, int rows)
    {
        const int batch = 2, channels = 21, time = 400;
        float[] x = LawTools.Gaussian(batch * time * channels, 1);
        using var tape = new Tape(device) { Recording = false };
        Tensor tx = tape.Of(x, new Shape(batch, time, channels)), tk = tape.Of(LawTools.Gaussian(length * channels, 2), new Shape(length, channels));
        float[] whole = Ops.LongConv(tx, tk, null, default, block).ToArray();
        Assert.Equal(whole, Pieces([2 * block, block, time - (3 * block)]));
        Assert.Equal(whole, Pieces([.. Enumerable.Repeat(block, time / block), .. time % block == 0 ? [] : new[] { time % block }]));
        LawTools.Close(Pieces([1, 30, 2, 100, 1, 1, 64, time - 199]), whole, 1e-6, "off the grid");

        float[] Pieces(int[] lengths)
        {
            Tensor ring = tape.Empty(new Shape(batch, rows, channels));
            ring.Fill(float.NaN); // what is not remembered is not read
            var result = new float[x.Length];
            int at = 0;
            foreach (int tokens in lengths)
            {
                int kept = Math.Min(at, rows);
                float[] y = Ops.LongConv(Ops.Slice(tx, 1, at, tokens), tk, null, new LongConvPast(ring, (at - kept) % rows, kept, at), block).ToArray();
                for (int b = 0; b < batch; b++)
                {
                    Array.Copy(y, b * tokens * channels, result, ((b * time) + at) * channels, tokens * channels);
                    for (int t = Math.Max(0, tokens - rows); t < tokens; t++)
                    {
                        Ops.CopyTokens(tx, at + t, ring, (at + t) % rows, 1);
                    }
                }

                at += tokens;
            }

            return result;
        }
    }

    [Fact]
    public void FlopsAreWhatIsDeclared()
    {
        using var tape = new Tape(device) { Recording = false };
        foreach ((int tokens, int past) in new[] { (1, 0), (1, 500), (64, 0), (64, 64), (700, 0), (13, 700), (129, 63) })
        {
            Tensor x = tape.Empty(new Shape(3, tokens, 5)), k = tape.Empty(new Shape(600, 5)), ring = tape.Empty(new Shape(3, Math.Max(1, past), 5));
            long before = device.Flops;
            Ops.LongConv(x, k, null, new LongConvPast(ring, 0, past, past), 64);
            Assert.Equal(3 * Ops.LongConvFlops(tokens, 5, 600, 64, past, past), device.Flops - before);
        }
    }

    private static float[] Single(double[] values) => Array.ConvertAll(values, v => (float)v);
}
