using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Tensors;

using Weft.Tests.Laws;

/// <summary>The causal convolution against its definition in double precision: values, what it keeps for the next call, gradients.</summary>
public sealed class CausalConvTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData(1, 1, 5, 4, true, true)]
    [InlineData(2, 2, 16, 4, true, true)]
    [InlineData(2, 3, 33, 4, false, true)]
    [InlineData(3, 64, 40, 4, true, false)]
    [InlineData(2, 65, 131, 4, true, true)]
    [InlineData(1, 200, 300, 3, true, true)]
    [InlineData(2, 130, 7, 2, false, false)]
    [InlineData(1, 70, 17, 9, true, true)]
    [InlineData(1, 4, 17, 9, true, true)]
    public void ValuesAndGradients(int batch, int time, int channels, int kernel, bool silu, bool withPast)
    {
        const int offset = 3; // the input is a view: columns of a wider tensor
        int before = kernel - 1, wide = channels + 5;
        float[] x = LawTools.Gaussian(batch * time * wide, 1), w = LawTools.Gaussian(channels * kernel, 2), bias = LawTools.Gaussian(channels, 3), past = LawTools.Gaussian(batch * before * channels, 4);
        float[] dy = LawTools.Gaussian(batch * time * channels, 5), dlast = LawTools.Gaussian(batch * before * channels, 6);

        using var tape = new Tape(device);
        Tensor tx = device.Of(x, new Shape(batch, time, wide)).WithGrad(), tw = device.Of(w, new Shape(channels, kernel)).WithGrad();
        Tensor tb = device.Of(bias, new Shape(channels)).WithGrad(), tp = device.Of(past, new Shape(batch, before, channels)).WithGrad();
        (Tensor y, Tensor last) = Ops.CausalConv(Ops.Copy(tx, tape).Columns(offset, channels), tw, tb, withPast ? tp : null, silu);
        float[] actual = y.ToArray(), kept = last.ToArray();
        tape.Backward(Ops.Add(Ops.Sum(Ops.Multiply(y, tape.Of(dy, y.Shape))).Reshape(new Shape(1)), Ops.Sum(Ops.Multiply(last, tape.Of(dlast, last.Shape))).Reshape(new Shape(1))));

        // The definition, on past and sequence joined: joined row before + t is token t.
        var expected = new float[actual.Length];
        float[] expectedLast = new float[kept.Length], dx = new float[x.Length], dw = new float[w.Length], db = new float[channels], dp = new float[past.Length];
        for (int b = 0; b < batch; b++)
        {
            for (int c = 0; c < channels; c++)
            {
                var joined = new double[before + time];
                var slope = new double[before + time];
                for (int i = 0; i < joined.Length; i++)
                {
                    joined[i] = i >= before ? x[(((b * time) + i - before) * wide) + offset + c] : withPast ? past[(((b * before) + i) * channels) + c] : 0;
                }

                for (int t = 0; t < time; t++)
                {
                    double u = bias[c] + Enumerable.Range(0, kernel).Sum(j => w[(c * kernel) + j] * joined[t + j]), s = 1 / (1 + Math.Exp(-u));
                    int at = (((b * time) + t) * channels) + c;
                    expected[at] = (float)(silu ? u * s : u);
                    double du = dy[at] * (silu ? s * (1 + (u * (1 - s))) : 1);
                    db[c] += (float)du;
                    for (int j = 0; j < kernel; j++)
                    {
                        slope[t + j] += du * w[(c * kernel) + j];
                        dw[(c * kernel) + j] += (float)(du * joined[t + j]);
                    }
                }

                for (int i = 0; i < before; i++)
                {
                    int at = (((b * before) + i) * channels) + c;
                    expectedLast[at] = (float)joined[time + i];
                    slope[time + i] += dlast[at];
                }

                for (int i = 0; i < joined.Length; i++)
                {
                    if (i >= before)
                    {
                        dx[(((b * time) + i - before) * wide) + offset + c] = (float)slope[i];
                    }
                    else
                    {
                        dp[(((b * before) + i) * channels) + c] = (float)slope[i];
                    }
                }
            }
        }

        LawTools.Close(actual, expected, 1e-6, "y");
        Assert.Equal(expectedLast, kept);
        LawTools.Close(tx.Grad!.ToArray(), dx, 1e-6, "dx");
        LawTools.Close(tw.Grad!.ToArray(), dw, 1e-5, "dw");
        LawTools.Close(tb.Grad!.ToArray(), db, 1e-5, "dbias");
        if (withPast)
        {
            LawTools.Close(tp.Grad!.ToArray(), dp, 1e-6, "dpast");
        }

        Assert.Equal(2L * kernel * batch * time * channels * 3, device.Flops);
    }

    [Fact]
    public void PiecesAreTheWhole()
    {
        const int batch = 2, time = 90, channels = 21, kernel = 4;
        float[] x = LawTools.Gaussian(batch * time * channels, 1);
        Tensor w = device.Of(LawTools.Gaussian(channels * kernel, 2), new Shape(channels, kernel)), state = device.Zeros(new Shape(batch, kernel - 1, channels));
        using var tape = new Tape(device) { Recording = false };
        float[] expected = Ops.CausalConv(tape.Of(x, new Shape(batch, time, channels)), w, null, null, true).Y.ToArray(), actual = new float[expected.Length];
        int at = 0;
        foreach (int piece in new[] { 1, 1, 1, 1, 2, 70, 3, 11 })
        {
            float[] part = [.. Enumerable.Range(0, batch).SelectMany(b => x.Skip(((b * time) + at) * channels).Take(piece * channels))];
            (Tensor y, Tensor last) = Ops.CausalConv(tape.Of(part, new Shape(batch, piece, channels)), w, null, state, true);
            Assert.Same(state, last); // overwritten in place
            for (int b = 0; b < batch; b++)
            {
                y.ToArray().AsSpan(b * piece * channels, piece * channels).CopyTo(actual.AsSpan(((b * time) + at) * channels));
            }

            at += piece;
        }

        Assert.Equal(expected, actual);
    }
}
