using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>Bamba (IBM, Princeton, CMU and UIUC, 2024): Mamba-2 or, in a few layers, attention that turns half of each head's columns, and a gated MLP.</summary>
internal sealed class BambaFamily : Family
{
    public override string ModelType => "bamba";

    public override string Architecture => "BambaForCausalLM";

    // A z_loss_coefficient is part of the reference's training loss, not of the model.
    public override ModelConfig Read(HfConfig c)
    {
        int[] attention = c.Ints("attn_layer_indices") ?? [];
        return Base(c, Pairs(LayerCount(c), i => attention.Contains(i) ? Attention(c) : Mamba(c), _ => LlamaFamily.Mlp(c)), epsilon: 1e-5);
    }

    public override void Map(HfConfig c, ModelConfig model, WeightMap map)
    {
        MapEnds(model, map, "model.embed_tokens.weight", "model.final_layernorm.weight");
        foreach (Layer layer in LayersOf(model))
        {
            MapAttentionOrMamba(layer, model.Width, map);
            map[layer.Second + "norm.weight"] = layer.Theirs + "pre_ff_layernorm.weight";
            LlamaFamily.MapMlp(layer.Channels, map, layer.Second + "mixer.", layer.Theirs + "feed_forward.");
        }
    }

    private static BlockSpec Attention(HfConfig c)
    {
        object? bias = Set(c.Flag("attention_bias", false));
        return Spec.Of("attention", [.. LlamaFamily.Heads(c), .. Rotary.Options(c, LlamaFamily.HeadDim(c), part: 0.5), ("bias", bias), ("output-bias", bias)]);
    }

    private static BlockSpec Mamba(HfConfig c) =>
        MambaOf(c, MambaFamily.Times(c.Int("mamba_expand", 2), c.Int("hidden_size")), ("norm-groups", Mamba2Family.OneGroup(c.Int("mamba_n_groups", 1))));

    /// <summary>Mamba-2 by the keys that hybrids have from Bamba.</summary>
    internal static BlockSpec MambaOf(HfConfig c, int inner, params ReadOnlySpan<(string, object?)> more)
    {
        c.Require("hidden_act", "silu", "swish");
        int heads = c.Int("mamba_n_heads", 128), headDim = c.IntOrAuto("mamba_d_head", inner / Math.Max(1, heads));
        return Spec.Of("mamba2",
        [
            ("state", c.Int("mamba_d_state", 256)), ("head-dim", headDim),
            .. MambaFamily.Inner(c.Int("hidden_size"), c.Int("mamba_expand", 2), Mamba2Family.Inner(c, inner, "mamba_n_heads", heads, headDim)),
            ("groups", c.Int("mamba_n_groups", 1)), ("conv", c.Int("mamba_d_conv", 4)), .. MambaFamily.Biases(c.Flag("mamba_proj_bias", false), c.Flag("mamba_conv_bias", true)),
            ("norm-epsilon", c.Real("rms_norm_eps", 1e-5)), .. Mamba2Family.Steps(c), .. more,
        ]);
    }
}
