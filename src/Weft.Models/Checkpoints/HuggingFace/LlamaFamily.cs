using System.Text.Json.Nodes;
using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>Llama (arXiv 2302.13971), and what other families take from it: attention with rotary positions and a gated MLP in turn.</summary>
internal class LlamaFamily : Family
{
    public override string ModelType => "llama";

    public override string Architecture => "LlamaForCausalLM";

    public override ModelConfig Read(HfConfig c) => Base(c, Layers(c, i => Attention(c, i)), tied: false);

    public override void Map(HfConfig c, ModelConfig model, WeightMap map)
    {
        MapEnds(model, map, "model.embed_tokens.weight", "model.norm.weight");
        map.Ignore(key => key.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal)); // a buffer of old files
        for (int i = 0; i < c.Int("num_hidden_layers"); i++)
        {
            string layer = $"model.layers.{i}.";
            map[$"blocks.{2 * i}.norm.weight"] = layer + "input_layernorm.weight";
            MapAttention(c, model.Blocks[2 * i], map, $"blocks.{2 * i}.mixer.", layer + "self_attn.");
            map[$"blocks.{(2 * i) + 1}.norm.weight"] = layer + "post_attention_layernorm.weight";
            MapMlp(c, model.Blocks[(2 * i) + 1], map, $"blocks.{(2 * i) + 1}.mixer.", layer + "mlp.");
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

    /// <summary>Each layer's attention and MLP.</summary>
    protected static IEnumerable<BlockSpec> Layers(HfConfig c, Func<int, BlockSpec> attention) =>
        Enumerable.Range(0, c.Int("num_hidden_layers")).SelectMany<int, BlockSpec>(i => [attention(i), Mlp(c)]);

    /// <summary>The attention of a layer.</summary>
    protected virtual BlockSpec Attention(HfConfig c, int layer) =>
        AttentionOf(c, ("bias", Set(c.Flag("attention_bias", false))), ("output-bias", Set(c.Flag("attention_bias", false))));

    /// <summary>Attention by the keys that most families have.</summary>
    internal static BlockSpec AttentionOf(HfConfig c, params ReadOnlySpan<(string, object?)> more)
    {
        int heads = c.Int("num_attention_heads"), headDim = HeadDim(c);
        return Spec.Of("attention", [("heads", heads), ("kv-heads", c.Int("num_key_value_heads", heads)), ("head-dim", headDim), .. Rotary.Whole(c, headDim), .. more]);
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
    internal static void MapAttention(HfConfig c, BlockSpec block, WeightMap map, string ours, string theirs)
    {
        (int heads, int keyHeads, int headDim) = Models.Attention.ReadHeads(new BlockOptions(block, 0), c.Int("hidden_size"));
        map[ours + "qkv_proj.weight"] = Stack("weight");
        map[ours + "out_proj.weight"] = theirs + "o_proj.weight";
        if (block.Find("bias") is "true")
        {
            map[ours + "qkv_proj.bias"] = Stack("bias");
        }

        if (block.Find("output-bias") is "true")
        {
            map[ours + "out_proj.bias"] = theirs + "o_proj.bias";
        }

        if (block.Find("qk-norm") is not null)
        {
            map[ours + "q_norm.weight"] = theirs + "q_norm.weight";
            map[ours + "k_norm.weight"] = theirs + "k_norm.weight";
        }

        WeightSource Stack(string what) => WeightSource.Stack(
            WeightSource.Of($"{theirs}q_proj.{what}", heads * headDim), WeightSource.Of($"{theirs}k_proj.{what}", keyHeads * headDim), WeightSource.Of($"{theirs}v_proj.{what}", keyHeads * headDim));
    }

    /// <summary>The gated MLP's maps, with or without biases.</summary>
    internal static void MapMlp(HfConfig c, BlockSpec block, WeightMap map, string ours, string theirs)
    {
        int hidden = c.Int("intermediate_size");
        foreach (string what in (string[])(block.Find("bias") is "true" ? ["weight", "bias"] : ["weight"]))
        {
            map[$"{ours}gate_up_proj.{what}"] = WeightSource.Stack(WeightSource.Of($"{theirs}gate_proj.{what}", hidden), WeightSource.Of($"{theirs}up_proj.{what}", hidden));
            map[$"{ours}down_proj.{what}"] = $"{theirs}down_proj.{what}";
        }
    }

    /// <summary>An option that is written only where it is true.</summary>
    internal static object? Set(bool flag) => flag ? true : null;
}
