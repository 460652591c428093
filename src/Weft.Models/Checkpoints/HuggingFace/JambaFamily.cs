using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// Jamba (arXiv 2403.19887): Mamba with norms of dt, B and C or, once in a few layers, attention without positions; then a gated MLP or,
/// once in a few layers, a mixture of such, whose weights do not sum to 1.
/// </summary>
internal sealed class JambaFamily : Family
{
    public override string ModelType => "jamba";

    public override string Architecture => "JambaForCausalLM";

    public override ModelConfig Read(HfConfig c)
    {
        c.Require("hidden_act", "silu", "swish"); // the convolution's too
        return Base(c, Pairs(LayerCount(c), i => HasAttention(c, i) ? Attention(c) : Mamba(c), i => HasExperts(c, i) ? Mixture(c) : Mlp(c)));
    }

    public override void Map(HfConfig c, ModelConfig model, WeightMap map)
    {
        MapEnds(model, map, "model.embed_tokens.weight", "model.final_layernorm.weight");
        foreach (Layer layer in LayersOf(model))
        {
            MapAttentionOrMamba(layer, model.Width, map);
            map[layer.Second + "norm.weight"] = layer.Theirs + "pre_ff_layernorm.weight";
            if (layer.Channels.Name == "moe")
            {
                string experts = layer.Theirs + "feed_forward.experts.";
                map[layer.Second + "mixer.router.weight"] = layer.Theirs + "feed_forward.router.weight";
                Experts.Map(map, layer.Second + "mixer.", ExpertCount(c), c.Int("intermediate_size"), model.Width, experts,
                    e => ($"{experts}{e}.gate_proj.weight", $"{experts}{e}.up_proj.weight", $"{experts}{e}.down_proj.weight"));
            }
            else
            {
                LlamaFamily.MapMlp(layer.Channels, map, layer.Second + "mixer.", layer.Theirs + "feed_forward.");
            }
        }
    }

    private static bool HasAttention(HfConfig c, int layer) => Recurs(c, layer, "attn_layer_period", 8, "attn_layer_offset", 4);

    private static bool HasExperts(HfConfig c, int layer) => ExpertCount(c) > 1 && Recurs(c, layer, "expert_layer_period", 2, "expert_layer_offset", 1);

    private static bool Recurs(HfConfig c, int layer, string periodKey, int period, string offsetKey, int offset)
    {
        (period, offset) = (c.Int(periodKey, period), c.Int(offsetKey, offset));
        return period < 1 ? throw c.Bad(periodKey, "a number from 1 on is expected")
            : offset < 0 || offset >= period ? throw c.Bad(offsetKey, $"a number from 0 to {period - 1} is expected, below {periodKey}")
            : layer % period == offset;
    }

    private static int ExpertCount(HfConfig c) => c.Int("num_experts", c.Int("num_local_experts", 16));

    private static BlockSpec Attention(HfConfig c) => Spec.Of("attention",
        ("heads", c.Int("num_attention_heads")), ("kv-heads", CommonKeys.KeyHeads(c, 8)), ("head-dim", LlamaFamily.HeadDim(c)), ("positions", "none"));

    private static BlockSpec Mamba(HfConfig c)
    {
        int width = c.Int("hidden_size");
        return Spec.Of("mamba",
        [
            ("state", c.Int("mamba_d_state", 16)), ("expand", c.Int("mamba_expand", 2)), ("conv", c.Int("mamba_d_conv", 4)),
            ("dt-rank", MambaFamily.Rank(width, c.IntOrAuto("mamba_dt_rank", MambaFamily.UsualRank(width)))), ("norm", "learned"), ("norm-epsilon", c.Real("rms_norm_eps", 1e-6)),
            .. MambaFamily.Biases(c.Flag("mamba_proj_bias", false), c.Flag("mamba_conv_bias", true)),
        ]);
    }

    private static BlockSpec Mlp(HfConfig c) => Spec.Of("swiglu", ("hidden", c.Int("intermediate_size")));

    private static BlockSpec Mixture(HfConfig c) =>
        Spec.Of("moe", ("experts", ExpertCount(c)), ("active", c.Int("num_experts_per_tok", 2)), ("hidden", c.Int("intermediate_size")), ("renormalise", false));
}
