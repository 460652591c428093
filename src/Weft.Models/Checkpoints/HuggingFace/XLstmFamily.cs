using System.Text.Json.Nodes;
using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>xLSTM-7B (arXiv 2503.13427): mLSTM layers and gated MLPs in turn, gates and logits soft-capped.</summary>
internal sealed class XLstmFamily : Family
{
    public override string ModelType => "xlstm";

    public override string Architecture => "xLSTMForCausalLM";

    public override ModelConfig Read(HfConfig config)
    {
        HfConfig c = Spelled(config);
        int width = c.Int("hidden_size"), layers = LayerCount(c);
        Same("hidden_size", "embedding_dim", width);
        Same("num_hidden_layers", "num_blocks", layers);
        c.Require("weight_mode", "single", "fused");
        bool bias = c.Flag("use_bias", false);
        string? norm = bias ? "biased-rms" : null;
        double epsilon = c.Real("norm_eps", 1e-6);
        BlockSpec mlstm = Spec.Of("xlstm",
            ("heads", c.Int("num_heads")), ("qk-dim", Columns("qk_dim_factor", 0.5)), ("v-dim", Columns("v_dim_factor", 1)), ("gate-cap", c.Real("gate_soft_cap", 15)),
            ("bias", Set(bias)), ("epsilon", c.Real("eps", 1e-6)), ("norm-epsilon", epsilon), ("pre-norm", norm));
        BlockSpec mlp = Spec.Of("swiglu", ("hidden", Hidden()), ("bias", Set(bias)), ("pre-norm", norm));
        double cap = c.Real("output_logit_soft_cap", 30);
        return Base(c, Pairs(layers, _ => mlstm, _ => mlp), "norm_eps") with
        {
            LogitCap = cap > 0 ? (float)cap : throw c.Bad("output_logit_soft_cap", "a number above 0 is expected"),
            TieEmbeddings = false, // whatever tie_word_embeddings says: transformers does not tie this family's
        };

        void Same(string key, string other, int value)
        {
            if (config.Int(key, value) != value)
            {
                throw config.Bad(key, $"{config.Int(key)} is not the same as {other}, which is {value}");
            }
        }

        int Columns(string key, double usual) => Whole(key, Math.Truncate(width * c.Real(key, usual)));

        // Rounded up as the reference does: a width that is no whole number is not quite.
        int Hidden()
        {
            double multiple = c.Int("ffn_round_up_to_multiple_of", 64);
            return Whole("ffn_proj_factor", Math.Floor(((width * c.Real("ffn_proj_factor", 2.667)) + multiple - 1) / multiple) * multiple);
        }

        int Whole(string key, double value) => value is >= 1 and <= 1 << 20 ? (int)value : throw c.Bad(key, $"it makes {value} columns");
    }

    public override void Map(HfConfig config, ModelConfig model, WeightMap map)
    {
        HfConfig c = Spelled(config);
        bool fused = c.Text("weight_mode", "single") == "fused", bias = c.Flag("use_bias", false);
        MapEnds(model, map, "backbone.embeddings.weight", "backbone.out_norm.weight");
        foreach (Layer layer in LayersOf(model, "backbone.blocks."))
        {
            string mixer = layer.First + "mixer.", mlp = layer.Second + "mixer.", mlstm = layer.Theirs + "mlstm_layer.", ffn = layer.Theirs + "ffn.";
            int heads = Number(layer.Mixer, "heads"), keys = Number(layer.Mixer, "qk-dim"), values = Number(layer.Mixer, "v-dim"), hidden = Number(layer.Channels, "hidden");
            MapWhole(map, layer.First + "norm.", layer.Theirs + "norm_mlstm.", bias);
            MapWhole(map, mixer + "norm.", mlstm + "multihead_norm.", bias);
            MapWhole(map, mixer + "out_proj.", mlstm + "out_proj.", bias);
            MapWhole(map, layer.Second + "norm.", layer.Theirs + "norm_ffn.", bias);
            MapWhole(map, mlp + "down_proj.", ffn + "proj_down.", bias);
            foreach (string what in WeightAndBias(bias))
            {
                map[$"{mixer}in_proj.{what}"] = fused ? $"{mlstm}qkv_opreact.{what}" : Stack(mlstm, what, ("q", keys), ("k", keys), ("v", values), ("ogate_preact", values));
                map[$"{mlp}gate_up_proj.{what}"] = fused ? $"{ffn}proj_up_gate_z.{what}" : Stack(ffn, what, ("proj_up_gate", hidden), ("proj_up", hidden));
            }

            foreach (string what in WeightAndBias(true))
            {
                map[$"{mixer}gates.{what}"] = fused ? $"{mlstm}ifgate_preact.{what}" : Stack(mlstm, what, ("igate_preact", heads), ("fgate_preact", heads));
            }
        }

        static WeightSource Stack(string module, string what, params IEnumerable<(string Name, int Rows)> parts) =>
            WeightSource.Stack(parts.Select(p => WeightSource.Of($"{module}{p.Name}.{what}", p.Rows)));
    }

    public override JsonObject? Describe(ModelConfig model)
    {
        if (model.Blocks.Count < 2 || model.Blocks[0].Name != "xlstm" || model.Blocks[1].Name != "swiglu")
        {
            return null;
        }

        BlockOptions mlstm = new(model.Blocks[0], 0), mlp = new(model.Blocks[1], 1);
        int hidden = mlp.Int("hidden", SwiGlu.UsualHidden(model.Width), 1, int.MaxValue);
        return new JsonObject
        {
            ["hidden_size"] = model.Width,
            ["embedding_dim"] = model.Width,
            ["num_hidden_layers"] = model.Blocks.Count / 2,
            ["num_blocks"] = model.Blocks.Count / 2,
            ["num_heads"] = mlstm.Int("heads", 4, 1, int.MaxValue),
            ["qk_dim_factor"] = Factor(mlstm.Int("qk-dim", Math.Max(1, model.Width / 2), 1, int.MaxValue)),
            ["v_dim_factor"] = Factor(mlstm.Int("v-dim", model.Width, 1, int.MaxValue)),
            ["gate_soft_cap"] = (float)mlstm.Real("gate-cap", 15, 0, double.MaxValue),
            ["use_bias"] = mlstm.Flag("bias", false),
            ["eps"] = (float)mlstm.Real("epsilon", 1e-6, 0, 1),
            ["norm_eps"] = model.NormEpsilon,
            ["ffn_proj_factor"] = Factor(hidden),
            ["ffn_round_up_to_multiple_of"] = 1,
            ["output_logit_soft_cap"] = model.LogitCap,
            ["weight_mode"] = "single",
        };

        double Factor(int columns) => Math.BitIncrement((double)columns / model.Width); // so that it is not cut to one column less
    }

    private static HfConfig Spelled(HfConfig config) => config.Spelled(("hidden_size", "embedding_dim"), ("num_hidden_layers", "num_blocks"));
}
