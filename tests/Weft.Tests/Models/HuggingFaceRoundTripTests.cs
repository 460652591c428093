using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Models.Checkpoints.HuggingFace;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;

namespace Weft.Tests.Models;

/// <summary>Published checkpoints taken over, written again, and held in bfloat16: what comes back computes the same.</summary>
public sealed class HuggingFaceRoundTripTests : IDisposable
{
    private readonly CpuDevice device = new(2);
    private readonly TemporaryFolder folder = new();

    public static TheoryData<string> Folders => HuggingFaceTests.Folders;

    public void Dispose()
    {
        device.Dispose();
        folder.Dispose();
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void ImportedAndExportedItGivesTheSameLogits(string name)
    {
        string published = FixtureFiles.At("hf", name), run = Path.Combine(folder.Path, "run"), again = Path.Combine(folder.Path, "again");
        float[] logits = Logits(ModelFolder.Load(published, device));
        ModelFolder.Import(published, run, device);
        Assert.Equal(logits, Logits(ModelFolder.Load(run, device)));
        Family family = ModelFolder.Export(run, again, device);
        Assert.Equal(HuggingFaceFolder.Open(published).Family, family);
        Assert.Equal(logits, Logits(ModelFolder.Load(again, device)));
        Assert.Equal(family, ModelFolder.Export(again, Path.Combine(folder.Path, "once more"), device));
    }

    [Theory]
    [InlineData("(attention[heads=4, kv-heads=2] swiglu)*2", "LlamaForCausalLM")]
    [InlineData("(attention[heads=4, window=9, rope-theta=500] swiglu[hidden=48])*2", "MistralForCausalLM")]
    [InlineData("(attention[heads=4, bias] swiglu)*2", "Qwen2ForCausalLM")]
    [InlineData("attention[heads=4, qk-norm=head, norm-epsilon=1e-5] swiglu attention[heads=4, qk-norm=head, norm-epsilon=1e-5, window=7] swiglu", "Qwen3ForCausalLM")]
    [InlineData("mamba[state=8]*2", "MambaForCausalLM")]
    [InlineData("mamba2[state=16, head-dim=16]*2", "Mamba2ForCausalLM")]
    public void AModelTrainedHereIsWrittenInTheFamilyThatDescribesIt(string pattern, string architecture)
    {
        var config = new ModelConfig { Name = "tiny", Width = 32, Blocks = Pattern.Parse(pattern), TieEmbeddings = false };
        string run = Path.Combine(folder.Path, "run"), published = Path.Combine(folder.Path, "published");
        var model = new LanguageModel(config, device, 1);
        ModelFolder.Save(model, run);
        Assert.Equal(architecture, ModelFolder.Export(run, published, device).Architecture);
        LanguageModel loaded = ModelFolder.Load(published, device);
        Assert.Equal(Logits(model), Logits(loaded));
        Assert.Equal("abc"u8.ToArray().Select(b => (int)b), loaded.Tokenizer!.Encode("abc"u8)); // a model of bytes has them as tokens
    }

    [Fact]
    public void WhatNoFamilyDescribesIsRefused()
    {
        string run = Path.Combine(folder.Path, "run");
        ModelFolder.Save(new LanguageModel(new ModelConfig { Name = "tiny", Width = 32, Blocks = Pattern.Parse("gru swiglu") }, device, 1), run);
        Refused.With(() => ModelFolder.Export(run, Path.Combine(folder.Path, "published"), device), "no family describes", "gru swiglu");
        Assert.False(Directory.Exists(Path.Combine(folder.Path, "published")));
        Refused.With(() => ModelFolder.Import(run, Path.Combine(folder.Path, "other"), device), "nothing to import");
        Refused.With(() => ModelFolder.Import(FixtureFiles.At("hf", "llama"), run, device), "holds a model already");
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("mamba2")]
    [InlineData("jamba")]
    [InlineData("qwen3-next")]
    public void WhatIsPublishedInBfloat16StaysSoAndComputesTheSame(string name)
    {
        string published = FixtureFiles.At("hf", name), rounded = Path.Combine(folder.Path, "bf16"), exact = Path.Combine(folder.Path, "f32");
        foreach ((string path, SafetensorsType type) in new[] { (rounded, SafetensorsType.BF16), (exact, SafetensorsType.F32) })
        {
            Directory.CreateDirectory(path);
            File.Copy(Path.Combine(published, "config.json"), Path.Combine(path, "config.json"));
            using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(published, "model.safetensors"));
            using var writer = new SafetensorsWriter(Path.Combine(path, "model.safetensors"), file.Names.Select(n => file.Info(n) with { Type = type }));
            foreach (string key in file.Names)
            {
                var values = new float[file.Info(key).Count];
                file.ReadFloat32(key, values);
                writer.Write(key, Array.ConvertAll(values, v => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(v) & 0xffff0000)));
            }

            writer.Commit();
        }

        LanguageModel held = ModelFolder.Load(rounded, device), plain = ModelFolder.Load(exact, device), learned = ModelFolder.Load(rounded, device, learned: true);
        Assert.Equal(WeightFormat.BFloat16, held.Format);
        Assert.True(held.WeightBytes < 0.7 * plain.WeightBytes);
        Assert.Equal(WeightFormat.Float32, learned.Format);
        LawTools.Close(Logits(held), Logits(plain), 1e-5, "logits");
        Assert.Equal(Logits(plain), Logits(learned));

        // Its own format keeps it, and so does writing it again.
        ModelFolder.Import(rounded, Path.Combine(folder.Path, "run"), device);
        LanguageModel run = ModelFolder.Load(Path.Combine(folder.Path, "run"), device);
        Assert.Equal((WeightFormat.BFloat16, held.WeightBytes), (run.Format, run.WeightBytes));
        ModelFolder.Export(Path.Combine(folder.Path, "run"), Path.Combine(folder.Path, "again"), device);
        using SafetensorsFile again = SafetensorsFile.Open(Path.Combine(folder.Path, "again", "model.safetensors"));
        Assert.Contains(SafetensorsType.BF16, again.Names.Select(n => again.Info(n).Type));
        Assert.Equal(Logits(held), Logits(ModelFolder.Load(Path.Combine(folder.Path, "again"), device)));
    }

    [Fact]
    public void ASummaryTakesNoMemoryForWeights()
    {
        ModelSummary summary = ModelSummary.Read(FixtureFiles.At("hf", "jamba"), device);
        Assert.Equal(("JambaForCausalLM", 4), (summary.Family!.Architecture, summary.Config.Blocks.Count(b => b.Name is "mamba" or "attention")));
        Assert.Equal([("F32", summary.Parameters)], summary.Weights.Select(w => (w.Type, w.Parameters)));
        Assert.Equal(ModelFolder.Load(FixtureFiles.At("hf", "jamba"), device).Cost(3, 5), summary.Cost(3, 5));
    }

    private float[] Logits(LanguageModel model)
    {
        using var tape = new Tape(device) { Recording = false };
        return model.Forward(tape.Tokens([5, 17, 3, 40, 8, 8, 41, 22, 11, 30], 2, 5), model.NewState(2)).ToArray();
    }
}
