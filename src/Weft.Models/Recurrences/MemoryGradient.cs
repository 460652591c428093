using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// A memory that is a linear model, W [D,D] and b [D] per head, trained while it reads: the inner loop of test-time training (Sun et al.,
/// arXiv 2407.04620, equations 4 to 6). Each token's keys and values are an example; its loss is how badly the memory, after a layer
/// norm with weight w and bias beta, gives v - k back from k,
/// <code>
/// l_j(W, b) = |norm(k_j W + b) - (v_j - k_j)|^2 / 2
/// g_j       = the gradient of l_j by k_j W + b, at the memory W_0, b_0 of the mini-batch's start
/// W_i       = W_0 - step_i sum_{j &lt;= i} rate_j k_j^T g_j,     b_i = b_0 - step_i sum_{j &lt;= i} rate_j g_j
/// z_i       = q_i W_i + b_i
/// </code>
/// with sums over the mini-batch's tokens so far; the memory after its last token is the next one's W_0, b_0. Since g is nonlinear in W, the recurrence
/// from mini-batch to mini-batch is too. The state is W_0, b_0 and, within a mini-batch, both sums.
/// </summary>
/// <remarks>
/// Shapes, for both algorithms: q, k, v, z [B,T,H D]; rate, step [B,T,H]; w, beta [H D]; states [B,H,2 (D+1),D], rows W_0, b_0, then the sums.
/// The first token is number <c>offset</c> of its mini-batch.
/// </remarks>
public static class MemoryGradient
{
    /// <summary>The definition, token by token in plain operations; its gradients are the tape's. For tests and for reading, not for speed.</summary>
    /// <returns>z and the state after the last token; <paramref name="initial"/> (null: zeros) is left as it is.</returns>
    public static (Tensor Z, Tensor Final) Scan(Tensor q, Tensor k, Tensor v, Tensor rate, Tensor step, Tensor normWeight, Tensor normBias,
        Tensor? initial, int offset, int miniBatch, float epsilon)
    {
        Tape tape = q.Tape!;
        int batch = q.Shape[0], time = q.Shape[1], heads = rate.Shape.Columns, d = q.Shape.Columns / heads;
        Shape row = new(batch, heads, 1, d), one = new(batch, heads, 1, 1), norm = new(1, heads, 1, d);
        Tensor state = Definitions.Start(initial, tape, new Shape(batch, heads, 2 * (d + 1), d));
        Tensor w = Ops.Slice(state, 2, 0, d), b = Ops.Slice(state, 2, d, 1), sumW = Ops.Slice(state, 2, d + 1, d), sumB = Ops.Slice(state, 2, (2 * d) + 1, 1);
        Tensor weight = Ops.Copy(normWeight, tape).Reshape(norm), bias = Ops.Copy(normBias, tape).Reshape(norm);
        Tensor none = Ops.Affine(w, 0), noneB = Ops.Affine(b, 0);
        var outputs = new List<Tensor>(time);
        for (int t = 0; t < time; t++)
        {
            if ((offset + t) % miniBatch == 0)
            {
                (sumW, sumB) = (none, noneB);
            }

            Tensor kt = Definitions.At(k, t, row), vt = Definitions.At(v, t, row), stept = Definitions.At(step, t, one);
            Tensor g = Ops.Multiply(Gradient(Ops.Add(Ops.MatMul(kt, w), b), Ops.Subtract(vt, kt)), Definitions.At(rate, t, one));
            sumW = Ops.Add(sumW, Ops.MatMul(kt, g, transposeA: true));
            sumB = Ops.Add(sumB, g);
            Tensor wt = Ops.Subtract(w, Ops.Multiply(sumW, stept)), bt = Ops.Subtract(b, Ops.Multiply(sumB, stept));
            outputs.Add(Ops.Add(Ops.MatMul(Definitions.At(q, t, row), wt), bt).Reshape(new Shape(batch, 1, heads * d)));
            if ((offset + t + 1) % miniBatch == 0)
            {
                (w, b, sumW, sumB) = (wt, bt, none, noneB);
            }
        }

        return (Definitions.Join(outputs), Ops.Concat(Ops.Concat(w, b, 2), Ops.Concat(sumW, sumB, 2), 2));

        // With x the normalised u: r (y - mean(y) - x mean(y x)), where y = w (w x + beta - target) and r is one over u's deviation.
        Tensor Gradient(Tensor u, Tensor target)
        {
            Tensor centred = Ops.Subtract(u, Mean(u));
            Tensor deviation = Ops.Sqrt(Ops.Affine(Mean(Ops.Multiply(centred, centred)), 1, epsilon));
            Tensor r = Ops.Exp(Ops.Affine(Ops.Log(deviation), -1)), x = Ops.Multiply(centred, r);
            Tensor y = Ops.Multiply(weight, Ops.Subtract(Ops.Add(Ops.Multiply(weight, x), bias), target));
            return Ops.Multiply(r, Ops.Subtract(Ops.Subtract(y, Mean(y)), Ops.Multiply(x, Mean(Ops.Multiply(y, x)))));
        }

        Tensor Mean(Tensor x) => Ops.Affine(Ops.SumTo(x, one), 1f / d);
    }

    /// <summary>
    /// The fast algorithm, <see cref="Ops.MemoryGradient"/>: a mini-batch at a time by matrix products, no token's memory written out (the dual
    /// form, section 2.5).
    /// </summary>
    /// <returns>z and the state after the last token, in <paramref name="initial"/>'s place when it is given and the tape does not record.</returns>
    public static (Tensor Z, Tensor Final) Dual(Tensor q, Tensor k, Tensor v, Tensor rate, Tensor step, Tensor normWeight, Tensor normBias,
        Tensor? initial, int offset, int miniBatch, float epsilon) =>
        Ops.MemoryGradient(q, k, v, rate, step, normWeight, normBias, initial, offset, miniBatch, epsilon);
}
