using Weft.Models;
using Weft.Models.Checkpoints.HuggingFace;
using Weft.Tensors;

namespace Weft.Tests.Models;

/// <summary>Configurations of Jamba, Granite's hybrids and Nemotron-H: their older spellings, and what is refused.</summary>
public class HybridFamilyTests
{
    [Theory]
    [InlineData("nemotron-h", """{"layers_block_type": null, "hybrid_override_pattern": "M*ME"}""")]
    [InlineData("nemotron-h", """{"layers_block_type": ["mamba", "attention", "mamba", "moe"], "hybrid_override_pattern": "M"}""")]
    [InlineData("nemotron-h", """{"layers_block_type": null, "layer_types": ["mamba", "attention", "mamba", "moe"]}""")]
    [InlineData("nemotron-h", """{"mamba_n_groups": 1, "n_groups": 8, "mamba_d_conv": 4, "conv_kernel": 2, "mamba_expand": 2, "expand": 3, "mamba_conv_bias": true, "use_conv_bias": false, "mamba_dt_min": 0.001, "time_step_min": 0.5}""")]
    [InlineData("nemotron-h", """{"n_routed_experts": null, "num_local_experts": 4, "tie_word_embeddings": true, "attention_bias": true, "num_nextn_predict_layers": 1}""")]
    [InlineData("granite-hybrid", """{"layer_types": ["mamba", "attention", "mamba", "mamba"]}""")]
    [InlineData("granite-hybrid", """{"layer_types": null, "layers_block_type": ["mamba", "attention", "mamba", "mamba"], "position_embedding_type": "nope", "mamba_d_head": "auto"}""")]
    [InlineData("jamba", """{"num_experts": null, "num_local_experts": 4, "mamba_dt_rank": 4}""")]
    public void OlderSpellingsAreTheSameModel(string family, string changes) => Assert.Equal(Read(family, "{}"), Read(family, changes));

    [Fact]
    public void KeysChangeTheModel()
    {
        Assert.Equal(2, Read("granite-hybrid", """{"num_hidden_layers": 2, "layer_types": null}""").Blocks.Count(b => b.Name == "mamba2"));
        Assert.Equal(4, Read("granite-hybrid", """{"num_local_experts": 0}""").Blocks.Count(b => b.Name == "swiglu" && b.Find("hidden") == "64" && b.Find("branch-scale") == "0.7"));
        Assert.Contains(Read("granite-hybrid", """{"position_embedding_type": "rope", "rope_parameters": {"rope_theta": 5000}}""").Blocks, b => b.Find("rope-theta") == "5000");
        Assert.DoesNotContain(Read("jamba", """{"num_experts": 1}""").Blocks, b => b.Name == "moe");
        Assert.Equal("moe", Read("jamba", """{"expert_layer_period": 1, "expert_layer_offset": 0}""").Blocks[1].Name);
        Assert.Contains(Read("nemotron-h", """{"layers_block_type": ["mlp"], "mlp_hidden_act": "gelu_new", "mlp_bias": true}""").Blocks, b => b.Find("activation") == "gelu-tanh" && b.Find("bias") == "true");
        Assert.Equal("4", Read("nemotron-h", """{"num_key_value_heads": null}""").Blocks[1].Find("kv-heads"));
    }

    [Theory]
    [InlineData("jamba", """{"attn_layer_period": 0}""", "attn_layer_period")]
    [InlineData("jamba", """{"expert_layer_offset": 2}""", "expert_layer_offset")]
    [InlineData("jamba", """{"hidden_act": "gelu"}""", "hidden_act")]
    [InlineData("jamba", """{"num_experts_per_tok": 5}""", "active=5 is more than there are")]
    [InlineData("jamba", """{"num_hidden_layers": 2000000000}""", "num_hidden_layers")]
    [InlineData("granite-hybrid", """{"layer_types": ["linear_attention"]}""", "layer_types")]
    [InlineData("granite-hybrid", """{"layer_types": ["linear_attention", "sliding_attention", "linear_attention", "linear_attention"]}""", "layer_types")]
    [InlineData("granite-hybrid", """{"attention_multiplier": 0}""", "attention_multiplier")]
    [InlineData("granite-hybrid", """{"logits_scaling": 0}""", "logit_scale")]
    [InlineData("granite-hybrid", """{"mamba_n_heads": 7}""", "mamba_n_heads")]
    [InlineData("granite-hybrid", """{"position_embedding_type": "rope", "rope_parameters": {"rope_type": "dynamic"}}""", "rope_type")]
    [InlineData("nemotron-h", """{"layers_block_type": null}""", "hybrid_override_pattern")]
    [InlineData("nemotron-h", """{"layers_block_type": null, "hybrid_override_pattern": "MX"}""", "hybrid_override_pattern")]
    [InlineData("nemotron-h", """{"layers_block_type": []}""", "layers_block_type")]
    [InlineData("nemotron-h", """{"mamba_hidden_act": "relu"}""", "mamba_hidden_act")]
    [InlineData("nemotron-h", """{"mlp_hidden_act": "mish"}""", "mlp_hidden_act")]
    [InlineData("nemotron-h", """{"n_group": 3}""", "groups=3")]
    public void WhatIsNotComputedIsRefusedByName(string family, string changes, string expected)
    {
        InputException e = Assert.Throws<InputException>(() =>
        {
            ModelConfig model = Read(family, changes);
            using var device = new Weft.Tensors.Cpu.CpuDevice(1);
            _ = new LanguageModel(model, device, 1);
        });
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    // The family's fixture with some keys changed.
    private static ModelConfig Read(string family, string changes)
    {
        HfConfig config = Configs.Of(family, changes);
        return Families.Of(config).Read(config);
    }
}
