namespace Weft.Tensors;

public abstract partial class Device
{
    /// <summary>y (+)= x with the pairs of each head turned, back when <paramref name="inverse"/>; angles are computed in double precision.</summary>
    internal abstract void Rope(Tensor x, in RopeOptions options, bool inverse, Tensor y, bool accumulate);

    /// <summary>
    /// y = softmax(scale q k^T + bias) v of each head, causal; see <see cref="Ops.Attention"/>. Writes log sum exp of each query's scores to
    /// <paramref name="logSums"/> [B,H,T] unless null. Tiles are aligned to absolute positions, so that a sequence in pieces that end
    /// on their grid (<see cref="AttentionTile"/> tokens) gives the same bits as in one.
    /// </summary>
    internal abstract void Attention(in AttentionOperands operands, Tensor y, Tensor? logSums);

    /// <summary>
    /// Gradients of <see cref="Attention"/>, given its output and log-sums. A past's gradients are only ever added to: rows that no
    /// query saw stay as they are.
    /// </summary>
    internal abstract void AttentionBackward(in AttentionOperands operands, Tensor y, Tensor logSums, Tensor dy, in AttentionGradients gradients);

    /// <summary>The tokens of one tile of attention: a ring of keys whose capacity is a multiple of it wraps only between tiles.</summary>
    public const int AttentionTile = 64;
}
