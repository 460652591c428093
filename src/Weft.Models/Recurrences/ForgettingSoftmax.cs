using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// Softmax attention whose past fades by a gate f a head and token (Lin et al., "Forgetting Transformer", arXiv 2503.02130, equation 5):
/// <code>
/// b_t = [b_{t-1} + log f_t, 0]                        what each key, the newest last, has lost
/// o_t = sum_s softmax_s(scale q_t . k_s + b_ts) v_s
/// </code>
/// The state is all keys, values and b, or what b is made from: it grows, but a key forgotten weighs nothing.
/// q is [B,T,H dk]; k [B,T,Hk dk] and v [B,T,Hk dv] are shared by the H / Hk heads of a key head; log f is [B,T,H]. Before the first
/// token there may be a cache of earlier ones.
/// </summary>
public static class ForgettingSoftmax
{
    /// <summary>
    /// The definition, token by token, in plain operations whose gradients the tape knows: what <see cref="Fast"/> is tested against.
    /// The softmax is not shifted by its largest score, so scores must be moderate. Keys, values and gates may be of more tokens than
    /// the queries: the earlier ones are the cache.
    /// </summary>
    /// <returns>o [B,T,H dv].</returns>
    public static Tensor Scan(Tensor q, Tensor k, Tensor v, Tensor logForget, int keyHeads, float scale)
    {
        Tape tape = q.Tape ?? throw new ArgumentException("the queries must be on a tape", nameof(q));
        (int batch, int time, int all, int heads) = (q.Shape[0], q.Shape[1], k.Shape[1], logForget.Shape.Columns);
        int sharing = heads / keyHeads;
        Tensor keys = ByHead(k), values = ByHead(v), bias = null!;
        Tensor zero = tape.Of(new float[batch * heads], new Shape(batch, keyHeads, sharing, 1));
        var outputs = new List<Tensor>(time);
        for (int t = 0; t < all; t++)
        {
            bias = t == 0 ? zero : Ops.Concat(Ops.Add(bias, At(logForget, t)), zero, ^1);
            if (t < all - time)
            {
                continue;
            }

            Tensor scores = Ops.Add(Ops.Affine(Ops.MatMul(At(q, t - all + time), UpTo(keys), transposeB: true), scale), bias);
            Tensor weights = Ops.Exp(scores), sum = Ops.SumTo(weights, zero.Shape);
            Tensor p = Ops.Multiply(weights, Ops.Exp(Ops.Affine(Ops.Log(sum), -1)));
            outputs.Add(Ops.MatMul(p, UpTo(values)).Reshape(new Shape(batch, 1, heads * v.Shape.Columns / keyHeads)));

            Tensor At(Tensor x, int token) => Ops.Slice(x, 1, token, 1).Reshape(new Shape(batch, keyHeads, sharing, x.Shape.Columns / heads));

            Tensor UpTo(Tensor x) => Ops.Slice(x, 2, 0, t + 1);
        }

        return Definitions.Join(outputs);

        Tensor ByHead(Tensor x) => Ops.Transpose(x.Reshape(new Shape(batch, all, keyHeads, x.Shape.Columns / keyHeads)), 1, 2);
    }

    /// <summary>The same in tiles with an online softmax, behind the cache <paramref name="past"/>. See <see cref="Ops.Attention"/>.</summary>
    /// <returns>o [B,T,H dv].</returns>
    public static Tensor Fast(Tensor q, Tensor k, Tensor v, Tensor logForget, in AttentionPast past, int keyHeads, float scale)
    {
        int heads = logForget.Shape.Columns;
        var options = new AttentionOptions(heads, keyHeads, q.Shape.Columns / heads, scale, 0) { ValueDim = v.Shape.Columns / keyHeads };
        return Ops.Attention(q, k, v, past, options, past.Length, new AttentionBias(LogForget: logForget));
    }
}
