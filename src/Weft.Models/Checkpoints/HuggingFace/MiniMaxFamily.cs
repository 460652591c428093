using System.Text.Json.Nodes;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// MiniMax-01 (arXiv 2501.08313): lightning attention and softmax attention, each followed by a mixture of experts. What a mixer reads after its
/// norm is also what its output is added to, each times a factor.
/// </summary>
internal sealed class MiniMaxFamily : Family
{
    private const double LightningNormEpsilon = 1e-6; // the reference's own, whatever the configuration

    public override string ModelType => "minimax";

    public override string Architecture => "MiniMaxForCausalLM";

    public override ModelConfig Read(HfConfig c)
    {
        c.Require("hidden_act", "silu", "swish");
        int count = LayerCount(c);
        bool[] linear = CommonKeys.LinearLayers(c, count, Usual(c, count));
        return Base(c, Pairs(count, i => linear[i] ? Lightning(c, i, count) : Attention(c), _ => Mixture(c)), epsilon: 1e-5);
    }

    public override void Map(HfConfig c, ModelConfig model, WeightMap map)
    {
        MapEnds(model, map, "model.embed_tokens.weight", "model.norm.weight");
        string[] buffers = [".slope_rate", ".query_decay", ".key_decay", ".diagonal_decay"]; // made of the configuration alone
        map.Ignore(key => buffers.Any(b => key.EndsWith(b, StringComparison.Ordinal)));
        foreach (Layer layer in LayersOf(model))
        {
            map[layer.First + "norm.weight"] = layer.Theirs + "input_layernorm.weight";
            if (layer.Attends)
            {
                LlamaFamily.MapAttention(layer.Mixer, model.Width, map, layer.First + "mixer.", layer.Theirs + "self_attn.");
            }
            else
            {
                MapLightning(c, map, layer.First + "mixer.", layer.Theirs + "self_attn.");
            }

            string moe = layer.Theirs + "block_sparse_moe.", joined = layer.Theirs + "mlp.";
            map[layer.Second + "norm.weight"] = layer.Theirs + "post_attention_layernorm.weight";
            map[layer.Second + "mixer.router.weight"] = map.Has(joined + "gate.weight") ? joined + "gate.weight" : moe + "gate.weight";
            Experts.Map(map, layer.Second + "mixer.", ExpertCount(c), c.Int("intermediate_size"), model.Width, joined + "experts.",
                e => ($"{moe}experts.{e}.w1.weight", $"{moe}experts.{e}.w3.weight", $"{moe}experts.{e}.w2.weight"));
        }
    }

    public override JsonObject? Describe(ModelConfig model)
    {
        BlockSpec? lightning = Find(model, "lightning"), attention = Find(model, "attention");
        if (Find(model, "moe") is not { } moe || (attention ?? lightning) is not { } mixer)
        {
            return null;
        }

        var json = new JsonObject
        {
            ["hidden_size"] = model.Width,
            ["intermediate_size"] = NumberOf(moe, "hidden"),
            ["num_hidden_layers"] = model.Blocks.Count / 2,
            ["layer_types"] = KindsOf(model, l => CommonKeys.LayerKind(l.Attends)),
            ["hidden_act"] = "silu",
            ["rms_norm_eps"] = model.NormEpsilon,
            ["max_position_embeddings"] = Math.Max(2048, model.Context),
            ["num_attention_heads"] = NumberOf(mixer, "heads"),
            ["num_key_value_heads"] = NumberOf(attention, "kv-heads"),
            ["head_dim"] = NumberOf(mixer, "head-dim"),
            ["sliding_window"] = attention?.Find("window") is "0" ? null : NumberOf(attention, "window"),
            ["rope_theta"] = NumberOf(attention, "rope-theta"),
            ["num_local_experts"] = NumberOf(moe, "experts"),
            ["num_experts_per_tok"] = NumberOf(moe, "active"),
        };
        foreach ((string kind, BlockSpec? block) in ((string, BlockSpec?)[])[("linear_attn", lightning), ("full_attn", attention), ("mlp", moe)])
        {
            json[kind + "_alpha_factor"] = NumberOf(block, "residual-scale");
            json[kind + "_beta_factor"] = NumberOf(block, "branch-scale");
        }

        return json;
    }

    // Softmax attention in every second layer from the first on, unless an older list says it: 0 for lightning attention, 1 for softmax.
    private static Func<int, bool> Usual(HfConfig c, int count) => c.Ints("attn_type_list") is not { } kinds ? i => i % 2 != 0
        : kinds.Length != count ? throw c.Bad("attn_type_list", $"it names {kinds.Length} layers of {count}")
        : i => kinds[i] is 0 or 1 ? kinds[i] == 0 : throw c.Bad("attn_type_list", $"{kinds[i]} is not supported; what is: 0, 1");

    private static BlockSpec Lightning(HfConfig c, int layer, int count)
    {
        double factor = 1 - (layer / (count - 1 + 1e-5)) + 1e-5;
        return Spec.Of("lightning",
            [("heads", c.Int("num_attention_heads")), ("head-dim", LlamaFamily.HeadDim(c)), ("decay-factor", factor), ("norm-epsilon", LightningNormEpsilon), .. Wiring(c, "linear_attn")]);
    }

    private static BlockSpec Attention(HfConfig c) => Spec.Of("attention",
    [
        .. LlamaFamily.Heads(c), ("window", c.Has("sliding_window") ? c.Int("sliding_window") : null),
        .. Rotary.Whole(c, LlamaFamily.HeadDim(c), theta: 1e6), .. Wiring(c, "full_attn"),
    ]);

    private static BlockSpec Mixture(HfConfig c) =>
        Spec.Of("moe", [("experts", ExpertCount(c)), ("active", c.Int("num_experts_per_tok", 2)), ("hidden", c.Int("intermediate_size")), .. Wiring(c, "mlp")]);

    private static int ExpertCount(HfConfig c) => c.Int("num_local_experts", c.Int("num_experts", 8));

    private static (string, object?)[] Wiring(HfConfig c, string kind) =>
        [("residual", "normed"), ("residual-scale", c.Real(kind + "_alpha_factor", 1)), ("branch-scale", c.Real(kind + "_beta_factor", 1))];

    private static void MapLightning(HfConfig c, WeightMap map, string ours, string theirs)
    {
        int heads = c.Int("num_attention_heads"), headDim = LlamaFamily.HeadDim(c);
        map[ours + "in_proj.weight"] = WeightSource.Stack(Thirds(0), Thirds(1), Thirds(2), WeightSource.Of(theirs + "output_gate.weight", heads * headDim));
        map[ours + "norm.weight"] = theirs + "norm.weight";
        map[ours + "out_proj.weight"] = theirs + "out_proj.weight";

        // A head's query, key and value lie together.
        WeightSource Thirds(int which) =>
            WeightSource.Stack(Enumerable.Range(0, heads).Select(h => WeightSource.Rows(theirs + "qkv_proj.weight", ((3 * h) + which) * headDim, headDim)));
    }
}
