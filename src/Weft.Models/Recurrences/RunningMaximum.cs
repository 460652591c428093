using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// The recurrence of the stabilisers of exponential gates, linear in the (max, +) sense, for every channel:
/// <code>
/// m_t = max(m_{t-1} + f_t, i_t)
/// </code>
/// With f the log of a decay and i that of an input's weight, e^{i_t - m_t} and e^{m_{t-1} + f_t - m_t} never exceed 1
/// (mLSTM and sLSTM, arXiv 2405.04517, equation 15; RWKV-4, arXiv 2305.13048). f, i are [B,T,C].
/// </summary>
public static class RunningMaximum
{
    /// <summary>The definition, token by token, for finite inputs: max(a, b) = b + relu(a - b). What <see cref="Fast"/> is tested against.</summary>
    /// <returns>m [B,T,C] and the maximum after the last token [B,C].</returns>
    public static (Tensor M, Tensor Final) Scan(Tensor f, Tensor i, Tensor? initial)
    {
        Tape tape = f.Tape ?? throw new ArgumentException("the input must be on a tape", nameof(f));
        Tensor? m = initial is null ? null : Ops.Copy(initial, tape).Reshape(f.Shape.With(1, 1));
        var outputs = new List<Tensor>(f.Shape[1]);
        for (int t = 0; t < f.Shape[1]; t++)
        {
            Tensor entering = Ops.Slice(i, 1, t, 1);
            m = m is null ? entering : Ops.Add(entering, Ops.Relu(Ops.Subtract(Ops.Add(m, Ops.Slice(f, 1, t, 1)), entering)));
            outputs.Add(m);
        }

        return (Definitions.Join(outputs), m!.Reshape(new Shape(f.Shape[0], f.Shape.Columns)));
    }

    /// <summary>The same as one operation: what mixers use. See <see cref="Ops.MaxPlus"/>.</summary>
    /// <returns>m [B,T,C] and the maximum after the last token [B,C], which overwrites <paramref name="initial"/> when the tape does not record.</returns>
    public static (Tensor M, Tensor Final) Fast(Tensor f, Tensor i, Tensor? initial) => Ops.MaxPlus(f, i, initial);
}
