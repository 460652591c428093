using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// The recurrence whose A_t is diagonal and real, one decay per channel and token on a vector state h [C]:
/// <code>
/// h_t = exp(a_t) h_{t-1} + w(a_t) x_t
/// w(a) = 1, 1 - exp(a), or sqrt(1 - exp(2 a))        DiagonalInput
/// </code>
/// HGRN (arXiv 2311.04823) takes the first w, minGRU and minLSTM (arXiv 2410.01201) the second, RG-LRU (arXiv 2402.19427) the third; they
/// differ in how a and x come from the input. x, a are [B,T,C].
/// </summary>
public static class DiagonalRecurrence
{
    /// <summary>
    /// The definition, token by token, in plain operations whose gradients the tape knows: what <see cref="Fast"/> is tested against.
    /// </summary>
    /// <returns>h [B,T,C] and the state after the last token [B,C].</returns>
    public static (Tensor H, Tensor Final) Scan(Tensor x, Tensor logDecay, Tensor? initial, DiagonalInput input = DiagonalInput.Whole, bool restart = false)
    {
        Tape tape = x.Tape ?? throw new ArgumentException("the input must be on a tape", nameof(x));
        Shape state = new(x.Shape[0], x.Shape.Columns), one = x.Shape.With(1, 1);
        Tensor h = Definitions.Start(initial, tape, state).Reshape(one);
        var outputs = new List<Tensor>(x.Shape[1]);
        for (int t = 0; t < x.Shape[1]; t++)
        {
            Tensor a = Definitions.At(logDecay, t, one), xt = Definitions.At(x, t, one);
            h = t == 0 && restart ? xt : Ops.Add(Ops.Multiply(Ops.Exp(a), h), input switch
            {
                DiagonalInput.Complement => Ops.Multiply(Ops.Affine(Ops.Expm1(a), -1), xt),
                DiagonalInput.UnitVariance => Ops.Multiply(Ops.Sqrt(Ops.Affine(Ops.Expm1(Ops.Affine(a, 2)), -1)), xt),
                _ => xt,
            });
            outputs.Add(h);
        }

        return (Definitions.Join(outputs), h.Reshape(state));
    }

    /// <summary>The same as one operation, vectors of channels at a time: what mixers use. See <see cref="Ops.DiagonalRecurrence"/>.</summary>
    /// <returns>h [B,T,C] and the state after the last token [B,C], which overwrites <paramref name="initial"/> when the tape does not record.</returns>
    public static (Tensor H, Tensor Final) Fast(Tensor x, Tensor logDecay, Tensor? initial, DiagonalInput input = DiagonalInput.Whole, bool restart = false) =>
        Ops.DiagonalRecurrence(x, logDecay, initial, input, restart);

    /// <summary>The forward FLOPs of <see cref="Fast"/> on <paramref name="tokens"/> tokens of one sequence, as the kernels count them.</summary>
    public static long Flops(long tokens, int channels) => Ops.DiagonalRecurrenceFlops(tokens, channels);
}
