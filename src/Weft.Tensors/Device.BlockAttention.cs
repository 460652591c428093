namespace Weft.Tensors;

public abstract partial class Device
{
    /// <summary>The mean keys of the blocks that <paramref name="k"/> completes behind <paramref name="past"/>, summed in the order of positions; see <see cref="Ops.BlockMeans"/>.</summary>
    internal abstract void BlockMeans(Tensor k, in AttentionPast past, int block, Tensor means);

    /// <summary>
    /// Attention to chosen blocks; see <see cref="Ops.BlockSparseAttention"/>. Unless null, <paramref name="chosen"/> [B,H,T,chosen] gets the
    /// blocks that each query chose, in their order, where it had a choice, and <paramref name="logSums"/> [B,H,T] the log sum exp of its scores.
    /// Queries are taken a block at a time: pieces that end between blocks give the same bits.
    /// </summary>
    internal abstract void BlockAttention(in AttentionOperands operands, in BlockSparsity sparsity, Tensor? means, Tensor y, Tensor? chosen, Tensor? logSums);

    /// <summary>Gradients of <see cref="BlockAttention"/>, given what it chose, its output and log-sums. A past's gradients are only ever added to.</summary>
    internal abstract void BlockAttentionBackward(in AttentionOperands operands, in BlockSparsity sparsity, Tensor chosen, Tensor y, Tensor logSums, Tensor dy, in AttentionGradients gradients);
}
