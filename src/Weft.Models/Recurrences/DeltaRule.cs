using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// The delta rule: A_t is a decay times (identity minus rank one), on a matrix state S [dk, dv] per head,
/// <code>
/// S_t = exp(a_t) (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T,     o_t = scale S_t^T q_t.
/// </code>
/// The state is a memory of key-value pairs: with y_t = v_t - exp(a_t) S_{t-1}^T k_t, the error of what it recalls for k_t, the rule is
/// S_t = exp(a_t) S_{t-1} + beta_t k_t y_t^T, one step of gradient descent on |S^T k_t - v_t|^2 / 2. beta = 1 replaces what was stored
/// under a key of length 1, beta = 0 leaves it, and beta above 1 makes the factor's eigenvalue 1 - beta along k_t negative.
/// Without decay: DeltaNet (Yang et al., arXiv 2406.06484); with one per head: Gated DeltaNet (arXiv 2412.06464, equation 10).
/// </summary>
/// <remarks>
/// Shapes, for both algorithms: q, k [B,T,Hk dk]; v, o [B,T,H dv]; beta, a [B,T,H]; states [B,H,dk,dv]. Head h reads key head h / (H / Hk).
/// </remarks>
public static class DeltaRule
{
    /// <summary>The definition, token by token in plain operations; its gradients are the tape's. For tests and for reading, not for speed.</summary>
    /// <returns>o and the state after the last token; <paramref name="initial"/> (null: zeros) is left as it is.</returns>
    public static (Tensor O, Tensor Final) Scan(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor? logDecay, Tensor? initial, int keyHeads, float scale)
    {
        Tape tape = q.Tape!;
        int batch = q.Shape[0], time = q.Shape[1], heads = beta.Shape.Columns, dk = q.Shape.Columns / keyHeads, dv = v.Shape.Columns / heads;
        int group = heads / keyHeads;
        Tensor ones = tape.Of(Enumerable.Repeat(1f, group).ToArray(), new Shape(1, group, 1));
        Tensor s = Definitions.Start(initial, tape, new Shape(batch, heads, dk, dv));
        var outputs = new List<Tensor>(time);
        for (int t = 0; t < time; t++)
        {
            Tensor qt = Keys(q, t), kt = Keys(k, t);                               // [B,H,1,dk]
            Tensor vt = Token(v, t).Reshape(new Shape(batch, heads, 1, dv));
            Tensor betat = Token(beta, t).Reshape(new Shape(batch, heads, 1, 1));
            if (logDecay is not null)
            {
                s = Ops.Multiply(s, Ops.Exp(Token(logDecay, t)).Reshape(new Shape(batch, heads, 1, 1)));
            }

            Tensor y = Ops.Subtract(vt, Ops.MatMul(kt, s));                        // the error, [B,H,1,dv]
            s = Ops.Add(s, Ops.MatMul(kt, Ops.Multiply(betat, y), transposeA: true));
            outputs.Add(Ops.Affine(Ops.MatMul(qt, s), scale).Reshape(new Shape(batch, 1, heads * dv)));
        }

        return (Definitions.Join(outputs), s);

        Tensor Token(Tensor x, int t) => Ops.Slice(x, 1, t, 1);

        Tensor Keys(Tensor x, int t) =>
            Ops.Multiply(Token(x, t).Reshape(new Shape(batch * keyHeads, 1, dk)), ones).Reshape(new Shape(batch, heads, 1, dk));
    }

    /// <summary>
    /// The fast algorithm, <see cref="Ops.DeltaRule"/>: within a chunk all errors at once by one triangular system and matrix products,
    /// from chunk to chunk the state. A single token takes one pass over the state.
    /// </summary>
    /// <returns>o and the state after the last token, in <paramref name="initial"/>'s place when it is given and the tape does not record.</returns>
    public static (Tensor O, Tensor Final) Chunked(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor? logDecay, Tensor? initial, int keyHeads, float scale, int chunk = 64) =>
        Ops.DeltaRule(q, k, v, beta, logDecay, initial, keyHeads, scale, chunk);
}
