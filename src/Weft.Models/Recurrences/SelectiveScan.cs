using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// The diagonal recurrence of Mamba (Gu and Dao, arXiv 2312.00752, section 3): every channel has N states of its own, each with a rate
/// A &lt; 0; what selects is that the step dt, the write B and the read C depend on the token,
/// <code>
/// h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t      A by zero-order hold, B by Euler's rule, as the authors' code has it
/// y_t = C_t . h_t + skip x_t
/// </code>
/// x, dt, y are [B,T,D], A [D,N], B and C [B,T,G N] (shared by the D / G channels of a group), skip [D], h [B,N,D].
/// </summary>
public static class SelectiveScan
{
    /// <summary>
    /// The definition, token by token, in plain operations whose gradients the tape knows: what <see cref="Fused"/> is tested against.
    /// Slow, and it keeps every state.
    /// </summary>
    /// <returns>y [B,T,D] and the states after the last token [B,N,D].</returns>
    public static (Tensor Y, Tensor Final) Scan(Tensor x, Tensor dt, Tensor a, Tensor b, Tensor c, Tensor? skip, Tensor? initial, int groups = 1, bool softplus = false)
    {
        Tape tape = x.Tape ?? throw new ArgumentException("the inputs must be on a tape", nameof(x));
        int batch = x.Shape[0], time = x.Shape[1], channels = a.Shape[0], states = a.Shape[1], each = channels / groups;
        Tensor steps = softplus ? Ops.Softplus(dt) : dt;
        Tensor rates = Ops.Transpose(Ops.Copy(a, tape).Reshape(new Shape(1, groups, each, states)), 2, 3);                           // [1,G,N,D/G]
        Tensor h = Definitions.Start(initial, tape, new Shape(batch, states, channels));
        h = Ops.Transpose(h.Reshape(new Shape(batch, states, groups, each)), 1, 2);                                                  // [B,G,N,D/G]
        var outputs = new List<Tensor>(time);
        for (int t = 0; t < time; t++)
        {
            Tensor xt = At(x, new Shape(batch, groups, 1, each)), step = At(steps, xt.Shape);
            Tensor bt = At(b, new Shape(batch, groups, states, 1)), ct = At(c, bt.Shape);
            h = Ops.Add(Ops.Multiply(Ops.Exp(Ops.Multiply(step, rates)), h), Ops.Multiply(Ops.Multiply(step, xt), bt));
            Tensor y = Ops.SumTo(Ops.Multiply(h, ct), xt.Shape);
            if (skip is not null)
            {
                y = Ops.Add(y, Ops.Multiply(xt, skip.Reshape(new Shape(1, groups, 1, each))));
            }

            outputs.Add(y.Reshape(new Shape(batch, 1, channels)));

            Tensor At(Tensor x, Shape shape) => Definitions.At(x, t, shape);
        }

        return (Definitions.Join(outputs), Ops.Transpose(h, 1, 2).Reshape(new Shape(batch, states, channels)));
    }

    /// <summary>
    /// The same as one operation: what mixers use. Still token by token, with the states in the nearest cache, channels in vectors and
    /// blocks of channels in parallel. See <see cref="Ops.SelectiveScan"/>.
    /// </summary>
    /// <returns>y [B,T,D] and the states after the last token [B,N,D], which overwrite <paramref name="initial"/> when the tape does not record.</returns>
    public static (Tensor Y, Tensor Final) Fused(Tensor x, Tensor dt, Tensor a, Tensor b, Tensor c, Tensor? skip, Tensor? initial, int groups = 1, bool softplus = false) =>
        Ops.SelectiveScan(x, dt, a, b, c, skip, initial, groups, softplus);

    /// <summary>The forward FLOPs of <see cref="Fused"/> on <paramref name="tokens"/> tokens of one sequence, as the kernels count them.</summary>
    public static long Flops(long tokens, int channels, int states) => Ops.SelectiveScanFlops(tokens, channels, states);
}
