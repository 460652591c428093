using System.Text;
using System.Text.Json.Nodes;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Models.Checkpoints.HuggingFace;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

/// <summary>
/// The configurations of Mamba's families and of the hybrids Bamba, Falcon-H1 and Zamba2: other spellings, refusals, and the authors'
/// own files. What they compute is in <see cref="HuggingFaceTests"/>; the folders ending in -other were made by the same reference
/// code with other sizes, groups, biases, tying, factors and sets of shared weights.
/// </summary>
public sealed class MambaFamilyTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("mamba", """{"intermediate_size": null, "time_step_rank": 4, "expand": null, "layer_norm_epsilon": null, "hidden_act": "swish"}""")]
    [InlineData("mamba", """{"expand": 16, "intermediate_size": 64, "state_size": 8.0}""", "mamba[conv=4, dt-rank=4, inner=64, state=8]")]
    [InlineData("mamba", """{"time_step_rank": "auto"}""", "mamba[conv=4, expand=2, state=8]")]
    [InlineData("mamba", """{"use_bias": true, "use_conv_bias": false}""", "mamba[bias, conv=4, conv-bias=false, dt-rank=4, expand=2, state=8]")]
    [InlineData("mamba2", """{"time_step_limit": [0.0, "Infinity"], "expand": null, "chunk_size": 256}""")]
    [InlineData("mamba2", """{"time_step_limit": [0.0, 1e300]}""")]
    [InlineData("mamba2", """{"time_step_limit": null}""")]
    [InlineData("mamba2", """{"time_step_limit": [0.01, 0.5], "n_groups": 2}""", "mamba2[conv=4, dt-max=0.5, dt-min=0.01, expand=2, groups=2, head-dim=8, norm-epsilon=1E-05, norm-groups=1, state=16]")]
    [InlineData("bamba", """{"mamba_d_head": "auto", "partial_rotary_factor": null, "rope_parameters": null, "rope_theta": 10000}""")]
    [InlineData("falcon-h1", """{"mamba_d_head": "auto", "mamba_d_ssm": null, "mlp_multipliers": null, "ssm_multipliers": null, "head_dim": null}""")]
    [InlineData("zamba2", """{"layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"], "hybrid_layer_ids": null, "attention_head_dim": null, "mamba_headdim": null, "num_key_value_heads": null}""")]
    public void ReadsOtherSpellings(string name, string changes, string? block = null)
    {
        HuggingFaceFolder read = HuggingFaceFolder.Open(FixtureFiles.At("hf", name));
        ModelConfig changed = read.Family.Read(Configs.Of(name, changes));
        Assert.Equal(block ?? read.Model.Blocks[0].ToString(), changed.Blocks[0].ToString());
        Assert.Equal(block is null ? read.Model.Blocks : changed.Blocks, changed.Blocks);
    }

    [Theory]
    [InlineData("mamba", """{"hidden_act": "gelu"}""", "hidden_act: 'gelu' is not supported; what is: silu, swish")]
    [InlineData("mamba", """{"num_hidden_layers": 2000000000}""", "num_hidden_layers: a number from 1 to 4096 is expected")]
    [InlineData("mamba", """{"hidden_size": 60000, "expand": 60000, "intermediate_size": null}""", "inner=2147483647 is not a whole number from 0 to")]
    [InlineData("mamba", """{"time_step_rank": "large"}""", "time_step_rank: it is '\"large\"' where a whole number is expected")]
    [InlineData("mamba2", """{"num_heads": 5}""", "num_heads: 5 heads of 8 channels do not make up the inner width 64")]
    [InlineData("mamba2", """{"n_groups": 3}""", "groups=3 does not divide the 8 heads")]
    [InlineData("mamba2", """{"time_step_limit": [0.5, 0.1]}""", "time_step_limit: two numbers are expected, the second above 0 and not below the first")]
    [InlineData("mamba2", """{"time_step_limit": [0.5]}""", "time_step_limit: two numbers are expected")]
    [InlineData("bamba", """{"mamba_n_heads": 0}""", "mamba_n_heads: 0 heads of 8 channels do not make up")]
    [InlineData("bamba", """{"hidden_act": "relu"}""", "hidden_act: 'relu' is not supported")]
    [InlineData("bamba", """{"rope_parameters": {"rope_type": "dynamic"}}""", "rope_parameters.rope_type: 'dynamic' is not supported")]
    [InlineData("falcon-h1", """{"ssm_multipliers": [1, 1]}""", "ssm_multipliers: 5 numbers are expected")]
    [InlineData("falcon-h1", """{"key_multiplier": 0}""", "key_multiplier: 0 is not supported")]
    [InlineData("falcon-h1", """{"lm_head_multiplier": 0}""", "logit_scale 0 is out of range")]
    [InlineData("zamba2", """{"layers_block_type": ["hybrid"]}""", "layers_block_type: it names 1 layers of 4")]
    [InlineData("zamba2", """{"layers_block_type": ["mamba", "moe", "mamba", "mamba"]}""", "layers_block_type: 'moe' is not supported; what is: hybrid, linear_attention")]
    [InlineData("zamba2", """{"attention_hidden_size": 32}""", "attention_hidden_size: other than twice hidden_size, 64, is not supported")]
    [InlineData("zamba2", """{"hidden_act": "mish"}""", "hidden_act: 'mish' is not supported")]
    [InlineData("zamba2", """{"num_mem_blocks": 0}""", "num_mem_blocks: a number from 1 on is expected")]
    [InlineData("zamba2", """{"adapter_rank": 0}""", "adapter_rank: a number from 1 on is expected")]
    public void RefusesByName(string name, string changes, string says) => Refused.With(() => Build(Configs.Of(name, changes)), says);

    [Theory]
    [InlineData("""{"rms_norm": false}""", "rms_norm: 'false' is not supported; what is: true")]
    [InlineData("""{"d_intermediate": 64}""", "d_intermediate: '64' is not supported; what is: 0")]
    [InlineData("""{"attn_layer_idx": [1]}""", "attn_layer_idx: layers of attention are not supported")]
    [InlineData("""{"ssm_cfg": {"layer": "Mamba3"}}""", "ssm_cfg.layer: 'Mamba3' is not supported; what is: Mamba1, Mamba2")]
    [InlineData("""{"ssm_cfg": {"layer": "Mamba2", "d_ssm": 32}}""", "ssm_cfg.d_ssm: other than the inner width 64 is not supported")]
    [InlineData("""{"ssm_cfg": {"layer": "Mamba2", "D_has_hdim": true}}""", "ssm_cfg.D_has_hdim: 'true' is not supported")]
    [InlineData("""{"ssm_cfg": {"headdim": 8}}""", "ssm_cfg.headdim: it is not supported; what is: layer, d_state")]
    public void RefusesWhatTheAuthorsPackageMayHold(string changes, string says) => Refused.With(() => Build(Configs.Read(Configs.Merged(Authors(), changes))), says);

    [Fact]
    public void ReadsTheAuthorsSizes()
    {
        ModelConfig model = Families.Of(Configs.Read(Authors())).Read(Configs.Read(Authors()));
        Assert.Equal("mamba[conv=4, expand=2, state=16]*2", model.Blocks.ToString());
        Assert.Equal((96, 32, true), (model.Vocabulary, model.Width, model.TieEmbeddings));
        JsonObject second = Configs.Merged(Authors(), """{"pad_vocab_size_multiple": 64, "tie_embeddings": false, "ssm_cfg": {"layer": "Mamba2", "headdim": 32, "ngroups": 2, "dt_limit": [0.0, "Infinity"], "norm_before_gate": true, "bias": true}}""");
        model = Families.Of(Configs.Read(second)).Read(Configs.Read(second));
        Assert.Equal("mamba2[bias, conv=4, expand=2, groups=2, head-dim=32, norm=norm-first, state=128]*2", model.Blocks.ToString());
        Assert.Equal((128, false), (model.Vocabulary, model.TieEmbeddings));
    }

    [Theory]
    [InlineData("mamba", """{"d_state": 8, "dt_rank": 4, "dt_min": 0.001}""")]
    [InlineData("mamba2", """{"layer": "Mamba2", "d_state": 16, "headdim": 8, "chunk_size": 256}""")]
    public void TheAuthorsFilesAreTheSameModel(string name, string sizes)
    {
        bool tied = name == "mamba";
        JsonObject config = Configs.Merged(Authors(), $$"""{"ssm_cfg": {{sizes}}, "tie_embeddings": {{(tied ? "true" : "false")}}, "eos_token_id": 2}""");
        folder.Write("config.json", Encoding.UTF8.GetBytes(config.ToJsonString()));
        File.Copy(FixtureFiles.At("hf", name, Verification.FileName), folder[Verification.FileName]);
        using (SafetensorsFile file = SafetensorsFile.Open(FixtureFiles.At("hf", name, "model.safetensors")))
        {
            // Theirs spell the embedding so, and hold a tied head too.
            (string Ours, string Theirs)[] names = [.. file.Names.Select(n => (n, n.Replace("embeddings", "embedding", StringComparison.Ordinal))), .. tied ? [("backbone.embeddings.weight", "lm_head.weight")] : Array.Empty<(string, string)>()];
            using var writer = new SafetensorsWriter(folder["model.safetensors"], names.Select(n => file.Info(n.Ours) with { Name = n.Theirs }));
            foreach ((string ours, string theirs) in names)
            {
                var bytes = new byte[file.Info(ours).ByteCount];
                file.ReadBytes(ours, bytes);
                writer.WriteBytes(theirs, bytes);
            }

            writer.Commit();
        }

        using var device = new CpuDevice(1);
        object[] results = [.. Verification.Run(folder.Path, device)];
        Assert.All(results.OfType<VerifiedTensor>(), t => Assert.True(t.IsGood, $"{t.Name} is {t.Error:0.0e+0} from the reference"));
        Assert.All(results.OfType<VerifiedContinuation>(), c => Assert.True(c.IsGood, c.How));
        Assert.Contains("grad.backbone.embeddings.weight", results.OfType<VerifiedTensor>().Select(t => t.Name));
    }

    [Fact]
    public void CopiesOfSharedWeightsAreLeftAside()
    {
        // Files from elsewhere hold the set of the first layer under the second one too, or only there.
        HuggingFaceFolder zamba = HuggingFaceFolder.Open(FixtureFiles.At("hf", "zamba2"));
        Assert.True(zamba.Map(_ => [1]).Ignores("model.layers.3.shared_transformer.self_attn.q_proj.weight"));
        Assert.False(zamba.Map(_ => [1]).Ignores("model.layers.1.shared_transformer.self_attn.q_proj.weight"));
        Assert.True(zamba.Map(key => key.StartsWith("model.layers.3.", StringComparison.Ordinal) ? [1] : null).Ignores("model.layers.1.shared_transformer.self_attn.q_proj.weight"));
    }

    private static JsonObject Authors() => JsonNode.Parse("""
        {"d_model": 32, "d_intermediate": 0, "n_layer": 2, "vocab_size": 90, "ssm_cfg": {}, "attn_layer_idx": [], "attn_cfg": {}, "rms_norm": true,
         "residual_in_fp32": true, "fused_add_norm": true, "pad_vocab_size_multiple": 16}
        """)!.AsObject();

    // A model of the configuration, made as a folder's is.
    private static LanguageModel Build(HfConfig config)
    {
        using var device = new CpuDevice(1);
        return new LanguageModel(Families.Of(config).Read(config), device, seed: 1);
    }
}
