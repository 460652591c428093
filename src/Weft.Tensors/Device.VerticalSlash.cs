namespace Weft.Tensors;

public abstract partial class Device
{
    /// <summary>Writes what each tile's queries see: the columns, then the diagonals, ascending; see <see cref="Ops.ChooseVerticalSlash"/>.</summary>
    internal abstract void ChooseVerticalSlash(in AttentionOperands operands, in VerticalSlash pattern, Tensor? lastQueries, Tensor? inForce, Tensor choices);

    /// <summary>
    /// Attention to columns and diagonals; see <see cref="Ops.VerticalSlashAttention"/>. Writes log sum exp of each query's scores to
    /// <paramref name="logSums"/> [B,H,T] unless null. Pieces that end between tiles give the same bits.
    /// </summary>
    internal abstract void VerticalSlashAttention(in AttentionOperands operands, in VerticalSlash pattern, Tensor choices, Tensor y, Tensor? logSums);

    /// <summary>Gradients of <see cref="VerticalSlashAttention"/>, given its output and log-sums. A past's gradients are only ever added to.</summary>
    internal abstract void VerticalSlashAttentionBackward(in AttentionOperands operands, in VerticalSlash pattern, Tensor choices, Tensor y, Tensor logSums, Tensor dy, in AttentionGradients gradients);
}
