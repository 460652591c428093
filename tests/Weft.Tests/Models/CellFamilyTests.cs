using System.Text.Json.Nodes;
using Weft.Models;
using Weft.Models.Checkpoints.HuggingFace;
using Weft.Tensors;

namespace Weft.Tests.Models;

/// <summary>
/// The configurations of RWKV-4, xLSTM, LFM2 and GPT-2: other spellings and refusals. What they compute is in
/// <see cref="HuggingFaceTests"/>; the folders ending in -other were made by the same reference code with other sizes, biases, tying and options.
/// </summary>
public class CellFamilyTests
{
    [Theory]
    [InlineData("gpt2", "n_embd", "\"hidden_size\": 32")]
    [InlineData("gpt2", "n_layer", "\"num_hidden_layers\": 2")]
    [InlineData("gpt2", "n_head", "\"num_attention_heads\": 4")]
    [InlineData("gpt2", "n_positions", "\"max_position_embeddings\": 256")]
    [InlineData("gpt2", "activation_function", "\"activation_function\": \"gelu_pytorch_tanh\"")]
    [InlineData("gpt2", "n_inner", "\"n_inner\": 128")]
    [InlineData("lfm2", "layer_types", "\"full_attn_idxs\": [1]")]
    [InlineData("lfm2", "intermediate_size", "\"block_ff_dim\": 64, \"intermediate_size\": 9")]
    [InlineData("lfm2", "rope_parameters", "\"rope_theta\": 1000000")]
    [InlineData("lfm2", "rope_parameters", "\"pad_token_id\": 0")]
    [InlineData("lfm2", "tie_word_embeddings", "\"tie_embedding\": true, \"tie_word_embeddings\": false")]
    [InlineData("rwkv4", "attention_hidden_size", "\"attention_hidden_size\": null")]
    [InlineData("rwkv4", "rescale_every", "\"rescale_every\": -1")]
    [InlineData("xlstm", "hidden_size", "\"hidden_size\": null")]
    [InlineData("xlstm", "num_hidden_layers", "\"num_hidden_layers\": null")]
    [InlineData("xlstm", "weight_mode", "\"weight_mode\": \"fused\"")]
    [InlineData("xlstm", "tie_word_embeddings", "\"tie_word_embeddings\": true")]
    public void ReadsOtherSpellings(string folder, string without, string with)
    {
        HuggingFaceFolder read = HuggingFaceFolder.Open(FixtureFiles.At("hf", folder));
        Assert.Equal(read.Model, read.Family.Read(Changed(folder, without, with)) with { Name = read.Model.Name });
    }

    [Theory]
    [InlineData("gpt2", "activation_function", "\"quick_gelu\"")]
    [InlineData("gpt2", "add_cross_attention", "true")]
    [InlineData("gpt2", "n_head", "5")]
    [InlineData("gpt2", "n_positions", "0")]
    [InlineData("gpt2", "n_embd", "\"wide\"")]
    [InlineData("lfm2", "layer_types", "[\"conv\", \"conv\"]")]
    [InlineData("lfm2", "layer_types", "[\"conv\", \"sliding_attention\", \"conv\"]")]
    [InlineData("lfm2", "num_hidden_layers", "2000000000")]
    [InlineData("lfm2", "intermediate_size", "2000000000")]
    [InlineData("lfm2", "rope_parameters", "{ \"rope_type\": \"longrope\" }")]
    [InlineData("rwkv4", "layer_norm_epsilon", "1e-3")]
    [InlineData("rwkv4", "hidden_size", "null")]
    [InlineData("xlstm", "weight_mode", "\"split\"")]
    [InlineData("xlstm", "num_hidden_layers", "3")]
    [InlineData("xlstm", "hidden_size", "64")]
    [InlineData("xlstm", "output_logit_soft_cap", "0")]
    [InlineData("xlstm", "qk_dim_factor", "1e9")]
    [InlineData("xlstm", "ffn_proj_factor", "-1")]
    public void RefusesByName(string folder, string key, string value)
    {
        string message = Assert.Throws<InputException>(() => Families.All.Single(f => f.ModelType == ModelType(folder)).Read(Changed(folder, key, $"\"{key}\": {value}"))).Message;
        Assert.Contains("config.json", message, StringComparison.Ordinal);
        Assert.Contains(key, message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }

    [Theory]
    [InlineData("gpt2", "n_layer")]
    [InlineData("rwkv4", "num_hidden_layers")]
    public void RefusesMoreLayersThanCanBe(string folder, string key) => // at once, however many
        Assert.Throws<InputException>(() => Families.All.Single(f => f.ModelType == ModelType(folder)).Read(Changed(folder, key, $"\"{key}\": 2000000000")));

    private static string ModelType(string folder) => folder == "rwkv4" ? "rwkv" : folder;

    private static HfConfig Changed(string folder, string without, string with)
    {
        JsonObject json = Configs.Of(folder);
        json.Remove(without);
        return Configs.Read(Configs.Merged(json, $"{{ {with} }}"));
    }
}
