using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Attention as it is defined, with the whole matrix of scores: slow, and what <see cref="Ops.Attention"/> is compared with. The softmax
/// is not shifted by its largest score, so scores must be moderate. (Forget gates: <see cref="Recurrences.ForgettingSoftmax"/>.)
/// </summary>
internal static class AttentionDefinition
{
    /// <summary>
    /// softmax(scale q k^T + bias) v of each head: q [B,T,H d]; k and v [B,S,H_kv d] hold the S - T earlier tokens and then the sequence's.
    /// <paramref name="slopes"/> are ALiBi's, one a head. <paramref name="sees"/>, given a sequence, a head, a query's position and an
    /// earlier key's, or its own, may hide the key.
    /// </summary>
    public static Tensor Run(Tensor q, Tensor k, Tensor v, AttentionOptions options, float[]? slopes = null, Func<int, int, int, int, bool>? sees = null)
    {
        (int batch, int tokens, int keys) = (q.Shape[0], q.Shape[1], k.Shape[1]);
        (int heads, int keyHeads) = (options.Heads, options.KeyHeads);

        // Heads of queries that share a key head lie side by side: one matrix of all their rows.
        Tensor qh = ByHead(q, heads).Reshape(new Shape(batch, keyHeads, heads / keyHeads * tokens, options.HeadDim));
        Tensor kh = ByHead(k, keyHeads), vh = ByHead(v, keyHeads);

        Tensor scores = Ops.Affine(Ops.MatMul(qh, kh, transposeB: true), options.Scale).Reshape(new Shape(batch, heads, tokens, keys));
        scores = Ops.Add(scores, q.Tape!.Of(Bias(batch, tokens, keys, options, slopes, sees), new Shape(batch, heads, tokens, keys)));
        Tensor sums = Ops.SumTo(Ops.Exp(scores), new Shape(batch, heads, tokens, 1));
        Tensor p = Ops.Exp(Ops.Subtract(scores, Ops.Log(sums)));

        Tensor y = Ops.MatMul(p.Reshape(new Shape(batch, keyHeads, heads / keyHeads * tokens, keys)), vh);
        return Ops.Transpose(y.Reshape(new Shape(batch, heads, tokens, options.ValueDim)), 1, 2).Reshape(q.Shape.With(^1, heads * options.ValueDim));
    }

    // What query t, at position keys - tokens + t, loses with key s: far more than any score where it does not see it.
    private static float[] Bias(int batch, int tokens, int keys, AttentionOptions options, float[]? slopes, Func<int, int, int, int, bool>? sees)
    {
        var bias = new float[batch * options.Heads * tokens * keys];
        for (int i = 0; i < bias.Length; i++)
        {
            (int sequence, int head, int s) = (i / keys / tokens / options.Heads, i / keys / tokens % options.Heads, i % keys);
            int position = keys - tokens + (i / keys % tokens), window = options.HeadWindow(head);
            bool seen = s <= position && (window == 0 || s > position - window) && (sees is null || sees(sequence, head, position, s));
            bias[i] = !seen ? -1e9f : slopes is null ? 0 : -slopes[head] * (position - s);
        }

        return bias;
    }

    private static Tensor ByHead(Tensor x, int heads) =>
        Ops.Transpose(x.Reshape(new Shape(x.Shape[0], x.Shape[1], heads, x.Shape.Columns / heads)), 1, 2);
}
