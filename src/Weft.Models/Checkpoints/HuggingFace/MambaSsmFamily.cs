using System.Text.Json;
using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// Mamba and Mamba-2 as their authors' package mamba_ssm keeps them: sizes under ssm_cfg, no model_type, a vocabulary that is rounded up.
/// </summary>
internal sealed class MambaSsmFamily : Family
{
    // Of the mixers' arguments: those that say what is computed, those that say how, and those for initial values only.
    private static readonly string[] Both = ["layer", "d_state", "d_conv", "expand", "bias", "conv_bias", "dt_min", "dt_max", "dt_init_floor"];
    private static readonly string[] First = [.. Both, "dt_rank", "use_fast_path", "dt_init", "dt_scale"];
    private static readonly string[] Second =
        [.. Both, "headdim", "d_ssm", "ngroups", "rmsnorm", "norm_before_gate", "dt_limit", "D_has_hdim", "chunk_size", "use_mem_eff_path", "conv_init", "A_init_range"];

    public override string ModelType => "mamba_ssm";

    public override string Architecture => "MambaLMHeadModel";

    public override bool Takes(HfConfig config) => !config.Has("model_type") && config.Has("d_model") && config.Has("n_layer");

    public override ModelConfig Read(HfConfig c)
    {
        c.Require("rms_norm", "true");
        c.Require("d_intermediate", "0");
        if (c.Ints("attn_layer_idx") is { Length: > 0 })
        {
            throw c.Bad("attn_layer_idx", "layers of attention are not supported; what is: []");
        }

        int width = c.Int("d_model"), multiple = Math.Max(1, c.Int("pad_vocab_size_multiple", 8));
        return new ModelConfig
        {
            Name = "model",
            Vocabulary = (int)Math.Min(int.MaxValue, ((long)c.Int("vocab_size") + multiple - 1) / multiple * multiple),
            Width = width,
            Blocks = new Pattern(Enumerable.Repeat(Block(c.Object("ssm_cfg") ?? HfConfig.Read("{}"u8, c.Path), width), LayerCount(c, "n_layer"))),
            TieEmbeddings = c.Flag("tie_embeddings", true),
            NormEpsilon = 1e-5f,
            Context = 1024,
        };
    }

    public override void Map(HfConfig c, ModelConfig model, WeightMap map) => MambaFamily.MapBackbone(model, map);

    private static BlockSpec Block(HfConfig c, int width)
    {
        c.Require("layer", "Mamba1", "Mamba2");
        bool second = c.Text("layer", "Mamba1") == "Mamba2";
        foreach (JsonProperty property in c.Json.EnumerateObject())
        {
            if (!(second ? Second : First).Contains(property.Name))
            {
                throw c.Bad(property.Name, $"it is not supported; what is: {string.Join(", ", second ? Second : First)}");
            }
        }

        int expand = c.Int("expand", 2), inner = MambaFamily.Times(expand, width);
        (string, object?)[] common =
        [
            ("state", c.Int("d_state", second ? 128 : 16)), .. MambaFamily.Inner(width, expand, inner), ("conv", c.Int("d_conv", 4)),
            .. MambaFamily.Biases(c.Flag("bias", false), c.Flag("conv_bias", true)),
        ];
        if (!second)
        {
            return Spec.Of("mamba", [.. common, ("dt-rank", MambaFamily.Rank(width, c.IntOrAuto("dt_rank", MambaFamily.UsualRank(width))))]);
        }

        c.Require("D_has_hdim", "false");
        if (c.Int("d_ssm", inner) != inner)
        {
            throw c.Bad("d_ssm", $"other than the inner width {inner} is not supported");
        }

        string norm = !c.Flag("rmsnorm", true) ? "none" : c.Flag("norm_before_gate", false) ? "norm-first" : "gate-first";
        return Spec.Of("mamba2", [.. common, ("head-dim", c.Int("headdim", 64)), ("groups", c.Int("ngroups", 1)), ("norm", norm), .. Mamba2Family.Steps(c, "dt_limit")]);
    }
}
