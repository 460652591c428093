using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// The recurrence whose A_t is diagonal and real, one decay per channel and token on a vector state h [C]:
/// <code>
/// h_t = exp(a_t) h_{t-1} + x_t
/// </code>
/// It is what RG-LRU (arXiv 2402.19427), HGRN (arXiv 2311.04823), minGRU and minLSTM (arXiv 2410.01201) share; they differ in how
/// a and x come from the input. x, a are [B,T,C].
/// </summary>
public static class DiagonalRecurrence
{
    /// <summary>
    /// The definition, token by token, in plain operations whose gradients the tape knows: what <see cref="Fast"/> is tested against.
    /// </summary>
    /// <returns>h [B,T,C] and the state after the last token [B,C].</returns>
    public static (Tensor H, Tensor Final) Scan(Tensor x, Tensor logDecay, Tensor? initial)
    {
        Tape tape = x.Tape ?? throw new ArgumentException("the input must be on a tape", nameof(x));
        Shape one = x.Shape.With(1, 1), state = new(x.Shape[0], x.Shape.Columns);
        Tensor h = (initial is null ? tape.Of(new float[state.Count], state) : Ops.Copy(initial, tape)).Reshape(one);
        var outputs = new List<Tensor>(x.Shape[1]);
        for (int t = 0; t < x.Shape[1]; t++)
        {
            h = Ops.Add(Ops.Multiply(Ops.Exp(Ops.Slice(logDecay, 1, t, 1)), h), Ops.Slice(x, 1, t, 1));
            outputs.Add(h);
        }

        return (OverTime.Join(outputs), h.Reshape(state));
    }

    /// <summary>The same as one operation, vectors of channels at a time: what mixers use. See <see cref="Ops.DiagonalRecurrence"/>.</summary>
    /// <returns>h [B,T,C] and the state after the last token [B,C], which overwrites <paramref name="initial"/> when the tape does not record.</returns>
    public static (Tensor H, Tensor Final) Fast(Tensor x, Tensor logDecay, Tensor? initial) => Ops.DiagonalRecurrence(x, logDecay, initial);

    /// <summary>The forward FLOPs of <see cref="Fast"/> on <paramref name="tokens"/> tokens of one sequence, as the kernels count them.</summary>
    public static long Flops(long tokens, int channels) => Ops.DiagonalRecurrenceFlops(tokens, channels);
}
