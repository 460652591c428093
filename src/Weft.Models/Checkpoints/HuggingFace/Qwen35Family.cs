using System.Text.Json.Nodes;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// Qwen3.5: Qwen3-Next with an MLP in each layer and a delta net's maps apart. Of models that see, the language model alone. Their rotary
/// positions are of time, height and width, in turn over the pairs of columns; all three are the same for text, so that it is as if there were one.
/// </summary>
internal sealed class Qwen35Family : Qwen3NextFamily
{
    public override string ModelType => "qwen3_5_text";

    public override string Architecture => "Qwen3_5ForCausalLM";

    protected override int UsualKeyHeads => 4;

    public override bool Takes(HfConfig config) => config.Text("model_type", "") is "qwen3_5_text" or "qwen3_5";

    public override HfConfig Language(HfConfig config) => config.Object("text_config") ?? config;

    public override ModelConfig Read(HfConfig config)
    {
        ModelConfig model = base.Read(config);
        return model with { TieEmbeddings = config.Flag("tie_word_embeddings", model.TieEmbeddings) }; // the whole model's counts
    }

    public override void Map(HfConfig config, ModelConfig model, WeightMap map)
    {
        base.Map(config, model, map);
        map.Ignore(key => key.StartsWith("model.visual.", StringComparison.Ordinal));
    }

    public override JsonObject? Describe(ModelConfig model)
    {
        JsonObject? json = base.Describe(model);
        foreach (string key in (string[])["num_experts", "num_experts_per_tok", "moe_intermediate_size", "shared_expert_intermediate_size", "norm_topk_prob", "mlp_only_layers"])
        {
            json?.Remove(key);
        }

        return json;
    }

    protected override string Root(WeightMap map) => map.Has("model.language_model.embed_tokens.weight") ? "model.language_model." : "model.";

    protected override BlockSpec Channels(HfConfig c, int layer) => Mlp(c);

    protected override WeightSource Inward(GatedDeltaSizes s, string theirs) => WeightSource.Stack(
        WeightSource.Of(theirs + "in_proj_qkv.weight", s.Channels), WeightSource.Of(theirs + "in_proj_z.weight", s.Values),
        WeightSource.Of(theirs + "in_proj_b.weight", s.Heads), WeightSource.Of(theirs + "in_proj_a.weight", s.Heads));
}
