namespace Weft.Models.Tokenizers;

/// <summary>What is put around a text's ids: special tokens, and the text itself where a part has none.</summary>
internal sealed class PostProcessor(int[]?[] parts)
{
    /// <summary>Nothing around the text.</summary>
    public static PostProcessor None { get; } = new([null]);

    /// <summary>Appends the text's ids with what belongs around them.</summary>
    public void Write(ReadOnlySpan<int> ids, bool special, System.Buffers.IBufferWriter<int> to)
    {
        foreach (int[]? part in parts)
        {
            ReadOnlySpan<int> piece = part is null ? ids : special ? part : [];
            piece.CopyTo(to.GetSpan(piece.Length));
            to.Advance(piece.Length);
        }
    }
}
