using System.Text.Json;
using System.Text.RegularExpressions;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Tests.Models;

/// <summary>
/// The tiny checkpoints of published architectures in Fixtures/hf, built as models of ours with the reference's weights. A family is a row:
/// how its config.json becomes a configuration, and which of its tensors, one below the other, make each parameter of ours.
/// </summary>
public sealed class ReferenceModel
{
    private static readonly Dictionary<string, (Func<JsonElement, ModelConfig> Config, Func<string, string[]> Keys)> Families = new()
    {
        ["llama"] = (
            c => Config(c, c.GetProperty("rms_norm_eps").GetSingle(), $"(attention[heads={c.GetProperty("num_attention_heads")}, "
                + $"kv-heads={c.GetProperty("num_key_value_heads")}, head-dim={c.GetProperty("head_dim")}, "
                + $"rope-theta={c.GetProperty("rope_parameters").GetProperty("rope_theta").GetDouble()}] "
                + $"swiglu[hidden={c.GetProperty("intermediate_size")}])*{c.GetProperty("num_hidden_layers")}"),
            name => Split(name) switch
            {
                (_, "embedding.weight") => ["model.embed_tokens.weight"],
                (_, "norm.weight") => ["model.norm.weight"],
                (_, "head.weight") => ["lm_head.weight"],
                ({ } i, ".norm.weight") => [$"model.layers.{i / 2}.{(i % 2 == 0 ? "input" : "post_attention")}_layernorm.weight"],
                ({ } i, ".mixer.qkv_proj.weight") => [.. "qkv".Select(x => $"model.layers.{i / 2}.self_attn.{x}_proj.weight")],
                ({ } i, ".mixer.out_proj.weight") => [$"model.layers.{i / 2}.self_attn.o_proj.weight"],
                ({ } i, ".mixer.gate_up_proj.weight") => [$"model.layers.{i / 2}.mlp.gate_proj.weight", $"model.layers.{i / 2}.mlp.up_proj.weight"],
                ({ } i, ".mixer.down_proj.weight") => [$"model.layers.{i / 2}.mlp.down_proj.weight"],
                _ => throw new ArgumentException(name),
            }),
        ["mamba"] = (
            c => Config(c, c.GetProperty("layer_norm_epsilon").GetSingle(), Mamba(c)),
            MambaKeys),
        ["falcon-mamba"] = (
            c => Config(c, c.GetProperty("layer_norm_epsilon").GetSingle(), Mamba(c, $", norm=plain, norm-epsilon={c.GetProperty("mixer_rms_eps").GetDouble()}")),
            MambaKeys),
        ["mamba2"] = (
            c => Config(c, c.GetProperty("layer_norm_epsilon").GetSingle(), $"mamba2[state={c.GetProperty("state_size")}, "
                + $"head-dim={c.GetProperty("head_dim")}, expand={c.GetProperty("expand")}, groups={c.GetProperty("n_groups")}, "
                + $"conv={c.GetProperty("conv_kernel")}, chunk={c.GetProperty("chunk_size")}]*{c.GetProperty("num_hidden_layers")}"),
            MambaKeys),
    };

    private ReferenceModel(string family, LanguageModel model) => (Family, Model) = (family, model);

    /// <summary>The families that there are references for.</summary>
    public static IEnumerable<string> All => Families.Keys.Where(f => Directory.Exists(FixtureFiles.At("hf", f)));

    public string Family { get; }

    public LanguageModel Model { get; }

    public static ReferenceModel Load(string family, Device device)
    {
        using JsonDocument config = JsonDocument.Parse(File.ReadAllBytes(FixtureFiles.At("hf", family, "config.json")));
        var reference = new ReferenceModel(family, new LanguageModel(Families[family].Config(config.RootElement), device, seed: 1));
        using SafetensorsFile weights = SafetensorsFile.Open(FixtureFiles.At("hf", family, "model.safetensors"));
        foreach (Parameter parameter in reference.Model.Parameters())
        {
            parameter.Tensor.Set(reference.Read(weights, "", parameter));
        }

        return reference;
    }

    /// <summary>The reference's tensors that make a parameter of ours.</summary>
    public string[] Keys(Parameter parameter) => Families[Family].Keys(parameter.Name);

    /// <summary>What a file of the reference holds for a parameter of ours: its value, its gradient (prefix <c>grad.</c>), ...</summary>
    public float[] Read(SafetensorsFile file, string prefix, Parameter parameter)
    {
        var values = new List<float>();
        foreach (string key in Keys(parameter))
        {
            values.AddRange(Floats(file, prefix + key));
        }

        Assert.Equal(parameter.Tensor.Shape.Count, values.Count);
        return [.. values];
    }

    public static float[] Floats(SafetensorsFile file, string name)
    {
        var values = new float[file.Info(name).Count];
        file.ReadFloat32(name, values);
        return values;
    }

    public static long[] Integers(SafetensorsFile file, string name)
    {
        var values = new long[file.Info(name).Count];
        file.ReadInt64(name, values);
        return values;
    }

    private static string Mamba(JsonElement c, string more = "") =>
        $"mamba[state={c.GetProperty("state_size")}, expand={c.GetProperty("expand")}, conv={c.GetProperty("conv_kernel")}, dt-rank={c.GetProperty("time_step_rank")}{more}]*{c.GetProperty("num_hidden_layers")}";

    private static string[] MambaKeys(string name) => Split(name) switch
    {
        (_, "embedding.weight") => ["backbone.embeddings.weight"],
        (_, "norm.weight") => ["backbone.norm_f.weight"],
        (_, "head.weight") => ["lm_head.weight"],
        ({ } i, var rest) => [$"backbone.layers.{i}{rest}"],
        _ => throw new ArgumentException(name),
    };

    private static ModelConfig Config(JsonElement c, float epsilon, string pattern) => new()
    {
        Name = c.GetProperty("model_type").GetString()!,
        Vocabulary = c.GetProperty("vocab_size").GetInt32(),
        Width = c.GetProperty("hidden_size").GetInt32(),
        Blocks = Pattern.Parse(pattern),
        TieEmbeddings = c.GetProperty("tie_word_embeddings").GetBoolean(),
        NormEpsilon = epsilon,
    };

    // "blocks.3.norm.weight" is (3, ".norm.weight"), "head.weight" is (null, "head.weight").
    private static (int? Block, string Name) Split(string name) =>
        Regex.Match(name, @"^blocks\.(\d+)(\..*)$") is { Success: true } m ? (int.Parse(m.Groups[1].Value), m.Groups[2].Value) : (null, name);
}
