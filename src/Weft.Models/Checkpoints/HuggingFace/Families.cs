using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>The families of published checkpoints that run here: a row each.</summary>
public static class Families
{
    /// <summary>All families.</summary>
    public static IReadOnlyList<Family> All { get; } =
    [
        new BambaFamily(),
        new FalconH1Family(),
        new FalconMambaFamily(),
        new Gpt2Family(),
        new GraniteHybridFamily(),
        new JambaFamily(),
        new Lfm2Family(),
        new LlamaFamily(),
        new Mamba2Family(),
        new MambaFamily(),
        new MambaSsmFamily(),
        new MiniMaxFamily(),
        new MistralFamily(),
        new NemotronHFamily(),
        new OlmoHybridFamily(),
        new Qwen2Family(),
        new Qwen35Family(),
        new Qwen3Family(),
        new Qwen3NextFamily(),
        new RecurrentGemmaFamily(),
        new Rwkv4Family(),
        new XLstmFamily(),
        new Zamba2Family(),
    ];

    /// <summary>The family of a configuration.</summary>
    /// <exception cref="InputException">There is none; the message lists those that there are.</exception>
    public static Family Of(HfConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        return All.FirstOrDefault(f => f.Takes(config))
            ?? throw config.Bad("model_type", $"{PatternText.Quote(config.Text("model_type", "(missing)"))} is not supported; what is: {string.Join(", ", All.Select(f => f.ModelType).Order(StringComparer.Ordinal))}");
    }
}
