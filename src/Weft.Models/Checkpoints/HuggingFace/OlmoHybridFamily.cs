using System.Text.Json;
using System.Text.Json.Nodes;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// OLMo Hybrid: gated delta nets whose transitions may have negative eigenvalues, with norms before mixers and MLPs; in every fourth layer attention,
/// as in OLMo 2 (arXiv 2501.00656) with norms after attention and MLP and over all queries and keys, with or without positions.
/// </summary>
internal sealed class OlmoHybridFamily : Family
{
    private const double DeltaNormEpsilon = 1e-5; // the reference's own, whatever the configuration

    public override string ModelType => "olmo_hybrid";

    public override string Architecture => "OlmoHybridForCausalLM";

    public override ModelConfig Read(HfConfig c)
    {
        c.Require("hidden_act", "silu", "swish");
        int count = LayerCount(c);
        bool[] linear = CommonKeys.LinearLayers(c, count, i => i % 4 != 3 && (count > 3 || i < count - 1)); // the last one, where there is no fourth
        BlockSpec delta = Sizes(c).Block(DeltaNormEpsilon, c.Flag("linear_allow_neg_eigval", true)), attention = Attention(c);
        return Base(c, Pairs(count, i => linear[i] ? delta : attention, i => linear[i] ? Mlp(c) : Mlp(c, ("pre-norm", "none"), ("post-norm", "rms"))));
    }

    public override void Map(HfConfig c, ModelConfig model, WeightMap map)
    {
        MapEnds(model, map, "model.embed_tokens.weight", "model.norm.weight");
        map.Ignore(key => key.StartsWith("mtp.", StringComparison.Ordinal));
        foreach (Layer layer in LayersOf(model))
        {
            string between = Either(layer.Theirs + "post_attention_layernorm.weight", layer.Theirs + "feedforward_layer_norm.weight");
            if (layer.Attends)
            {
                map[layer.First + "post_norm.weight"] = between;
                map[layer.Second + "post_norm.weight"] = layer.Theirs + "post_feedforward_layernorm.weight";
                LlamaFamily.MapAttention(layer.Mixer, model.Width, map, layer.First + "mixer.", layer.Theirs + "self_attn.");
            }
            else
            {
                map[layer.First + "norm.weight"] = Either(layer.Theirs + "input_layernorm.weight", layer.Theirs + "attention_layer_norm.weight");
                map[layer.Second + "norm.weight"] = between;
                MapDelta(Sizes(c), map, layer.First + "mixer.", layer.Theirs + "linear_attn.");
            }

            LlamaFamily.MapMlp(layer.Channels, map, layer.Second + "mixer.", layer.Theirs + "mlp.");
        }

        string Either(string inMemory, string published) => map.Has(inMemory) ? inMemory : published;
    }

    public override JsonObject? Describe(ModelConfig model)
    {
        BlockSpec? delta = Find(model, "gated-deltanet"), attention = Find(model, "attention");
        return delta is null || attention is null ? null : new JsonObject
        {
            ["hidden_size"] = model.Width,
            ["intermediate_size"] = NumberOf(Find(model, "swiglu"), "hidden"),
            ["num_hidden_layers"] = model.Blocks.Count / 2,
            ["layer_types"] = KindsOf(model, l => CommonKeys.LayerKind(l.Attends)),
            ["hidden_act"] = "silu",
            ["rms_norm_eps"] = model.NormEpsilon,
            ["max_position_embeddings"] = Math.Max(2048, model.Context),
            ["num_attention_heads"] = NumberOf(attention, "heads"),
            ["num_key_value_heads"] = NumberOf(attention, "kv-heads"),
            ["head_dim"] = NumberOf(attention, "head-dim"),
            ["attention_bias"] = FlagOf(attention, "bias"),
            ["rope_parameters"] = new JsonObject { ["rope_type"] = "default", ["rope_theta"] = attention.Find("positions") is "none" ? null : NumberOf(attention, "rope-theta") },
            ["linear_num_value_heads"] = NumberOf(delta, "heads"),
            ["linear_num_key_heads"] = NumberOf(delta, "key-heads"),
            ["linear_key_head_dim"] = NumberOf(delta, "head-dim"),
            ["linear_value_head_dim"] = NumberOf(delta, "value-dim"),
            ["linear_conv_kernel_dim"] = NumberOf(delta, "conv"),
            ["linear_allow_neg_eigval"] = FlagOf(delta, "negative-eigenvalues"),
        };
    }

    private static GatedDeltaSizes Sizes(HfConfig c)
    {
        int heads = c.Int("num_attention_heads");
        return GatedDeltaSizes.Of(c, heads, heads, keyWidth: null, valueWidth: null);
    }

    private static void MapDelta(GatedDeltaSizes s, WeightMap map, string ours, string theirs)
    {
        (string Name, int Rows)[] parts = [("q", s.Keys), ("k", s.Keys), ("v", s.Values)];
        (string Name, int Rows)[] inward = [.. parts, ("g", s.Values), ("b", s.Heads), ("a", s.Heads)];
        map[ours + "in_proj.weight"] = WeightSource.Stack(inward.Select(p => WeightSource.Of($"{theirs}{p.Name}_proj.weight", p.Rows)));
        map[ours + "conv.weight"] = map.Has(theirs + "conv1d.weight") ? WeightSource.Of(theirs + "conv1d.weight").As(s.Channels, 1, s.Conv)
            : WeightSource.Stack(Taps(s, map, theirs).Select(p => WeightSource.Of($"{theirs}{p.Name}_conv1d.weight", p.Rows).As(p.Rows, 1, s.Conv)));
        map[ours + "A_log"] = theirs + "A_log";
        map[ours + "dt_bias"] = theirs + "dt_bias";
        map[ours + "norm.weight"] = theirs + "o_norm.weight";
        map[ours + "out_proj.weight"] = theirs + "o_proj.weight";
    }

    // The convolution is one in memory. transformers writes it in three parts of equal size, whatever the widths of q, k and v.
    private static (string Name, int Rows)[] Taps(GatedDeltaSizes s, WeightMap map, string theirs)
    {
        int third = (s.Channels + 2) / 3;
        return map.RowsOf(theirs + "q_conv1d.weight") == third && map.RowsOf(theirs + "k_conv1d.weight") == third
            ? [("q", third), ("k", third), ("v", s.Channels - (2 * third))] : [("q", s.Keys), ("k", s.Keys), ("v", s.Values)];
    }

    private static BlockSpec Mlp(HfConfig c, params ReadOnlySpan<(string, object?)> wiring) => Spec.Of("swiglu", [("hidden", c.Int("intermediate_size")), .. wiring]);

    private static BlockSpec Attention(HfConfig c)
    {
        object? bias = Set(c.Flag("attention_bias", false));
        return Spec.Of("attention",
        [
            .. LlamaFamily.Heads(c), .. HasPositions(c) ? Rotary.Whole(c, LlamaFamily.HeadDim(c)) : [("positions", "none")],
            ("qk-norm", "all"), ("norm-epsilon", c.Real("rms_norm_eps", 1e-6)), ("bias", bias), ("output-bias", bias), ("pre-norm", "none"), ("post-norm", "rms"),
        ]);
    }

    // A base that is given as null, rather than not given, means no positions: that of the rotary parameters, else the configuration's own.
    private static bool HasPositions(HfConfig c)
    {
        foreach (HfConfig? place in (ReadOnlySpan<HfConfig?>)[c.Object("rope_scaling") ?? c.Object("rope_parameters"), c])
        {
            if (place is not null && place.Json.TryGetProperty("rope_theta", out JsonElement theta))
            {
                return theta.ValueKind != JsonValueKind.Null;
            }
        }

        return true;
    }
}
