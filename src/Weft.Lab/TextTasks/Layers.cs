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

    /// <summary>The first model of only attention, and the first without any; null where there is none.</summary>
    public static (TextModel? Attention, TextModel? Recurrent) Sides(TextReport report)
    {
        TextModel? attention = null, recurrent = null;
        foreach (TextModel model in report.Models)
        {
            var blocks = Pattern.Parse(model.Pattern);
            attention ??= blocks.Where(IsMixer).All(IsAttention) ? model : null;
            recurrent ??= !blocks.Any(IsAttention) ? model : null;
        }

        return (attention, recurrent);
    }
}
