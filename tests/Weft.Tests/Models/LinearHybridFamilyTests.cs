using System.Text.Json.Nodes;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Models.Checkpoints.HuggingFace;
using Weft.Tensors;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

/// <summary>
/// The configurations of Qwen3-Next, Qwen3.5, OLMo Hybrid, RecurrentGemma and MiniMax: other spellings, refusals, and a model that sees.
/// What they compute is in <see cref="HuggingFaceTests"/>; the folders ending in -other were made by the same reference code with other sizes and options.
/// </summary>
public class LinearHybridFamilyTests
{
    [Theory]
    [InlineData("qwen3_5", """{"layer_types": null, "full_attention_interval": 4}""")]
    [InlineData("qwen3_5", """{"layer_types": ["mamba", "mamba", "linear_attention", "attention"], "hidden_act": "swish"}""")]
    [InlineData("qwen3_5", """{"rope_parameters": null, "partial_rotary_factor": null, "rope_theta": 10000}""")]
    [InlineData("qwen3_5", """{"rope_parameters": {"rope_theta": 10000, "mrope_section": [1, 1, 0], "mrope_interleaved": true}, "mlp_bias": true}""")]
    [InlineData("qwen3-next", """{"layer_types": null, "mlp_only_layers": null, "decoder_sparse_step": null, "norm_topk_prob": null}""")]
    [InlineData("olmo-hybrid", """{"layer_types": null, "linear_allow_neg_eigval": null, "linear_num_key_heads": null, "linear_num_value_heads": null, "partial_rotary_factor": 0.5}""")]
    [InlineData("olmo-hybrid", """{"rope_parameters": null}""")] // as the reference: the usual base
    [InlineData("recurrent-gemma", """{"block_types": null, "lru_width": null, "head_dim": null, "rope_parameters": null, "partial_rotary_factor": null, "tie_word_embeddings": null}""")]
    [InlineData("recurrent-gemma", """{"attention_window_size": null, "sliding_window": 8, "hidden_activation": "gelu_new"}""")]
    [InlineData("minimax", """{"layer_types": null, "attn_type_list": [0, 1], "head_dim": null, "num_local_experts": null, "num_experts": 4, "partial_rotary_factor": 0.5}""")]
    public void OtherSpellingsAreTheSameModel(string family, string changes) => Assert.Equal(Read(family, "{}"), Read(family, changes));

    [Fact]
    public void KeysChangeTheModel()
    {
        Assert.Equal(["attention", "gated-deltanet", "attention", "gated-deltanet"], Mixers("qwen3_5", """{"layer_types": ["full_attention", "linear_attention", "full_attention", "linear_attention"]}"""));
        Assert.Equal(["gated-deltanet", "attention", "gated-deltanet", "attention"], Mixers("qwen3_5", """{"layer_types": null, "full_attention_interval": 2}"""));
        Assert.Equal(["gated-deltanet", "attention"], Mixers("olmo-hybrid", """{"layer_types": null, "num_hidden_layers": 2}"""));
        Assert.Equal(["attention", "lightning"], Mixers("minimax", """{"layer_types": null}"""));
        Assert.Equal(["attention", "rg-lru", "attention"], Mixers("recurrent-gemma", """{"block_types": ["attention", "recurrent"]}"""));
        Assert.Equal(["swiglu", "moe", "swiglu", "swiglu"], Read("qwen3-next", """{"decoder_sparse_step": 2, "mlp_only_layers": [3]}""").Blocks.Where((_, i) => i % 2 == 1).Select(b => b.Name));
        Assert.All(Read("qwen3-next", """{"num_experts": 0}""").Blocks, b => Assert.NotEqual("moe", b.Name));
        Assert.Contains(Read("olmo-hybrid", """{"rope_parameters": {"rope_theta": null, "rope_type": "default"}}""").Blocks, b => b.Find("positions") == "none");
        Assert.Contains(Read("olmo-hybrid", """{"linear_key_head_dim": null, "linear_value_head_dim": null}""").Blocks, b => b.Find("head-dim") == "6" && b.Find("value-dim") == "12");
        Assert.Contains(Read("minimax", """{"full_attn_alpha_factor": 3.5, "mlp_beta_factor": 0.5, "sliding_window": 6}""").Blocks, b => b.Find("residual-scale") == "3.5" && b.Find("window") == "6");
        Assert.Contains(Read("qwen3_5", """{"rope_parameters": {"rope_theta": 5, "partial_rotary_factor": 0.01}}""").Blocks, b => b.Find("rope-theta") == "0"); // no column turns
        Assert.Equal(50.5f, Read("recurrent-gemma", """{"hidden_size": 2560, "head_dim": 8}""").EmbeddingScale); // the root of 2560, 50.596, in bfloat16
    }

    [Theory]
    [InlineData("qwen3_5", """{"hidden_act": "gelu"}""", "hidden_act")]
    [InlineData("qwen3_5", """{"layer_types": ["linear_attention"]}""", "layer_types")]
    [InlineData("qwen3_5", """{"layer_types": ["linear_attention", "conv", "conv", "full_attention"]}""", "layer_types")]
    [InlineData("qwen3_5", """{"layer_types": null, "full_attention_interval": 0}""", "full_attention_interval")]
    [InlineData("qwen3_5", """{"num_hidden_layers": 2000000000, "layer_types": null}""", "num_hidden_layers")]
    [InlineData("qwen3_5", """{"rope_parameters": {"rope_type": "longrope"}}""", "rope_type")]
    [InlineData("qwen3-next", """{"decoder_sparse_step": 0}""", "decoder_sparse_step")]
    [InlineData("olmo-hybrid", """{"hidden_act": "relu"}""", "hidden_act")]
    [InlineData("recurrent-gemma", """{"hidden_activation": "gelu"}""", "hidden_activation")]
    [InlineData("recurrent-gemma", """{"block_types": ["mamba"]}""", "block_types")]
    [InlineData("recurrent-gemma", """{"block_types": []}""", "block_types")]
    [InlineData("recurrent-gemma", """{"logits_soft_cap": 0}""", "logits_soft_cap")]
    [InlineData("recurrent-gemma", """{"rope_parameters": {"rope_type": "linear", "factor": 2}}""", "rope_type")]
    [InlineData("minimax", """{"layer_types": null, "attn_type_list": [0]}""", "attn_type_list")]
    [InlineData("minimax", """{"layer_types": null, "attn_type_list": [0, 2]}""", "attn_type_list")]
    [InlineData("minimax", """{"num_hidden_layers": 0}""", "num_hidden_layers")]
    public void RefusesByName(string family, string changes, string key)
    {
        string message = Assert.Throws<InputException>(() => Read(family, changes)).Message;
        Assert.Contains(key, message, StringComparison.Ordinal);
        Assert.Contains("config.json", message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }

    [Fact]
    public void OfAModelThatSeesTheLanguageModelIsRead()
    {
        using var folder = new TemporaryFolder();
        using var device = new CpuDevice(2);
        JsonObject text = Configs.Of("qwen3_5");
        text["tie_word_embeddings"] = true; // the whole model's counts
        var whole = new JsonObject { ["model_type"] = "qwen3_5", ["tie_word_embeddings"] = false, ["text_config"] = text, ["vision_config"] = new JsonObject { ["hidden_size"] = 8 } };
        File.WriteAllText(Path.Combine(folder.Path, "config.json"), whole.ToJsonString());
        File.Copy(FixtureFiles.At("hf", "qwen3_5", "expected.safetensors"), Path.Combine(folder.Path, "expected.safetensors"));
        using (SafetensorsFile from = SafetensorsFile.Open(FixtureFiles.At("hf", "qwen3_5", "model.safetensors")))
        using (var to = new SafetensorsWriter(Path.Combine(folder.Path, "model.safetensors"),
            [.. from.Names.Select(n => from.Info(n) with { Name = Renamed(n) }), new("model.visual.patch_embed.weight", SafetensorsType.F32, [2]), new("mtp.fc.weight", SafetensorsType.F32, [2])]))
        {
            foreach (string name in from.Names)
            {
                var values = new float[from.Info(name).Count];
                from.ReadFloat32(name, values);
                to.Write(Renamed(name), values);
            }

            to.Write("model.visual.patch_embed.weight", [1f, 2]);
            to.Write("mtp.fc.weight", [1f, 2]);
            to.Commit();
        }

        object[] results = [.. Verification.Run(folder.Path, device)];
        Assert.All(results.OfType<VerifiedTensor>(), t => Assert.True(t.IsGood, t.Name));
        Assert.All(results.OfType<VerifiedContinuation>(), c => Assert.True(c.IsGood, c.How));

        static string Renamed(string name) => name.StartsWith("model.", StringComparison.Ordinal) ? "model.language_model." + name["model.".Length..] : name;
    }

    private static IEnumerable<string> Mixers(string family, string changes) => Read(family, changes).Blocks.Where((_, i) => i % 2 == 0).Select(b => b.Name);

    private static ModelConfig Read(string family, string changes)
    {
        HfConfig config = Configs.Of(family, changes);
        return Families.Of(config).Read(config);
    }
}
