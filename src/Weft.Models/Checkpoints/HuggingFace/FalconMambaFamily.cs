using System.Text.Json.Nodes;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>Falcon Mamba (arXiv 2410.05355): Mamba with norms, without weights, of dt, B and C.</summary>
internal sealed class FalconMambaFamily : MambaFamily
{
    public override string ModelType => "falcon_mamba";

    public override string Architecture => "FalconMambaForCausalLM";

    public override JsonObject? Describe(ModelConfig model)
    {
        JsonObject? json = base.Describe(model);
        json?["mixer_rms_eps"] = Models.Mamba.Read(new BlockOptions(model.Blocks[0], 0)).NormEpsilon;
        return json;
    }

    protected override BlockSpec Block(HfConfig c) => MambaOf(c, ("norm", "plain"), ("norm-epsilon", c.Real("mixer_rms_eps", 1e-6)));
}
