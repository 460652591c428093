using System.Text.Json.Nodes;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>Mamba (arXiv 2312.00752) as transformers keeps it; the authors' own files are <see cref="MambaSsmFamily"/>.</summary>
internal class MambaFamily : Family
{
    public override string ModelType => "mamba";

    public override string Architecture => "MambaForCausalLM";

    public override ModelConfig Read(HfConfig c) =>
        Base(c, Enumerable.Repeat(Block(c), LayerCount(c)), "layer_norm_epsilon", tied: true, epsilon: 1e-5);

    public override void Map(HfConfig c, ModelConfig model, WeightMap map)
    {
        MapBackbone(model, map);
        for (int i = 0; i < model.Blocks.Count; i++)
        {
            MapMixer(model.Blocks[i], model.Width, map, $"blocks.{i}.mixer.", $"backbone.layers.{i}.mixer.");
        }
    }

    public override JsonObject? Describe(ModelConfig model)
    {
        if (model.Blocks[0].Name != "mamba")
        {
            return null;
        }

        MambaOptions o = Models.Mamba.Read(new BlockOptions(model.Blocks[0], 0));
        return new JsonObject
        {
            ["hidden_size"] = model.Width,
            ["state_size"] = o.State,
            ["num_hidden_layers"] = model.Blocks.Count,
            ["layer_norm_epsilon"] = model.NormEpsilon,
            ["expand"] = o.Expand,
            ["intermediate_size"] = o.InnerWidth(model.Width),
            ["conv_kernel"] = o.Conv,
            ["time_step_rank"] = o.Rank(model.Width),
            ["use_bias"] = o.Bias,
            ["use_conv_bias"] = o.ConvBias,
            ["hidden_act"] = "silu",
        };
    }

    /// <summary>A layer's block.</summary>
    protected virtual BlockSpec Block(HfConfig c) => MambaOf(c);

    /// <summary>The block by transformers' keys.</summary>
    protected static BlockSpec MambaOf(HfConfig c, params ReadOnlySpan<(string, object?)> more)
    {
        c.Require("hidden_act", "silu", "swish");
        int width = c.Int("hidden_size"), expand = c.Int("expand", 2);
        return Spec.Of("mamba",
        [
            ("state", c.Int("state_size", 16)), .. Inner(width, expand, c.Int("intermediate_size", Times(expand, width))), ("conv", c.Int("conv_kernel", 4)),
            ("dt-rank", Rank(width, c.IntOrAuto("time_step_rank", UsualRank(width)))), .. Biases(c.Flag("use_bias", false), c.Flag("use_conv_bias", true)), .. more,
        ]);
    }

    /// <summary>The options that say the inner width: as a multiple of the model's where it is one.</summary>
    internal static (string, object?)[] Inner(int width, int expand, int inner) => expand is >= 1 and <= 16 && Times(expand, width) == inner ? [("expand", expand)] : [("inner", inner)];

    /// <summary>The option for the rank of the steps; none where it is the usual one, a sixteenth of the width.</summary>
    internal static object? Rank(int width, int rank) => rank == UsualRank(width) ? null : rank;

    /// <summary>The rank of the steps that the word auto stands for.</summary>
    internal static int UsualRank(int width) => (int)((width + 15L) / 16);

    /// <summary>The options for the biases of the projections and of the convolution.</summary>
    internal static (string, object?)[] Biases(bool projections, bool convolution) => [("bias", projections ? true : null), ("conv-bias", convolution ? null : false)];

    /// <summary>a b, at most the largest number: what is too large is refused where it is used.</summary>
    internal static int Times(int a, int b) => (int)Math.Min((long)a * b, int.MaxValue);

    /// <summary>What Mamba's models have around their mixers.</summary>
    internal static void MapBackbone(ModelConfig model, WeightMap map)
    {
        const string Old = "backbone.embedding.weight";
        MapEnds(model, map, map.Has(Old) ? Old : "backbone.embeddings.weight", "backbone.norm_f.weight");
        for (int i = 0; i < model.Blocks.Count; i++)
        {
            map[$"blocks.{i}.norm.weight"] = $"backbone.layers.{i}.norm.weight";
        }
    }

    /// <summary>The tensors of a mixer, with Jamba's norms where it has them.</summary>
    internal static void MapMixer(BlockSpec block, int width, WeightMap map, string ours, string theirs)
    {
        MambaOptions o = Models.Mamba.Read(new BlockOptions(block, 0));
        foreach (string name in (string[])["in_proj.weight", "x_proj.weight", "dt_proj.weight", "dt_proj.bias", "A_log", "D", "out_proj.weight"])
        {
            map[ours + name] = theirs + name;
        }

        foreach (string name in (string[])(o.Bias ? ["in_proj.bias", "out_proj.bias"] : []))
        {
            map[ours + name] = theirs + name;
        }

        foreach (string name in (string[])(o.Norm == MambaNorm.Learned ? ["dt", "b", "c"] : []))
        {
            map[$"{ours}{name}_norm.weight"] = $"{theirs}{name}_layernorm.weight";
        }

        MapConvolution(map, ours + "conv1d.", theirs + "conv1d.", o.InnerWidth(width), o.Conv, o.ConvBias);
    }

    /// <summary>A depthwise convolution, which torch keeps as [channels, 1, taps].</summary>
    internal static void MapConvolution(WeightMap map, string ours, string theirs, int channels, int taps, bool bias)
    {
        map[ours + "weight"] = WeightSource.Of(theirs + "weight").As(channels, 1, taps);
        if (bias)
        {
            map[ours + "bias"] = theirs + "bias";
        }
    }
}
