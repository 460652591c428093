namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- cross-entropy of a head's logits (Ops.HeadLoss.cs)

    /// <summary>
    /// losses[i] = -log softmax(x[i] head^T)[targets[i]], in nats; 0 where the target is negative. Logits are computed in pieces, in the
    /// memory of <paramref name="logits"/>, or all of them and left there, where it has room for all (<see cref="HeadPieces"/>). The largest
    /// logit of each row and the sum of e^(logit - largest) go to <paramref name="sums"/> [2, rows].
    /// </summary>
    internal abstract void HeadLoss(Tensor x, Tensor head, Tokens targets, Tensor logits, Tensor sums, Tensor losses);

    /// <summary>
    /// Gradients of <see cref="HeadLoss"/>: dx (+)= G head and dhead (+)= G^T x with G[i] = (softmax(x[i] head^T) - onehot(targets[i]))
    /// dlosses[i]. Logits are computed again, unless <paramref name="logits"/> holds all of them; its content is lost.
    /// </summary>
    internal abstract void HeadLossBackward(Tensor x, Tensor head, Tokens targets, Tensor logits, Tensor sums, Tensor dlosses, GradTarget dx, GradTarget dhead);
}

/// <summary>How the logits [rows, V] of a head are cut: into blocks of rows, these into runs of columns.</summary>
internal readonly record struct HeadPieces(int Rows, int Columns)
{
    private const int MostRows = 1024;  // enough to pay for a pass over the head's weight
    private const int Piece = 1 << 19;  // floats: 2 MB, for a near cache
    private const int Kept = 1 << 21;   // floats: logits of up to 8 MB are kept, so that byte vocabularies pay nothing twice

    /// <summary>The cut; logits that are <paramref name="recorded"/> and small are one piece each row, so that they can be kept.</summary>
    public static HeadPieces Of(int rows, int vocabulary, bool recorded)
    {
        if (recorded && (long)rows * vocabulary <= Kept)
        {
            return new HeadPieces(rows, vocabulary);
        }

        int block = Math.Min(rows, MostRows), most = Piece / Math.Max(block, 1);
        int runs = (vocabulary + most - 1) / most;
        return new HeadPieces(block, Math.Min(vocabulary, ((vocabulary + runs - 1) / runs + 63) / 64 * 64));
    }
}
