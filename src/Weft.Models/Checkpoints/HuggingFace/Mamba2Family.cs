using System.Text.Json.Nodes;
using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>Mamba-2 (arXiv 2405.21060) as transformers keeps it, which normalises over all channels, whatever the groups of B and C.</summary>
internal sealed class Mamba2Family : Family
{
    public override string ModelType => "mamba2";

    public override string Architecture => "Mamba2ForCausalLM";

    public override ModelConfig Read(HfConfig c) =>
        Base(c, Enumerable.Repeat(Block(c), LayerCount(c)), "layer_norm_epsilon", tied: false, epsilon: 1e-5);

    public override void Map(HfConfig c, ModelConfig model, WeightMap map)
    {
        MambaFamily.MapBackbone(model, map);
        for (int i = 0; i < model.Blocks.Count; i++)
        {
            MapMixer(model.Blocks[i], model.Width, map, $"blocks.{i}.mixer.", $"backbone.layers.{i}.mixer.");
        }
    }

    public override JsonObject? Describe(ModelConfig model)
    {
        if (model.Blocks[0].Name != "mamba2")
        {
            return null;
        }

        Mamba2Options o = Models.Mamba2.Read(new BlockOptions(model.Blocks[0], 0), model.Width);
        int inner = o.InnerWidth(model.Width);
        return new JsonObject
        {
            ["hidden_size"] = model.Width,
            ["state_size"] = o.State,
            ["num_hidden_layers"] = model.Blocks.Count,
            ["layer_norm_epsilon"] = model.NormEpsilon,
            ["expand"] = inner / model.Width,
            ["num_heads"] = inner / o.HeadDim,
            ["head_dim"] = o.HeadDim,
            ["n_groups"] = o.Groups,
            ["conv_kernel"] = o.Conv,
            ["chunk_size"] = 256,
            ["time_step_limit"] = new JsonArray(o.StepMin, o.StepMax > 0 ? o.StepMax : new JsonObject { ["__float__"] = "Infinity" }),
            ["use_bias"] = o.Bias,
            ["use_conv_bias"] = o.ConvBias,
            ["hidden_act"] = "silu",
        };
    }

    private static BlockSpec Block(HfConfig c)
    {
        c.Require("hidden_act", "silu", "swish");
        int width = c.Int("hidden_size"), expand = c.Int("expand", 2), headDim = c.Int("head_dim", 64), groups = c.Int("n_groups", 8);
        int inner = Inner(c, MambaFamily.Times(expand, width), "num_heads", c.Int("num_heads", 128), headDim);
        return Spec.Of("mamba2",
        [
            ("state", c.Int("state_size", 128)), ("head-dim", headDim), .. MambaFamily.Inner(width, expand, inner), ("groups", groups), ("conv", c.Int("conv_kernel", 4)),
            .. MambaFamily.Biases(c.Flag("use_bias", false), c.Flag("use_conv_bias", true)),
            ("norm-groups", OneGroup(groups)), ("norm-epsilon", c.Real("layer_norm_epsilon", 1e-5)), .. Steps(c),
        ]);
    }

    /// <summary>The inner width, which the heads must make up.</summary>
    internal static int Inner(HfConfig c, int inner, string key, int heads, int headDim) => (long)heads * headDim == inner ? inner
        : throw c.Bad(key, $"{heads} heads of {headDim} channels do not make up the inner width {inner}");

    /// <summary>The option for a norm over all channels, where B and C have groups.</summary>
    internal static object? OneGroup(int groups) => groups == 1 ? null : 1;

    /// <summary>The bounds of dt.</summary>
    internal static (string, object?)[] Steps(HfConfig c, string key = "time_step_limit")
    {
        double[] limit = c.Reals(key) ?? [0, double.PositiveInfinity];
        return limit is [double low, > 0 and double high] && low <= high
            ? [("dt-min", low > 0 ? low : null), ("dt-max", high < float.MaxValue ? high : null)]
            : throw c.Bad(key, "two numbers are expected, the second above 0 and not below the first");
    }

    /// <summary>The tensors of a mixer.</summary>
    internal static void MapMixer(BlockSpec block, int width, WeightMap map, string ours, string theirs)
    {
        Mamba2Options o = Models.Mamba2.Read(new BlockOptions(block, 0), width);
        (string Name, bool Has)[] names =
        [
            ("in_proj.weight", true), ("in_proj.bias", o.Bias), ("A_log", true), ("D", true), ("dt_bias", true), ("norm.weight", o.Norm != Mamba2Norm.None),
            ("out_proj.weight", true), ("out_proj.bias", o.OutBias ?? o.Bias),
        ];
        foreach ((string name, _) in names.Where(n => n.Has))
        {
            map[ours + name] = theirs + name;
        }

        MambaFamily.MapConvolution(map, ours + "conv1d.", theirs + "conv1d.", o.InnerWidth(width) + (2 * o.Groups * o.State), o.Conv, o.ConvBias);
    }
}
