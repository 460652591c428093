using System.Text.Json.Nodes;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// Qwen3-Next: gated delta nets (arXiv 2412.06464), with attention whose outputs are gated in every fourth layer, and mixtures of experts. All
/// norms but the delta net's multiply by 1 + w.
/// </summary>
internal class Qwen3NextFamily : Family
{
    public override string ModelType => "qwen3_next";

    public override string Architecture => "Qwen3NextForCausalLM";

    /// <summary>Heads of keys and values where the configuration gives none.</summary>
    protected virtual int UsualKeyHeads => 2;

    public override ModelConfig Read(HfConfig config)
    {
        HfConfig c = Language(config);
        c.Require("hidden_act", "silu", "swish");
        int count = LayerCount(c), interval = c.Int("full_attention_interval", 4);
        if (interval < 1)
        {
            throw c.Bad("full_attention_interval", "a number from 1 on is expected");
        }

        bool[] linear = CommonKeys.LinearLayers(c, count, i => (i + 1) % interval != 0);
        return Base(c, Pairs(count, i => linear[i] ? GatedDeltaSizes.Of(c).Block(c.Real("rms_norm_eps", 1e-6)) : Attention(c), i => Channels(c, i)));
    }

    public override void Map(HfConfig config, ModelConfig model, WeightMap map)
    {
        HfConfig c = Language(config);
        string root = Root(map);
        MapEnds(model, map, root + "embed_tokens.weight", WeightSource.Of(root + "norm.weight").Plus(1));
        map.Ignore(key => key.StartsWith("mtp.", StringComparison.Ordinal)); // guesses further tokens: no part of the model
        foreach (Layer layer in LayersOf(model, root + "layers."))
        {
            map[layer.First + "norm.weight"] = WeightSource.Of(layer.Theirs + "input_layernorm.weight").Plus(1);
            if (layer.Attends)
            {
                MapAttention(c, layer.Mixer, map, layer.First + "mixer.", layer.Theirs + "self_attn.");
            }
            else
            {
                MapDelta(c, map, layer.First + "mixer.", layer.Theirs + "linear_attn.");
            }

            map[layer.Second + "norm.weight"] = WeightSource.Of(layer.Theirs + "post_attention_layernorm.weight").Plus(1);
            MapChannels(c, layer.Channels, map, layer.Second + "mixer.", layer.Theirs + "mlp.");
        }
    }

    public override JsonObject? Describe(ModelConfig model)
    {
        BlockSpec? delta = Find(model, "gated-deltanet"), attention = Find(model, "attention"), moe = Find(model, "moe"), mlp = Find(model, "swiglu");
        return delta is null && attention is null ? null : new JsonObject
        {
            ["hidden_size"] = model.Width,
            ["intermediate_size"] = NumberOf(mlp, "hidden") ?? NumberOf(moe, "hidden"),
            ["num_hidden_layers"] = model.Blocks.Count / 2,
            ["layer_types"] = KindsOf(model, l => CommonKeys.LayerKind(l.Attends)),
            ["hidden_act"] = "silu",
            ["rms_norm_eps"] = model.NormEpsilon,
            ["max_position_embeddings"] = Math.Max(2048, model.Context),
            ["num_attention_heads"] = NumberOf(attention, "heads") ?? 1,
            ["num_key_value_heads"] = NumberOf(attention, "kv-heads") ?? 1,
            ["head_dim"] = NumberOf(attention, "head-dim") ?? 1,
            ["attention_bias"] = FlagOf(attention, "bias"),
            ["rope_parameters"] = RotaryOf(attention),
            ["linear_num_value_heads"] = NumberOf(delta, "heads"),
            ["linear_num_key_heads"] = NumberOf(delta, "key-heads"),
            ["linear_key_head_dim"] = NumberOf(delta, "head-dim"),
            ["linear_value_head_dim"] = NumberOf(delta, "value-dim"),
            ["linear_conv_kernel_dim"] = NumberOf(delta, "conv"),
            ["num_experts"] = NumberOf(moe, "experts") ?? 0,
            ["num_experts_per_tok"] = NumberOf(moe, "active"),
            ["moe_intermediate_size"] = NumberOf(moe, "hidden"),
            ["shared_expert_intermediate_size"] = NumberOf(moe, "shared"),
            ["norm_topk_prob"] = FlagOf(moe, "renormalise"),
            ["mlp_only_layers"] = new JsonArray([.. model.Blocks.Index().Where(b => b.Item.Name == "swiglu").Select(b => JsonValue.Create(b.Index / 2))]),
        };
    }

    /// <summary>What stands before the keys of all but the head.</summary>
    protected virtual string Root(WeightMap map) => "model.";

    /// <summary>What mixes the channels in a layer: experts, or one MLP.</summary>
    protected virtual BlockSpec Channels(HfConfig c, int layer)
    {
        int step = c.Int("decoder_sparse_step", 1), experts = c.Int("num_experts", 512);
        return step < 1 ? throw c.Bad("decoder_sparse_step", "a number from 1 on is expected")
            : experts == 0 || (layer + 1) % step != 0 || (c.Ints("mlp_only_layers") ?? []).Contains(layer) ? Mlp(c)
            : Spec.Of("moe", ("experts", experts), ("active", c.Int("num_experts_per_tok", 10)), ("hidden", c.Int("moe_intermediate_size", 512)),
                ("renormalise", c.Flag("norm_topk_prob", true)), ("shared", c.Int("shared_expert_intermediate_size", 512)), ("shared-gate", true));
    }

    /// <summary>The gated MLP, which has no biases here.</summary>
    protected static BlockSpec Mlp(HfConfig c) => Spec.Of("swiglu", ("hidden", c.Int("intermediate_size")));

    private static void MapChannels(HfConfig c, BlockSpec block, WeightMap map, string ours, string theirs)
    {
        if (block.Name != "moe")
        {
            LlamaFamily.MapMlp(block, map, ours, theirs);
            return;
        }

        int shared = c.Int("shared_expert_intermediate_size", 512);
        map[ours + "router.weight"] = theirs + "gate.weight";
        Experts.Map(map, ours, c.Int("num_experts", 512), c.Int("moe_intermediate_size", 512), c.Int("hidden_size"), theirs + "experts.",
            e => ($"{theirs}experts.{e}.gate_proj.weight", $"{theirs}experts.{e}.up_proj.weight", $"{theirs}experts.{e}.down_proj.weight"));
        map[ours + "shared.gate_up_proj.weight"] = WeightSource.Stack(WeightSource.Of(theirs + "shared_expert.gate_proj.weight", shared), WeightSource.Of(theirs + "shared_expert.up_proj.weight", shared));
        map[ours + "shared.down_proj.weight"] = theirs + "shared_expert.down_proj.weight";
        map[ours + "shared_gate.weight"] = theirs + "shared_expert_gate.weight";
    }

    /// <summary>The rows q, k, v, gate, beta, decay of a delta net's inward map.</summary>
    protected virtual WeightSource Inward(GatedDeltaSizes s, string theirs)
    {
        // Both tensors lie by key heads: a head's query and key, then the values, and the gates, of the heads that share it.
        int shared = s.Heads / s.KeyHeads, values = shared * s.ValueWidth, group = (2 * s.KeyWidth) + (2 * values);
        string qkvz = theirs + "in_proj_qkvz.weight", ba = theirs + "in_proj_ba.weight";
        return WeightSource.Stack(
            Groups(qkvz, group, 0, s.KeyWidth), Groups(qkvz, group, s.KeyWidth, s.KeyWidth), Groups(qkvz, group, 2 * s.KeyWidth, values), Groups(qkvz, group, (2 * s.KeyWidth) + values, values),
            Groups(ba, 2 * shared, 0, shared), Groups(ba, 2 * shared, shared, shared));

        WeightSource Groups(string key, int size, int start, int rows) =>
            WeightSource.Stack(Enumerable.Range(0, s.KeyHeads).Select(g => WeightSource.Rows(key, (g * size) + start, rows)));
    }

    private void MapDelta(HfConfig c, WeightMap map, string ours, string theirs)
    {
        var sizes = GatedDeltaSizes.Of(c);
        map[ours + "in_proj.weight"] = Inward(sizes, theirs);
        map[ours + "conv.weight"] = WeightSource.Of(theirs + "conv1d.weight").As(sizes.Channels, 1, sizes.Conv);
        map[ours + "A_log"] = theirs + "A_log";
        map[ours + "dt_bias"] = theirs + "dt_bias";
        map[ours + "norm.weight"] = theirs + "norm.weight"; // w itself
        map[ours + "out_proj.weight"] = theirs + "out_proj.weight";
    }

    private BlockSpec Attention(HfConfig c)
    {
        int headDim = c.Int("head_dim", 256);
        object? bias = Set(c.Flag("attention_bias", false));
        return Spec.Of("attention",
        [
            ("heads", c.Int("num_attention_heads")), ("kv-heads", c.Int("num_key_value_heads", UsualKeyHeads)), ("head-dim", headDim), .. Rotary.Options(c, headDim, part: 0.25),
            ("qk-norm", "head"), ("norm-epsilon", c.Real("rms_norm_eps", 1e-6)), ("output-gate", true), ("bias", bias), ("output-bias", bias),
        ]);
    }

    private void MapAttention(HfConfig c, BlockSpec block, WeightMap map, string ours, string theirs)
    {
        int heads = c.Int("num_attention_heads"), headDim = c.Int("head_dim", 256), keys = c.Int("num_key_value_heads", UsualKeyHeads) * headDim;
        foreach (string what in WeightAndBias(IsSet(block, "bias")))
        {
            map[$"{ours}qkv_proj.{what}"] = WeightSource.Stack(Halves(what, 0), WeightSource.Of($"{theirs}k_proj.{what}", keys), WeightSource.Of($"{theirs}v_proj.{what}", keys), Halves(what, headDim));
            map[$"{ours}out_proj.{what}"] = $"{theirs}o_proj.{what}";
        }

        map[ours + "q_norm.weight"] = WeightSource.Of(theirs + "q_norm.weight").Plus(1);
        map[ours + "k_norm.weight"] = WeightSource.Of(theirs + "k_norm.weight").Plus(1);

        // A head's query, then its gate.
        WeightSource Halves(string what, int start) =>
            WeightSource.Stack(Enumerable.Range(0, heads).Select(h => WeightSource.Rows($"{theirs}q_proj.{what}", (2 * h * headDim) + start, headDim)));
    }
}
