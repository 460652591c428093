using System.Text.Json.Nodes;
using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>GPT-2 (Radford et al. 2019): attention and MLPs in turn, learned positions, layer norms, biases everywhere; weights lie as [in, out].</summary>
internal sealed class Gpt2Family : Family
{
    public override string ModelType => "gpt2";

    public override string Architecture => "GPT2LMHeadModel";

    public override ModelConfig Read(HfConfig config)
    {
        HfConfig c = Spelled(config);
        int heads = c.Int("num_attention_heads"), width = c.Int("hidden_size"), positions = c.Int("max_position_embeddings", 1024);
        c.Require("add_cross_attention", "false");
        bool byHead = c.Flag("scale_attn_weights", true), byLayer = c.Flag("scale_attn_by_inverse_layer_idx", false);
        if (heads < 1 || width % heads != 0)
        {
            throw c.Bad("n_head", $"{heads} heads do not divide the width {width}");
        }

        BlockSpec mlp = Spec.Of("mlp", ("hidden", c.Int("n_inner", 4 * Math.Min(width, 1 << 20))), ("activation", CommonKeys.Activation(c, "activation_function", "gelu_new")), ("bias", true), ("pre-norm", "layer"));
        return Base(c, Pairs(LayerCount(c), Attention, _ => mlp), "layer_norm_epsilon", tied: true, epsilon: 1e-5) with
        {
            Positions = positions > 0 ? positions : throw c.Bad("n_positions", "a number above 0 is expected"),
            FinalNorm = NormKind.Layer,
        };

        BlockSpec Attention(int layer)
        {
            double scale = (byHead ? 1 / Math.Sqrt(width / heads) : 1) / (byLayer ? layer + 1 : 1);
            return Spec.Of("attention",
                ("heads", heads), ("positions", "none"), ("scale", byHead && !byLayer ? null : scale), ("bias", true), ("output-bias", true), ("pre-norm", "layer"));
        }
    }

    public override void Map(HfConfig config, ModelConfig model, WeightMap map)
    {
        // The published files are of the model without its head.
        string prefix = map.Has("wte.weight") && !map.Has("transformer.wte.weight") ? "" : "transformer.";
        map["embedding.weight"] = prefix + "wte.weight";
        map["positions.weight"] = prefix + "wpe.weight";
        MapWhole(map, "norm.", prefix + "ln_f.", bias: true);
        MapHead(model, map);
        map.Ignore(key => key.EndsWith(".attn.bias", StringComparison.Ordinal) || key.EndsWith(".attn.masked_bias", StringComparison.Ordinal)); // the causal mask
        foreach (Layer layer in LayersOf(model, prefix + "h."))
        {
            MapWhole(map, layer.First + "norm.", layer.Theirs + "ln_1.", bias: true);
            Linear(layer.First + "mixer.qkv_proj.", layer.Theirs + "attn.c_attn.");
            Linear(layer.First + "mixer.out_proj.", layer.Theirs + "attn.c_proj.");
            MapWhole(map, layer.Second + "norm.", layer.Theirs + "ln_2.", bias: true);
            Linear(layer.Second + "mixer.up_proj.", layer.Theirs + "mlp.c_fc.");
            Linear(layer.Second + "mixer.down_proj.", layer.Theirs + "mlp.c_proj.");
        }

        void Linear(string ours, string theirs)
        {
            map[ours + "weight"] = WeightSource.Transpose(theirs + "weight");
            map[ours + "bias"] = theirs + "bias";
        }
    }

    public override JsonObject? Describe(ModelConfig model)
    {
        if (model.Blocks.Count < 2 || model.Blocks[0].Name != "attention" || model.Blocks[1].Name != "mlp" || model.Positions == 0)
        {
            return null;
        }

        (int heads, _, int headDim) = Models.Attention.ReadHeads(new BlockOptions(model.Blocks[0], 0), model.Width);
        double first = new BlockOptions(model.Blocks[0], 0).Real("scale", 0, -1e3, 1e3), second = new BlockOptions(model.Blocks[^2], 0).Real("scale", 0, -1e3, 1e3);
        return new JsonObject
        {
            ["n_embd"] = model.Width,
            ["n_head"] = heads,
            ["n_layer"] = model.Blocks.Count / 2,
            ["n_inner"] = new BlockOptions(model.Blocks[1], 1).Int("hidden", 4 * model.Width, 1, int.MaxValue),
            ["n_positions"] = model.Positions,
            ["activation_function"] = new BlockOptions(model.Blocks[1], 1).Choice("activation", "gelu-tanh", "gelu-tanh", "gelu", "relu", "relu2", "silu") is "gelu-tanh" ? "gelu_new" : model.Blocks[1].Find("activation"),
            ["layer_norm_epsilon"] = model.NormEpsilon,
            ["scale_attn_weights"] = (float)first == 0 || (float)first == (float)(1 / Math.Sqrt(headDim)),
            ["scale_attn_by_inverse_layer_idx"] = first != second,
        };
    }

    private static HfConfig Spelled(HfConfig config) =>
        config.Spelled(("hidden_size", "n_embd"), ("max_position_embeddings", "n_positions"), ("num_attention_heads", "n_head"), ("num_hidden_layers", "n_layer"));
}
