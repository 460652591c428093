using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// Nemotron-H (arXiv 2504.03624) and Nemotron 3 (NVIDIA, 2025): layers of Mamba-2, attention without positions, an MLP of relu^2 or a
/// mixture of such, each with a norm and a residual of its own.
/// </summary>
internal sealed class NemotronHFamily : Family
{
    private static readonly string[] Kinds = ["linear_attention", "full_attention", "mlp", "moe"];

    public override string ModelType => "nemotron_h";

    public override string Architecture => "NemotronHForCausalLM";

    // The head is never the embedding, whatever tie_word_embeddings says.
    public override ModelConfig Read(HfConfig c) => Base(c, Layers(c).Select(kind => Block(c, kind)), "layer_norm_epsilon", epsilon: 1e-5) with { TieEmbeddings = false };

    public override void Map(HfConfig c, ModelConfig model, WeightMap map)
    {
        string root = map.Has("model.embeddings.weight") ? "model." : "backbone.";
        MapEnds(model, map, root + "embeddings.weight", root + "norm_f.weight");
        map.Ignore(key => key.StartsWith("mtp.", StringComparison.Ordinal)); // layers that predict further tokens
        for (int i = 0; i < model.Blocks.Count; i++)
        {
            (BlockSpec block, string ours, string theirs) = (model.Blocks[i], $"blocks.{i}.mixer.", $"{root}layers.{i}.mixer.");
            bool bias = IsSet(block, "bias");
            map[$"blocks.{i}.norm.weight"] = $"{root}layers.{i}.norm.weight";
            switch (block.Name)
            {
                case "mamba2":
                    Mamba2Family.MapMixer(block, model.Width, map, ours, theirs);
                    break;
                case "attention":
                    LlamaFamily.MapAttention(block, model.Width, map, ours, theirs);
                    break;
                case "mlp":
                    MapWhole(map, ours + "up_proj.", theirs + "up_proj.", bias);
                    MapWhole(map, ours + "down_proj.", theirs + "down_proj.", bias);
                    break;
                default:
                    map[ours + "router.weight"] = theirs + "gate.weight";
                    map[ours + "router.correction"] = theirs + "gate.e_score_correction_bias";
                    Experts.Map(map, ours, ExpertCount(c), c.Int("moe_intermediate_size", 7688), c.Int("moe_latent_size", model.Width), theirs + "experts.",
                        e => (null, $"{theirs}experts.{e}.up_proj.weight", $"{theirs}experts.{e}.down_proj.weight"));
                    MapWhole(map, ours + "shared.up_proj.", theirs + "shared_experts.up_proj.", bias);
                    MapWhole(map, ours + "shared.down_proj.", theirs + "shared_experts.down_proj.", bias);
                    if (block.Find("latent") is not null)
                    {
                        MapWhole(map, ours + "latent_in_proj.", theirs + "fc1_latent_proj.", bias);
                        MapWhole(map, ours + "latent_out_proj.", theirs + "fc2_latent_proj.", bias);
                    }

                    break;
            }
        }
    }

    // A list, or in older files a letter a layer.
    private static string[] Layers(HfConfig c)
    {
        const string Old = "hybrid_override_pattern";
        string key = c.Has("layers_block_type") ? "layers_block_type" : "layer_types";
        string[] kinds = CommonKeys.LayerKinds(c, key, null, Kinds) ?? [.. c.Text(Old).Select(letter => letter switch
        {
            'M' => "linear_attention",
            '*' => "full_attention",
            '-' => "mlp",
            'E' => "moe",
            _ => throw c.Bad(Old, $"{PatternText.Quote(letter.ToString())} is no layer; what is: M, *, -, E"),
        })];
        return kinds.Length is >= 1 and <= Pattern.MaxBlocks ? kinds : throw c.Bad(c.Has(key) ? key : Old, $"it names {kinds.Length} layers where 1 to {Pattern.MaxBlocks} are expected");
    }

    private static BlockSpec Block(HfConfig c, string kind) => kind switch
    {
        "linear_attention" => Mamba(c),
        "full_attention" => Attention(c),
        "mlp" => Mlp(c),
        _ => Mixture(c),
    };

    private static BlockSpec Attention(HfConfig c) => Spec.Of("attention",
        ("heads", c.Int("num_attention_heads")), ("kv-heads", CommonKeys.KeyHeads(c, 8)), ("head-dim", c.Int("head_dim", 128)), ("positions", "none"));

    // Older files spell some keys in another way. dt has a lower bound only: time_step_limit is another model's.
    private static BlockSpec Mamba(HfConfig c)
    {
        c = c.Spelled(("n_groups", "mamba_n_groups"), ("conv_kernel", "mamba_d_conv"), ("expand", "mamba_expand"), ("use_conv_bias", "mamba_conv_bias"), ("time_step_min", "mamba_dt_min"));
        c.Require("mamba_hidden_act", "silu", "swish");
        int headDim = c.Int("mamba_head_dim", 64), inner = MambaFamily.Times(c.Int("mamba_num_heads", 128), headDim);
        return Spec.Of("mamba2",
        [
            ("state", c.Int("ssm_state_size", 128)), ("head-dim", headDim), .. MambaFamily.Inner(c.Int("hidden_size"), c.Int("expand", 2), inner),
            ("groups", c.Int("n_groups", 8)), ("conv", c.Int("conv_kernel", 4)),
            .. MambaFamily.Biases(c.Flag("use_bias", false), c.Flag("use_conv_bias", true)),
            ("norm-epsilon", c.Real("layer_norm_epsilon", 1e-5)), ("dt-min", c.Real("time_step_min", 0.001)),
        ]);
    }

    private static BlockSpec Mlp(HfConfig c) =>
        Spec.Of("mlp", ("hidden", c.Int("intermediate_size")), ("activation", CommonKeys.Activation(c, "mlp_hidden_act", "relu2")), ("bias", Set(c.Flag("mlp_bias", false))));

    private static int ExpertCount(HfConfig c) => c.Int("n_routed_experts", c.Int("num_local_experts", 8));

    private static BlockSpec Mixture(HfConfig c) => Spec.Of("moe",
        ("experts", ExpertCount(c)), ("active", c.Int("num_experts_per_tok", 2)), ("hidden", c.Int("moe_intermediate_size", 7688)),
        ("router", "sigmoid"), ("renormalise", c.Flag("norm_topk_prob", true)), ("scale", c.Real("routed_scaling_factor", 1)),
        ("groups", c.Int("n_group", 1)), ("active-groups", c.Int("topk_group", 1)), ("activation", CommonKeys.Activation(c, "mlp_hidden_act", "relu2")), ("gated", false),
        ("latent", c.Has("moe_latent_size") ? c.Int("moe_latent_size") : null), ("shared", c.Int("moe_shared_expert_intermediate_size", 7688)),
        ("bias", Set(c.Flag("mlp_bias", false))));
}
