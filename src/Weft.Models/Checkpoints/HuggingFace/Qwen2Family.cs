using System.Text.Json.Nodes;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>Qwen2 (arXiv 2407.10671): Llama with biases on queries, keys and values, and perhaps a sliding window in the upper layers.</summary>
internal class Qwen2Family : LlamaFamily
{
    public override string ModelType => "qwen2";

    public override string Architecture => "Qwen2ForCausalLM";

    protected override BlockSpec Attention(HfConfig c, int layer) => AttentionOf(c, ("bias", true), ("window", Window(c, layer)));

    public override JsonObject? Describe(ModelConfig model)
    {
        JsonObject? json = base.Describe(model);
        if (json is not null)
        {
            json["use_sliding_window"] = model.Blocks.Any(b => b.Find("window") is not null);
            json["sliding_window"] = NumberOf(model.Blocks.FirstOrDefault(b => b.Find("window") is not null), "window");
            json["layer_types"] = KindsOf(model, l => l.Mixer.Find("window") is null ? "full_attention" : "sliding_attention");
        }

        return json;
    }

    /// <summary>The window of a layer: of those that layer_types calls so, or in older files of those from max_window_layers on.</summary>
    protected static int? Window(HfConfig c, int layer)
    {
        if (c.Texts("layer_types") is { } types)
        {
            return layer >= types.Length ? throw c.Bad("layer_types", $"it names {types.Length} layers of {c.Int("num_hidden_layers")}")
                : types[layer] switch
                {
                    "full_attention" => null,
                    "sliding_attention" => c.Flag("use_sliding_window", false) ? c.Int("sliding_window") : null,
                    string other => throw c.Bad("layer_types", $"{PatternText.Quote(other)} is not supported; what is: full_attention, sliding_attention"),
                };
        }

        return c.Flag("use_sliding_window", false) && c.Has("sliding_window") && layer >= c.Int("max_window_layers", 28) ? c.Int("sliding_window") : null;
    }
}
