using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// Convolution of each channel with a kernel as long as the sequence: what a linear recurrence with constant A computes, and what
/// Hyena (Poli et al., arXiv 2302.10866) learns directly. With u the inputs from the first token on,
/// <code>
/// y_t = skip u_t + sum_j k_j u_{t-j},     j = 0 .. min(t, L - 1)
/// </code>
/// There is no state of fixed size: what must be remembered is the last L - 1 inputs. x, y are [B,T,C], k [L,C], skip [C].
/// </summary>
public static class LongConvolution
{
    /// <summary>The definition: the inputs shifted by every lag, each times its tap, in plain operations. O(T L).</summary>
    /// <param name="x">[B,T,C].</param>
    /// <param name="kernel">[L,C].</param>
    /// <param name="skip">[C], or null.</param>
    /// <param name="past">The inputs before x [B,P,C], oldest first; null for none.</param>
    /// <returns>y [B,T,C].</returns>
    public static Tensor Direct(Tensor x, Tensor kernel, Tensor? skip, Tensor? past)
    {
        Tape tape = x.Tape ?? throw new ArgumentException("the inputs must be on a tape", nameof(x));
        (int batch, int time, int channels, int length) = (x.Shape[0], x.Shape[1], x.Shape.Columns, kernel.Shape[0]);
        Tensor u = past is null ? x : Ops.Concat(past, x, 1);
        int before = u.Shape[1] - time + length;
        u = Ops.Concat(tape.Of(new float[(long)batch * length * channels], new Shape(batch, length, channels)), u, 1);
        Tensor taps = Ops.Copy(kernel, tape);
        Tensor? y = skip is null ? null : Ops.Multiply(x, skip);
        for (int j = 0; j < length; j++)
        {
            Tensor tap = Ops.Slice(taps, 0, j, 1).Reshape(new Shape(channels));
            Tensor part = Ops.Multiply(Ops.Slice(u, 1, before - j, time), tap);
            y = y is null ? part : Ops.Add(y, part);
        }

        return y!;
    }

    /// <summary>The fast algorithm, by Fourier transforms: <see cref="Ops.LongConv"/>. O(T log L).</summary>
    public static Tensor Transformed(Tensor x, Tensor kernel, Tensor? skip, in LongConvPast past, int block = 0) => Ops.LongConv(x, kernel, skip, past, block);
}
