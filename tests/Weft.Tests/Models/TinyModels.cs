using Weft.Models;
using Weft.Tensors;

namespace Weft.Tests.Models;

/// <summary>Models small enough to be trained in a test.</summary>
internal static class TinyModels
{
    /// <summary>One block of each kind.</summary>
    public const string EveryBlock =
        "attention[heads=2, head-dim=8] mamba2[state=8, head-dim=8, chunk=16] attention[heads=2, head-dim=8, window=9] gated-deltanet[heads=2, head-dim=8, chunk=16] swiglu[hidden=24]";

    public static ModelConfig Config(string pattern = EveryBlock, int width = 16, int context = 32) =>
        new() { Name = "tiny", Width = width, Context = context, Blocks = Pattern.Parse(pattern) };

    public static LanguageModel Create(Device device, string pattern = EveryBlock, ulong seed = 1, int width = 16, int context = 32) =>
        new(Config(pattern, width, context), device, seed);

    /// <summary>Reads bytes and returns the logits after the last of them.</summary>
    public static float[] Read(LanguageModel model, SequenceState state, ReadOnlySpan<byte> bytes)
    {
        using var generator = new Generator(model, state);
        generator.Read(bytes);
        return generator.Logits.ToArray();
    }
}
