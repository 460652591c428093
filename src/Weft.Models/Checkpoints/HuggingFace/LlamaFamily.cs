using System.Text.Json.Nodes;
using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>Llama (arXiv 2302.13971), and what other families take from it: attention with rotary positions and a gated MLP in turn.</summary>
internal class LlamaFamily : Family
{
    public override string ModelType => "llama";

    public override string Architecture => "LlamaForCausalLM";

    public override ModelConfig Read(HfConfig c) => Base(c, Pairs(LayerCount(c), i => Attention(c, i), _ => Mlp(c)));

    public override void Map(HfConfig c, ModelConfig model, WeightMap map)
    {
        MapEnds(model, map, "model.embed_tokens.weight", "model.norm.weight");
        map.Ignore(key => key.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal)); // a buffer of old files
        foreach (Layer layer in LayersOf(model))
        {
            map[layer.First + "norm.weight"] = layer.Theirs + "input_layernorm.weight";
            MapAttention(layer.Mixer, model.Width, map, layer.First + "mixer.", layer.Theirs + "self_attn.");
            map[layer.Second + "norm.weight"] = layer.Theirs + "post_attention_layernorm.weight";
            MapMlp(layer.Channels, map, layer.Second + "mixer.", layer.Theirs + "mlp.");
        }
    }

    public override JsonObject? Describe(ModelConfig model)
    {
        BlockSpec attention = model.Blocks[0], mlp = model.Blocks[Math.Min(1, model.Blocks.Count - 1)];
        if (attention.Name != "attention" || mlp.Name != "swiglu")
        {
            return null;
        }

        (int heads, int keyHeads, int headDim) = Models.Attention.ReadHeads(new BlockOptions(attention, 0), model.Width);
        return new JsonObject
        {
            ["hidden_size"] = model.Width,
            ["intermediate_size"] = new BlockOptions(mlp, 1).Int("hidden", SwiGlu.UsualHidden(model.Width), 1, int.MaxValue),
            ["num_hidden_layers"] = model.Blocks.Count / 2,
            ["num_attention_heads"] = heads,
            ["num_key_value_heads"] = keyHeads,
            ["head_dim"] = headDim,
            ["rms_norm_eps"] = model.NormEpsilon,
            ["rope_theta"] = new BlockOptions(attention, 0).Real("rope-theta", 10000, 0, double.MaxValue),
            ["max_position_embeddings"] = Math.Max(2048, model.Context),
            ["hidden_act"] = "silu",
            ["attention_bias"] = FlagOf(attention, "bias"),
            ["mlp_bias"] = FlagOf(mlp, "bias"),
            ["sliding_window"] = NumberOf(attention, "window"),
        };
    }

    /// <summary>The attention of a layer.</summary>
    protected virtual BlockSpec Attention(HfConfig c, int layer) =>
        AttentionOf(c, ("bias", Set(c.Flag("attention_bias", false))), ("output-bias", Set(c.Flag("attention_bias", false))));

    /// <summary>Attention by the keys that most families have.</summary>
    internal static BlockSpec AttentionOf(HfConfig c, params ReadOnlySpan<(string, object?)> more) => Spec.Of("attention", [.. Heads(c), .. Rotary.Whole(c, HeadDim(c)), .. more]);

    /// <summary>The options for the numbers of heads, of queries and of keys, and their columns.</summary>
    internal static (string, object?)[] Heads(HfConfig c)
    {
        int heads = c.Int("num_attention_heads");
        return [("heads", heads), ("kv-heads", c.Int("num_key_value_heads", heads)), ("head-dim", HeadDim(c))];
    }

    /// <summary>The gated MLP by the keys that most families have.</summary>
    internal static BlockSpec Mlp(HfConfig c)
    {
        c.Require("hidden_act", "silu");
        return Spec.Of("swiglu", ("hidden", c.Int("intermediate_size")), ("bias", Set(c.Flag("mlp_bias", false))));
    }

    /// <summary>The columns of a head.</summary>
    internal static int HeadDim(HfConfig c) => c.Int("head_dim", c.Int("hidden_size") / Math.Max(1, c.Int("num_attention_heads")));

    /// <summary>Attention's maps, with or without biases.</summary>
    internal static void MapAttention(BlockSpec block, int width, WeightMap map, string ours, string theirs)
    {
        (int heads, int keyHeads, int headDim) = Models.Attention.ReadHeads(new BlockOptions(block, 0), width);
        foreach (string what in WeightAndBias(IsSet(block, "bias")))
        {
            map[$"{ours}qkv_proj.{what}"] = Qkv(theirs, heads * headDim, keyHeads * headDim, what);
        }

        MapWhole(map, ours + "out_proj.", theirs + "o_proj.", IsSet(block, "output-bias"));
        if (block.Find("qk-norm") is not null)
        {
            map[ours + "q_norm.weight"] = theirs + "q_norm.weight";
            map[ours + "k_norm.weight"] = theirs + "k_norm.weight";
        }
    }

    /// <summary>The maps of queries, keys and values, one below the other; keys and values have the same number of rows.</summary>
    internal static WeightSource Qkv(string theirs, int queries, int keys, string what = "weight") =>
        WeightSource.Stack(WeightSource.Of($"{theirs}q_proj.{what}", queries), WeightSource.Of($"{theirs}k_proj.{what}", keys), WeightSource.Of($"{theirs}v_proj.{what}", keys));

    /// <summary>The gated MLP's maps, with or without biases.</summary>
    internal static void MapMlp(BlockSpec block, WeightMap map, string ours, string theirs)
    {
        int hidden = Number(block, "hidden");
        foreach (string what in WeightAndBias(IsSet(block, "bias")))
        {
            map[$"{ours}gate_up_proj.{what}"] = WeightSource.Stack(WeightSource.Of($"{theirs}gate_proj.{what}", hidden), WeightSource.Of($"{theirs}up_proj.{what}", hidden));
            map[$"{ours}down_proj.{what}"] = $"{theirs}down_proj.{what}";
        }
    }
}
