using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Models.Checkpoints.HuggingFace;
using Weft.Tensors.Cpu;

namespace Weft.Tests.Models;

/// <summary>Published families against their reference implementations, and back into their own files: a folder in Fixtures/hf each.</summary>
public sealed class HuggingFaceTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public static TheoryData<string> Folders => [.. Directory.GetDirectories(FixtureFiles.At("hf")).Select(d => Path.GetFileName(d)).Order(StringComparer.Ordinal)];

    // The families that write a configuration for a model that was trained here.
    private static readonly string[] Describing =
    [
        "falcon_mamba", "gpt2", "lfm2", "llama", "mamba", "mamba2", "minimax", "mistral", "olmo_hybrid", "qwen2", "qwen3", "qwen3_5_text", "qwen3_next",
        "recurrent_gemma", "rwkv", "xlstm",
    ];

    public void Dispose() => device.Dispose();

    [Theory]
    [MemberData(nameof(Folders))]
    public void EqualsTheReference(string folder)
    {
        object[] results = [.. Verification.Run(FixtureFiles.At("hf", folder), device)];
        Assert.Empty(results.OfType<VerifiedTensor>().Where(t => !t.IsGood).Select(t => $"{t.Name} is {t.Error:0.0e+0} from the reference"));
        Assert.Empty(results.OfType<VerifiedContinuation>().Where(c => !c.IsGood).Select(c => $"{c.How}: {c.Equal} of {c.Tokens} tokens are the reference's"));
        Assert.Contains("logits", results.OfType<VerifiedTensor>().Select(t => t.Name));
        using SafetensorsFile expected = SafetensorsFile.Open(FixtureFiles.At("hf", folder, Verification.FileName));
        Assert.Equal(expected.Contains("generated") ? 3 : 0, results.OfType<VerifiedContinuation>().Count());
    }

    [Fact]
    public void FamiliesDescribeWhatTheyRead()
    {
        var described = new HashSet<string>();
        foreach (string folder in Directory.GetDirectories(FixtureFiles.At("hf")))
        {
            HuggingFaceFolder read = HuggingFaceFolder.Open(folder);
            if (read.Family.Describe(read.Model) is not { } json)
            {
                continue;
            }

            json["vocab_size"] = read.Model.Vocabulary;
            json["tie_word_embeddings"] = read.Model.TieEmbeddings;
            json["eos_token_id"] = read.Model.EndOfText;
            ModelConfig again = read.Family.Read(Configs.Read(json));
            Assert.Equal(read.Model, again with { Name = read.Model.Name, Context = read.Model.Context });
            described.Add(read.Family.ModelType);
        }

        Assert.Superset(new HashSet<string>(Describing), described);
    }
}
