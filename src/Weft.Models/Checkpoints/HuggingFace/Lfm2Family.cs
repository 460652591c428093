using System.Text.Json.Nodes;
using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>LFM2 (arXiv 2511.23404): short convolutions, among them layers of attention with norms of queries and keys; a gated MLP after each.</summary>
internal sealed class Lfm2Family : Family
{
    public override string ModelType => "lfm2";

    public override string Architecture => "Lfm2ForCausalLM";

    public override ModelConfig Read(HfConfig config)
    {
        HfConfig c = Spelled(config);
        bool[] attends = Attends(c);
        int heads = c.Int("num_attention_heads"), headDim = LlamaFamily.HeadDim(c);
        BlockSpec conv = Spec.Of("short-conv", ("conv", c.Int("conv_L_cache", 3)), ("bias", Set(c.Flag("conv_bias", false))));
        BlockSpec attention = Spec.Of("attention",
        [
            ("heads", heads), ("kv-heads", c.Int("num_key_value_heads", 8)), ("head-dim", headDim), ("qk-norm", "head"), ("norm-epsilon", c.Real("norm_eps", 1e-5)),
            .. Rotary.Whole(c, headDim, theta: 1e6),
        ]);
        BlockSpec mlp = Spec.Of("swiglu", ("hidden", Hidden(c)));
        return Base(c, Pairs(attends.Length, i => attends[i] ? attention : conv, _ => mlp), "norm_eps", tied: true, epsilon: 1e-5);
    }

    public override void Map(HfConfig config, ModelConfig model, WeightMap map)
    {
        HfConfig c = Spelled(config);
        MapEnds(model, map, "model.embed_tokens.weight", "model.embedding_norm.weight");
        int headDim = LlamaFamily.HeadDim(c), queries = c.Int("num_attention_heads") * headDim, keys = c.Int("num_key_value_heads", 8) * headDim, hidden = Hidden(c);
        foreach (Layer layer in LayersOf(model))
        {
            string mixer = layer.First + "mixer.", attention = layer.Theirs + "self_attn.", conv = layer.Theirs + "conv.", mlp = layer.Theirs + "feed_forward.";
            map[layer.First + "norm.weight"] = layer.Theirs + "operator_norm.weight";
            if (layer.Attends)
            {
                map[mixer + "qkv_proj.weight"] = LlamaFamily.Qkv(attention, queries, keys);
                map[mixer + "q_norm.weight"] = attention + "q_layernorm.weight";
                map[mixer + "k_norm.weight"] = attention + "k_layernorm.weight";
                map[mixer + "out_proj.weight"] = attention + "out_proj.weight";
            }
            else
            {
                bool bias = c.Flag("conv_bias", false);
                MapWhole(map, mixer + "in_proj.", conv + "in_proj.", bias);
                MambaFamily.MapConvolution(map, mixer + "conv1d.", conv + "conv.", model.Width, c.Int("conv_L_cache", 3), bias);
                MapWhole(map, mixer + "out_proj.", conv + "out_proj.", bias);
            }

            map[layer.Second + "norm.weight"] = layer.Theirs + "ffn_norm.weight";
            map[layer.Second + "mixer.gate_up_proj.weight"] = WeightSource.Stack(WeightSource.Of(mlp + "w1.weight", hidden), WeightSource.Of(mlp + "w3.weight", hidden));
            map[layer.Second + "mixer.down_proj.weight"] = mlp + "w2.weight";
        }
    }

    public override JsonObject? Describe(ModelConfig model)
    {
        int conv = model.Blocks.Index().FirstOrDefault(b => b.Item.Name == "short-conv", (-1, null!)).Index;
        int attends = model.Blocks.Index().FirstOrDefault(b => b.Item.Name == "attention", (-1, null!)).Index;
        if (conv < 0 || model.Blocks.Count < 2 || model.Blocks[1].Name != "swiglu")
        {
            return null;
        }

        var taps = new BlockOptions(model.Blocks[conv], conv);
        var json = new JsonObject
        {
            ["hidden_size"] = model.Width,
            ["intermediate_size"] = new BlockOptions(model.Blocks[1], 1).Int("hidden", SwiGlu.UsualHidden(model.Width), 1, int.MaxValue),
            ["block_auto_adjust_ff_dim"] = false,
            ["num_hidden_layers"] = model.Blocks.Count / 2,
            ["layer_types"] = KindsOf(model, l => l.Attends ? "full_attention" : "conv"),
            ["conv_L_cache"] = taps.Int("conv", 3, 1, int.MaxValue),
            ["conv_bias"] = taps.Flag("bias", false),
            ["norm_eps"] = model.NormEpsilon,
            ["max_position_embeddings"] = Math.Max(2048, model.Context),
            ["num_attention_heads"] = 1,
            ["num_key_value_heads"] = 1,
        };
        if (attends >= 0)
        {
            var attention = new BlockOptions(model.Blocks[attends], attends);
            (int heads, int keyHeads, int headDim) = Attention.ReadHeads(attention, model.Width);
            json["num_attention_heads"] = heads;
            json["num_key_value_heads"] = keyHeads;
            json["head_dim"] = headDim;
            json["rope_theta"] = attention.Real("rope-theta", 10000, 0, double.MaxValue);
        }

        return json;
    }

    // Which layers attend: those that layer_types says, or in older files full_attn_idxs (all where that is not given either).
    private static bool[] Attends(HfConfig c)
    {
        int layers = LayerCount(c);
        if (c.Texts("layer_types") is not { } types)
        {
            int[]? which = c.Ints("full_attn_idxs");
            return [.. Enumerable.Range(0, layers).Select(i => which is null || which.Contains(i))];
        }

        return types.Length != layers ? throw c.Bad("layer_types", $"it names {types.Length} layers of {layers}")
            : [.. types.Select(t => t switch
            {
                "full_attention" => true,
                "conv" => false,
                _ => throw c.Bad("layer_types", $"{PatternText.Quote(t)} is not supported; what is: full_attention, conv"),
            })];
    }

    // The width given is that of an MLP without a gate, unless block_auto_adjust_ff_dim is false.
    private static int Hidden(HfConfig c)
    {
        double hidden = c.Int("intermediate_size");
        if (c.Flag("block_auto_adjust_ff_dim", true))
        {
            double multiple = Math.Max(1, c.Int("block_multiple_of", 256));
            hidden = Math.Truncate(c.Real("block_ffn_dim_multiplier", 1) * Math.Truncate(2 * hidden / 3));
            hidden = Math.Ceiling(hidden / multiple) * multiple;
        }

        return hidden is >= 1 and <= 1 << 20 ? (int)hidden : throw c.Bad("intermediate_size", $"it makes an MLP of {hidden} columns");
    }

    private static HfConfig Spelled(HfConfig config) => config.Spelled(("intermediate_size", "block_ff_dim"), ("tie_word_embeddings", "tie_embedding"));
}
