using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// The recurrence of RWKV-4 (arXiv 2305.13048, equations 16 to 19), diagonal with a decay w per channel that does not depend on the
/// token: a numerator and a denominator under one decay,
/// <code>
/// o_t = (n_{t-1} + e^{u + k_t} v_t) / (d_{t-1} + e^{u + k_t})
/// n_t = e^w n_{t-1} + e^{k_t} v_t
/// d_t = e^w d_{t-1} + e^{k_t}
/// </code>
/// The authors' code keeps both relative to a running maximum (appendix D). Here the state is the average a = n / d and L = log d, which
/// is the same without a maximum to choose, smooth, and two values a channel instead of three:
/// <code>
/// o_t = a_{t-1} + sigmoid(u + k_t - L_{t-1}) (v_t - a_{t-1})
/// a_t = a_{t-1} + sigmoid(k_t - L_{t-1} - w) (v_t - a_{t-1})
/// L_t = log(e^{L_{t-1} + w} + e^{k_t})
/// </code>
/// k, v are [B,T,C], w and u [C], a state [B,2,C]: a, L.
/// </summary>
public static class Wkv
{
    /// <summary>
    /// The definition, token by token, in plain operations whose gradients the tape knows: what <see cref="Fast"/> is tested against.
    /// </summary>
    /// <returns>o [B,T,C] and the state after the last token [B,2,C].</returns>
    public static (Tensor O, Tensor Final) Scan(Tensor k, Tensor v, Tensor decay, Tensor first, Tensor? initial)
    {
        Tape tape = k.Tape ?? throw new ArgumentException("the keys must be on a tape", nameof(k));
        Shape one = k.Shape.With(1, 1);
        Tensor? before = initial is null ? null : Ops.Copy(initial, tape);
        Tensor? a = before is null ? null : Ops.Slice(before, 1, 0, 1), weight = before is null ? null : Ops.Slice(before, 1, 1, 1);
        var outputs = new List<Tensor>(k.Shape[1]);
        for (int t = 0; t < k.Shape[1]; t++)
        {
            Tensor kt = Definitions.At(k, t, one), vt = Definitions.At(v, t, one);
            if (a is null || weight is null)
            {
                outputs.Add(vt);
                (a, weight) = (vt, kt);
                continue;
            }

            Tensor left = Ops.Add(weight, decay), away = Ops.Subtract(vt, a);
            outputs.Add(Ops.Add(a, Ops.Multiply(Ops.Sigmoid(Ops.Subtract(Ops.Add(kt, first), weight)), away)));
            a = Ops.Add(a, Ops.Multiply(Ops.Sigmoid(Ops.Subtract(kt, left)), away));
            weight = Ops.Add(left, Ops.Softplus(Ops.Subtract(kt, left)));
        }

        return (Definitions.Join(outputs), Ops.Concat(a!, weight!, 1));
    }

    /// <summary>The same as one operation, vectors of channels at a time: what the mixer uses. See <see cref="Ops.Wkv"/>.</summary>
    /// <returns>o [B,T,C] and the state after the last token [B,2,C], which overwrites <paramref name="initial"/> when the tape does not record.</returns>
    public static (Tensor O, Tensor Final) Fast(Tensor k, Tensor v, Tensor decay, Tensor first, Tensor? initial, bool restart = false) =>
        Ops.Wkv(k, v, decay, first, initial, restart);

    /// <summary>The forward FLOPs of <see cref="Fast"/> on <paramref name="tokens"/> tokens of one sequence, as the kernels count them.</summary>
    public static long Flops(long tokens, int channels) => Ops.WkvFlops(tokens, channels);
}
