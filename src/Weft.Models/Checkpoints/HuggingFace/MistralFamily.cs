namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>Mistral (arXiv 2310.06825): Llama with a sliding window.</summary>
internal sealed class MistralFamily : LlamaFamily
{
    public override string ModelType => "mistral";

    public override string Architecture => "MistralForCausalLM";

    protected override BlockSpec Attention(HfConfig c, int layer) => AttentionOf(c, ("window", c.Has("sliding_window") ? c.Int("sliding_window") : null));
}
