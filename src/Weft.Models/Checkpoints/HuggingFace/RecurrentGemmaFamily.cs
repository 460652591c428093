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
            : Base(c, Enumerable.Range(0, LayerCount(c)).SelectMany<int, BlockSpec>(i => [Mixer(c, kinds[i % kinds.Length]), Mlp(c)]), tied: true) with
            {
                EmbeddingScale = ToBFloat16(Math.Sqrt(c.Int("hidden_size"))),
                LogitCap = (float)cap,
            };
    }

    public override void Map(HfConfig c, ModelConfig model, WeightMap map)
    {
        map["embedding.weight"] = "model.embed_tokens.weight";
        map["norm.weight"] = WeightSource.Of("model.final_norm.weight").Plus(1);
        MapHead(model, map);
        for (int i = 0; i < model.Blocks.Count / 2; i++)
        {
            string theirs = $"model.layers.{i}.", mixer = $"blocks.{2 * i}.", mlp = $"blocks.{(2 * i) + 1}.";
            map[mixer + "norm.weight"] = WeightSource.Of(theirs + "temporal_pre_norm.weight").Plus(1);
            map[mlp + "norm.weight"] = WeightSource.Of(theirs + "channel_pre_norm.weight").Plus(1);
            if (model.Blocks[2 * i].Name == "attention")
            {
                LlamaFamily.MapAttention(c, model.Blocks[2 * i], map, mixer + "mixer.", theirs + "temporal_block.");
            }
            else
            {
                MapRecurrence(c, map, mixer + "mixer.", theirs + "temporal_block.");
            }

            foreach (string what in (string[])["weight", "bias"])
            {
                map[$"{mlp}mixer.gate_up_proj.{what}"] = WeightSource.Stack(WeightSource.Of($"{theirs}mlp_block.gate_proj.{what}", Hidden(c)), WeightSource.Of($"{theirs}mlp_block.up_proj.{what}", Hidden(c)));
                map[$"{mlp}mixer.down_proj.{what}"] = $"{theirs}mlp_block.down_proj.{what}";
            }
        }
    }

    public override JsonObject? Describe(ModelConfig model)
    {
        BlockSpec? unit = model.Blocks.FirstOrDefault(b => b.Name == "rg-lru"), attention = model.Blocks.FirstOrDefault(b => b.Name == "attention");
        double headDim = NumberOf(attention, "head-dim")?.GetValue<double>() ?? 1, rotary = NumberOf(attention, "rotary")?.GetValue<double>() ?? 0;
        return NumberOf(model.Blocks.FirstOrDefault(b => b.Name == "swiglu"), "hidden") is not { } hidden || (unit ?? attention) is null ? null : new JsonObject
        {
            ["hidden_size"] = model.Width,
            ["intermediate_size"] = 2 * hidden.GetValue<double>(),
            ["num_hidden_layers"] = model.Blocks.Count / 2,
            ["block_types"] = new JsonArray([.. model.Blocks.Where((_, i) => i % 2 == 0).Select(b => JsonValue.Create(b.Name == "attention" ? "attention" : "recurrent"))]),
            ["hidden_activation"] = "gelu_pytorch_tanh",
            ["rms_norm_eps"] = model.NormEpsilon,
            ["num_attention_heads"] = NumberOf(attention ?? unit, "heads"),
            ["num_key_value_heads"] = NumberOf(attention, "kv-heads"),
            ["head_dim"] = headDim,
            ["attention_bias"] = FlagOf(attention, "bias"),
            ["attention_window_size"] = NumberOf(attention, "window"),
            ["rope_parameters"] = new JsonObject
            {
                ["rope_type"] = "default",
                ["rope_theta"] = NumberOf(attention, "rope-theta"),
                ["partial_rotary_factor"] = rotary == 0 ? 1 : (rotary + 0.5) / headDim, // whole columns, whatever the rounding
            },
            ["lru_width"] = NumberOf(unit, "d-rnn"),
            ["conv1d_width"] = NumberOf(unit, "conv"),
            ["logits_soft_cap"] = model.LogitCap,
        };
    }

    private static BlockSpec Mixer(HfConfig c, string kind) => kind switch
    {
        "recurrent" => Spec.Of("rg-lru", ("d-rnn", Channels(c)), ("heads", c.Int("num_attention_heads")), ("conv", c.Int("conv1d_width", 4))),
        "attention" => Spec.Of("attention",
        [
            ("heads", c.Int("num_attention_heads")), ("kv-heads", c.Int("num_key_value_heads", c.Int("num_attention_heads"))), ("head-dim", LlamaFamily.HeadDim(c)),
            ("window", c.Int("attention_window_size", c.Int("sliding_window", 2048))), .. Positions(c), ("bias", LlamaFamily.Set(c.Flag("attention_bias", false))), ("output-bias", true),
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

    private static BlockSpec Mlp(HfConfig c) => Spec.Of("swiglu", ("hidden", Hidden(c)), ("activation", "gelu-tanh"), ("bias", true));

    // The configuration counts gate and up together.
    private static int Hidden(HfConfig c) => c.Int("intermediate_size") / 2;

    private static int Channels(HfConfig c) => c.Int("lru_width", c.Int("hidden_size"));

    private static void MapRecurrence(HfConfig c, WeightMap map, string ours, string theirs)
    {
        int inner = Channels(c), heads = c.Int("num_attention_heads");
        foreach (string what in (string[])["weight", "bias"])
        {
            map[$"{ours}in_proj.{what}"] = WeightSource.Stack(WeightSource.Of($"{theirs}linear_y.{what}", inner), WeightSource.Of($"{theirs}linear_x.{what}", inner));
            map[$"{ours}out_proj.{what}"] = $"{theirs}linear_out.{what}";
        }

        map[ours + "conv1d.weight"] = WeightSource.Of(theirs + "conv_1d.weight").As(inner, 1, c.Int("conv1d_width", 4));
        map[ours + "conv1d.bias"] = theirs + "conv_1d.bias";
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
