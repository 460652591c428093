using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// Falcon-H1 (arXiv 2507.22448): in each layer Mamba-2 and attention side by side after one norm, then a gated MLP, with constant factors
/// on most of what is computed.
/// </summary>
internal sealed class FalconH1Family : Family
{
    public override string ModelType => "falcon_h1";

    public override string Architecture => "FalconH1ForCausalLM";

    public override ModelConfig Read(HfConfig c)
    {
        BlockSpec[] layer = [Mamba(c), Attention(c), Mlp(c)];
        return Base(c, Enumerable.Repeat(layer, LayerCount(c)).SelectMany(b => b), epsilon: 1e-5) with
        {
            EmbeddingScale = (float)c.Real("embedding_multiplier", 1),
            LogitScale = (float)c.Real("lm_head_multiplier", 1),
        };
    }

    public override void Map(HfConfig c, ModelConfig model, WeightMap map)
    {
        MapEnds(model, map, "model.embed_tokens.weight", "model.final_layernorm.weight");
        for (int i = 0; i < model.Blocks.Count / 3; i++)
        {
            (string mamba, string attention, string mlp, string layer) = ($"blocks.{3 * i}.", $"blocks.{(3 * i) + 1}.", $"blocks.{(3 * i) + 2}.", $"model.layers.{i}.");
            map[mamba + "norm.weight"] = layer + "input_layernorm.weight";
            Mamba2Family.MapMixer(model.Blocks[3 * i], model.Width, map, mamba + "mixer.", layer + "mamba.");
            LlamaFamily.MapAttention(model.Blocks[(3 * i) + 1], model.Width, map, attention + "mixer.", layer + "self_attn.");
            map[mlp + "norm.weight"] = layer + "pre_ff_layernorm.weight";
            LlamaFamily.MapMlp(model.Blocks[(3 * i) + 2], map, mlp + "mixer.", layer + "feed_forward.");
        }
    }

    private static BlockSpec Mamba(HfConfig c)
    {
        int inner = c.Int("mamba_d_ssm", MambaFamily.Times(c.Int("mamba_expand", 2), c.Int("hidden_size")));
        double[] scales = Factors(c, "ssm_multipliers", 5);
        string norm = !c.Flag("mamba_rms_norm", false) ? "none" : c.Flag("mamba_norm_before_gate", true) ? "norm-first" : "gate-first";
        bool inBias = c.Flag("mamba_proj_bias", false), outBias = c.Flag("projectors_bias", false);
        return BambaFamily.MambaOf(c, inner,
            ("norm", norm), ("out-bias", outBias == inBias ? null : outBias), ("input-scale", Factor(c, "ssm_in_multiplier")), ("branch-scale", Factor(c, "ssm_out_multiplier")),
            ("scale-z", Other(scales[0])), ("scale-x", Other(scales[1])), ("scale-b", Other(scales[2])), ("scale-c", Other(scales[3])), ("scale-dt", Other(scales[4])));
    }

    // A factor of the keys is one of the scores: positions turn what is multiplied as they turn what is not.
    private static BlockSpec Attention(HfConfig c)
    {
        object? bias = Set(c.Flag("attention_bias", false));
        double keys = c.Real("key_multiplier", 1);
        return LlamaFamily.AttentionOf(c,
            ("parallel", true), ("bias", bias), ("output-bias", bias), ("scale", keys == 1 ? null : keys == 0 ? throw c.Bad("key_multiplier", "0 is not supported") : keys / Math.Sqrt(LlamaFamily.HeadDim(c))),
            ("input-scale", Factor(c, "attention_in_multiplier")), ("branch-scale", Factor(c, "attention_out_multiplier")));
    }

    private static BlockSpec Mlp(HfConfig c)
    {
        double[] scales = Factors(c, "mlp_multipliers", 2);
        BlockSpec plain = LlamaFamily.Mlp(c), scaled = Spec.Of(plain.Name, ("gate-scale", Other(scales[0])), ("branch-scale", Other(scales[1])));
        return new BlockSpec(plain.Name, [.. plain.Options, .. scaled.Options]);
    }

    private static double[] Factors(HfConfig c, string key, int count)
    {
        double[] factors = c.Reals(key) ?? [.. Enumerable.Repeat(1.0, count)];
        return factors.Length == count ? factors : throw c.Bad(key, $"{count} numbers are expected");
    }

    private static double? Factor(HfConfig c, string key) => Other(c.Real(key, 1));

    // A factor of 1 is left out.
    private static double? Other(double factor) => factor == 1 ? null : factor;
}
