using System.Text;
using System.Text.Json;
using Weft.Tensors;

namespace Weft.Tests.Cli;

/// <summary>weft bench and --profile: their shape, not their figures, which are the machine's.</summary>
public class BenchCommandTests
{
    private const string Pattern = "mamba2[head-dim=8, state=8] swiglu";

    private static readonly string[] Rows = ["operation", "MatMul", "between operations", "total"];

    [Fact]
    public void BenchMeasuresTrainingPrefillAndDecoding()
    {
        using TemporaryFolder folder = new();
        CommandResult result = WeftProgram.Run("bench", "--models", $"swiglu,{Pattern}", "--width", "16", "--context", "24", "--batch", "2", "--seconds", "0.01", "--threads", "1", "--json", folder["speed.json"]);
        Assert.Equal((0, ""), (result.Code, result.Error));
        Assert.All([.. Rows, "ceilings: ", "swiglu, a training step, 2 x 24 bytes: forward", "prefill of 24 bytes", "decoding, a byte after 24"], part => Assert.Contains(part, result.Out));
        Assert.DoesNotContain("NaN", result.Out);

        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(folder["speed.json"]));
        Assert.Contains(json.RootElement.GetProperty("ceilings").EnumerateArray(), c => c.TryGetProperty("flops_per_second", out JsonElement rate) && rate.GetDouble() > 0);
        JsonElement[] models = [.. json.RootElement.GetProperty("models").EnumerateArray()];
        Assert.Equal(2, models.Length);
        foreach (JsonElement model in models)
        {
            foreach ((string phase, int tokens) in new[] { ("training", 48), ("prefill", 24), ("decode", 1) })
            {
                JsonElement measured = model.GetProperty(phase), profile = measured.GetProperty("profile");
                Assert.Equal(tokens, measured.GetProperty("tokens").GetInt32());
                Assert.True(measured.GetProperty("tokens_per_second").GetDouble() > 0);
                // What a profile attributes to operations is what was counted without it.
                long flops = profile.GetProperty("operations").EnumerateArray().Sum(o => o.GetProperty("flops").GetInt64());
                Assert.Equal(measured.GetProperty("flops").GetInt64() * profile.GetProperty("times").GetInt64(), flops);
            }
        }
    }

    [Fact]
    public void ATrainingAndAGenerationShowTheirProfiles()
    {
        using TemporaryFolder folder = new();
        string corpus = folder.Write("text.txt", Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 2000).Select(i => $"{i} ")))), run = folder["run"];
        string[] train = ["train", corpus, "--model", Pattern, "--width", "16", "--context", "32", "--batch", "2", "--threads", "1", "--budget", "12steps", "--out", run];
        CommandResult trained = WeftProgram.Run([.. train, "--profile"]);
        Assert.Equal((0, ""), (trained.Code, trained.Error));
        Assert.All([.. Rows, "ceilings: ", "mean of 12"], part => Assert.Contains(part, trained.Out));
        Assert.DoesNotContain("operation", WeftProgram.Run([.. train, "--profile"]).Out); // finished: there is nothing to measure

        string[] generate = ["generate", run, "--prompt", "12 1", "--tokens", "20"];
        CommandResult plain = WeftProgram.Run(generate), profiled = WeftProgram.Run([.. generate, "--profile"]);
        Assert.Equal("", plain.Error);
        Assert.Equal((0, plain.Out), (profiled.Code, profiled.Out));
        Assert.All([.. Rows, "reading 4 tokens", "a token generated, mean of 20"], part => Assert.Contains(part, profiled.Error));
        CommandResult read = WeftProgram.Run([.. generate[..4], "--tokens", "0", "--profile"]);
        Assert.Contains("reading 4 tokens", read.Error);
        Assert.DoesNotContain("a token generated", read.Error);
    }

    [Fact]
    public void AnInterruptedBenchEndsAndLeavesNoFile()
    {
        using TemporaryFolder folder = new();
        CommandResult result = WeftProgram.Run(null, new CancellationToken(canceled: true), "bench", "--models", "swiglu", "--width", "16", "--json", folder["speed.json"]);
        Assert.Equal(130, result.Code);
        Assert.Empty(Directory.GetFiles(folder.Path));
    }
}
