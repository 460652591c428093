using System.Text.Json.Nodes;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// RecurrentGemma (arXiv 2404.07839): Griffin's recurrent blocks (arXiv 2402.19427) and local attention in turn, each followed by an MLP gated by gelu.
/// Norms multiply by 1 + w, embedded tokens are multiplied by the root of the width, logits are capped.
/// </summary>
internal sealed class RecurrentGemmaFamily : Family
{
    public override string ModelType => "recurrent_gemma";

    public override string Architecture => "RecurrentGemmaForCausalLM";

    public override ModelConfig Read(HfConfig c)
    {
        c.Require("hidden_activation", "gelu_pytorch_tanh", "gelu_new", "gelu_fast");
        double cap = c.Real("logits_soft_cap", 30);
        string[] kinds = c.Texts("block_types") ?? ["recurrent", "recurrent", "attention"];
        return cap <= 0 ? throw c.Bad("logits_soft_cap", "a number above 0 is expected")
            : kinds.Length == 0 ? throw c.Bad("block_types", "it is empty")
            : Base(c, Pairs(LayerCount(c), i => Mixer(c, kinds[i % kinds.Length]), _ => Mlp(c)), tied: true) with
            {
                EmbeddingScale = ToBFloat16(Math.Sqrt(c.Int("hidden_size"))),
                LogitCap = (float)cap,
            };
    }

    public override void Map(HfConfig c, ModelConfig model, WeightMap map)
    {
        MapEnds(model, map, "model.embed_tokens.weight", WeightSource.Of("model.final_norm.weight").Plus(1));
        foreach (Layer layer in LayersOf(model))
        {
            map[layer.First + "norm.weight"] = WeightSource.Of(layer.Theirs + "temporal_pre_norm.weight").Plus(1);
            if (layer.Attends)
            {
                LlamaFamily.MapAttention(layer.Mixer, model.Width, map, layer.First + "mixer.", layer.Theirs + "temporal_block.");
            }
            else
            {
                MapRecurrence(c, map, layer.First + "mixer.", layer.Theirs + "temporal_block.");
            }

            map[layer.Second + "norm.weight"] = WeightSource.Of(layer.Theirs + "channel_pre_norm.weight").Plus(1);
            LlamaFamily.MapMlp(layer.Channels, map, layer.Second + "mixer.", layer.Theirs + "mlp_block.");
        }
    }

    public override JsonObject? Describe(ModelConfig model)
    {
        BlockSpec? unit = Find(model, "rg-lru"), attention = Find(model, "attention");
        return NumberOf(Find(model, "swiglu"), "hidden") is not { } hidden || (unit ?? attention) is null ? null : new JsonObject
        {
            ["hidden_size"] = model.Width,
            ["intermediate_size"] = 2 * hidden.GetValue<double>(),
            ["num_hidden_layers"] = model.Blocks.Count / 2,
            ["block_types"] = KindsOf(model, l => l.Attends ? "attention" : "recurrent"),
            ["hidden_activation"] = "gelu_pytorch_tanh",
            ["rms_norm_eps"] = model.NormEpsilon,
            ["num_attention_heads"] = NumberOf(attention ?? unit, "heads"),
            ["num_key_value_heads"] = NumberOf(attention, "kv-heads"),
            ["head_dim"] = NumberOf(attention, "head-dim") ?? 1,
            ["attention_bias"] = FlagOf(attention, "bias"),
            ["attention_window_size"] = NumberOf(attention, "window"),
            ["rope_parameters"] = RotaryOf(attention),
            ["lru_width"] = NumberOf(unit, "d-rnn"),
            ["conv1d_width"] = NumberOf(unit, "conv"),
            ["logits_soft_cap"] = model.LogitCap,
        };
    }

    private static BlockSpec Mixer(HfConfig c, string kind) => kind switch
    {
        "recurrent" => Spec.Of("rg-lru", ("d-rnn", Inner(c)), ("heads", c.Int("num_attention_heads")), ("conv", c.Int("conv1d_width", 4))),
        "attention" => Spec.Of("attention",
        [
            .. LlamaFamily.Heads(c), ("window", c.Int("attention_window_size", c.Int("sliding_window", 2048))), .. Positions(c),
            ("bias", Set(c.Flag("attention_bias", false))), ("output-bias", true),
        ]),
        _ => throw c.Bad("block_types", $"{PatternText.Quote(kind)} is not supported; what is: attention, recurrent"),
    };

    private static (string, object?)[] Positions(HfConfig c)
    {
        if (c.Object("rope_parameters") is { } rope)
        {
            rope.Require("rope_type", "default"); // as the reference
        }

        return Rotary.Options(c, LlamaFamily.HeadDim(c), part: 0.5);
    }

    // The configuration counts gate and up together.
    private static BlockSpec Mlp(HfConfig c) => Spec.Of("swiglu", ("hidden", c.Int("intermediate_size") / 2), ("activation", "gelu-tanh"), ("bias", true));

    private static int Inner(HfConfig c) => c.Int("lru_width", c.Int("hidden_size"));

    private static void MapRecurrence(HfConfig c, WeightMap map, string ours, string theirs)
    {
        int inner = Inner(c), heads = c.Int("num_attention_heads");
        foreach (string what in WeightAndBias(true))
        {
            map[$"{ours}in_proj.{what}"] = WeightSource.Stack(WeightSource.Of($"{theirs}linear_y.{what}", inner), WeightSource.Of($"{theirs}linear_x.{what}", inner));
        }

        MapWhole(map, ours + "out_proj.", theirs + "linear_out.", bias: true);
        MambaFamily.MapConvolution(map, ours + "conv1d.", theirs + "conv_1d.", inner, c.Int("conv1d_width", 4), bias: true);
        map[ours + "recurrence_gate.weight"] = theirs + "rg_lru.recurrent_gate_weight";
        map[ours + "recurrence_gate.bias"] = WeightSource.Of(theirs + "rg_lru.recurrent_gate_bias").As(heads, inner / heads);
        map[ours + "input_gate.weight"] = theirs + "rg_lru.input_gate_weight";
        map[ours + "input_gate.bias"] = WeightSource.Of(theirs + "rg_lru.input_gate_bias").As(heads, inner / heads);
        map[ours + "lambda"] = theirs + "rg_lru.recurrent_param";
    }

    // The reference holds the embedding's factor in bfloat16: to the nearest, ties to even.
    private static float ToBFloat16(double value)
    {
        uint bits = BitConverter.SingleToUInt32Bits((float)value);
        return BitConverter.UInt32BitsToSingle((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000);
    }
}
