using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// Granite 4.0's hybrids (IBM, 2025): Mamba-2 or attention, with or without positions, then a mixture of gated MLPs beside one for all
/// tokens, or that one alone; with constant factors on embeddings, branches, scores and logits.
/// </summary>
internal sealed class GraniteHybridFamily : Family
{
    public override string ModelType => "granitemoehybrid";

    public override string Architecture => "GraniteMoeHybridForCausalLM";

    public override ModelConfig Read(HfConfig c)
    {
        c.Require("hidden_act", "silu", "swish"); // the convolution's too
        int count = LayerCount(c);
        string[] kinds = CommonKeys.LayerKinds(c, c.Has("layer_types") ? "layer_types" : "layers_block_type", count, "linear_attention", "full_attention")
            ?? [.. Enumerable.Repeat("linear_attention", count)];
        return Base(c, Pairs(kinds.Length, i => kinds[i] == "full_attention" ? Attention(c) : Mamba(c), _ => Mlp(c))) with
        {
            EmbeddingScale = (float)c.Real("embedding_multiplier", 1),
            LogitScale = (float)(1 / c.Real("logits_scaling", 1)),
        };
    }

    public override void Map(HfConfig c, ModelConfig model, WeightMap map)
    {
        MapEnds(model, map, "model.embed_tokens.weight", "model.norm.weight");
        foreach (Layer layer in LayersOf(model))
        {
            MapAttentionOrMamba(layer, model.Width, map);
            map[layer.Second + "norm.weight"] = layer.Theirs + "post_attention_layernorm.weight";
            bool hasExperts = layer.Channels.Name == "moe";
            string shared = layer.Second + (hasExperts ? "mixer.shared." : "mixer.");
            map[shared + "gate_up_proj.weight"] = layer.Theirs + "shared_mlp.input_linear.weight";
            map[shared + "down_proj.weight"] = layer.Theirs + "shared_mlp.output_linear.weight";
            if (hasExperts)
            {
                MapExperts(c, model.Width, map, layer.Second + "mixer.", layer.Theirs + "block_sparse_moe.");
            }
        }
    }

    // Files have names of their own for what is joined in them already.
    private static void MapExperts(HfConfig c, int width, WeightMap map, string ours, string theirs)
    {
        (int experts, int hidden, string joined) = (c.Int("num_local_experts", 8), c.Int("intermediate_size"), theirs + "experts.");
        bool isInMemory = map.Has(joined + "gate_up_proj");
        map[ours + "router.weight"] = theirs + (map.Has(theirs + "router.weight") ? "router.weight" : "router.layer.weight");
        map[ours + "experts.gate_up_proj.weight"] = WeightSource.Of(isInMemory ? joined + "gate_up_proj" : theirs + "input_linear.weight").As(experts, 2L * hidden, width);
        map[ours + "experts.down_proj.weight"] = WeightSource.Of(isInMemory ? joined + "down_proj" : theirs + "output_linear.weight").As(experts, width, hidden);
    }

    private static BlockSpec Attention(HfConfig c)
    {
        double scale = c.Real("attention_multiplier", 1);
        object? bias = Set(c.Flag("attention_bias", false));
        return Spec.Of("attention",
        [
            .. LlamaFamily.Heads(c), .. c.Text("position_embedding_type", "none") == "rope" ? Rotary.Whole(c, LlamaFamily.HeadDim(c)) : [("positions", "none")],
            ("scale", scale == 0 ? throw c.Bad("attention_multiplier", "0 is not supported") : scale), ("bias", bias), ("output-bias", bias), ("branch-scale", Branch(c)),
        ]);
    }

    private static BlockSpec Mamba(HfConfig c) => BambaFamily.MambaOf(c, MambaFamily.Times(c.Int("mamba_expand", 2), c.Int("hidden_size")),
        ("norm-groups", Mamba2Family.OneGroup(c.Int("mamba_n_groups", 1))), ("branch-scale", Branch(c)));

    private static BlockSpec Mlp(HfConfig c)
    {
        int shared = c.Int("shared_intermediate_size", 1024), experts = c.Int("num_local_experts", 8);
        return experts <= 0 ? Spec.Of("swiglu", ("hidden", shared), ("branch-scale", Branch(c)))
            : Spec.Of("moe", ("experts", experts), ("active", c.Int("num_experts_per_tok", 2)), ("hidden", c.Int("intermediate_size")), ("shared", shared), ("branch-scale", Branch(c)));
    }

    // A factor of 1 is left out.
    private static double? Branch(HfConfig c) => c.Real("residual_multiplier", 1) is not 1 and double factor ? factor : null;
}
