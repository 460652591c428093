using Weft.Models;

namespace Weft.Lab.TextTasks;

/// <summary>What the blocks of a pattern are.</summary>
internal static class Layers
{
    private static readonly string[] Attention = ["attention", "block-sparse-attention", "forgetting-attention", "vertical-slash-attention"];
    private static readonly string[] Others = ["mlp", "moe", "rwkv4-channels", "swiglu"];

    /// <summary>Whether a block is softmax attention, whose state grows with what was read.</summary>
    public static bool IsAttention(BlockSpec block) => Attention.Contains(block.Name);

    /// <summary>Whether a block mixes along time at all.</summary>
    public static bool IsMixer(BlockSpec block) => !Others.Contains(block.Name);
}
