namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>Qwen3 (arXiv 2505.09388): Qwen2 with norms of each head's queries and keys instead of biases.</summary>
internal sealed class Qwen3Family : Qwen2Family
{
    public override string ModelType => "qwen3";

    public override string Architecture => "Qwen3ForCausalLM";

    protected override BlockSpec Attention(HfConfig c, int layer)
    {
        bool bias = c.Flag("attention_bias", false);
        return AttentionOf(c, ("qk-norm", "head"), ("norm-epsilon", c.Real("rms_norm_eps", 1e-6)), ("window", Window(c, layer)), ("bias", Set(bias)), ("output-bias", Set(bias)));
    }
}
