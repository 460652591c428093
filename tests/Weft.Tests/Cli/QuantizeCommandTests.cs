using System.Text;
using System.Text.Json;

namespace Weft.Tests.Cli;

/// <summary>--quantize of generate, inspect and bench.</summary>
public class QuantizeCommandTests
{
    private static readonly string[] Model = ["--model", "mamba2[head-dim=16, state=16] swiglu", "--width", "64", "--context", "64", "--batch", "4", "--threads", "1", "--budget", "60steps"];

    private static string Train(TemporaryFolder folder)
    {
        string corpus = folder.Write("text.txt", Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 4000).Select(i => $"{i * 7919 % 1000} and ")))), run = folder["run"];
        CommandResult result = WeftProgram.Run(["train", corpus, .. Model, "--out", run]);
        Assert.True(result.Code == 0, result.Error);
        return run;
    }

    [Fact]
    public void GenerationGoesOnFromAStateInTheSameForm()
    {
        using TemporaryFolder folder = new();
        string run = Train(folder), state = folder["a.state"];
        foreach (string format in new[] { "bf16", "int8", "int4" })
        {
            foreach (string precision in new[] { "float32", "bf16" })
            {
                string[] options = ["--quantize", format, "--precision", precision, "--threads", "1"], generate = ["generate", run, "--tokens", "30", "--seed", "3", .. options];
                CommandResult said = WeftProgram.Run([.. generate, "--prompt", "12 and "]);
                Assert.True(said.Code == 0, said.Error);
                Assert.NotEmpty(said.Out);
                Assert.Equal(said.Out, WeftProgram.Run([.. generate, "--prompt", "12 and "]).Out);
                Assert.Equal(0, WeftProgram.Run(["generate", run, "--prompt", "12 a", "--tokens", "0", "--save-state", state, .. options]).Code);
                Assert.Equal(0, WeftProgram.Run([.. generate, "--state", state, "--prompt", "nd "]).Code);
                CommandResult other = WeftProgram.Run("generate", run, "--prompt", "a", "--state", state);
                Assert.Equal(2, other.Code);
                OneLine.Is(other.Error, "a.state", "quantisation differ");
            }
        }
    }

    [Fact]
    public void InspectTellsBytesAndLossOfEachForm()
    {
        using TemporaryFolder folder = new();
        string run = Train(folder), corpus = folder["text.txt"];
        CommandResult text = WeftProgram.Run("inspect", run, "--quantize", "--corpus", corpus);
        Assert.Equal((0, ""), (text.Code, text.Error));
        Assert.All(["float32", "bf16", "int8", "int4", "held out of text.txt"], part => Assert.Contains(part, text.Out));
        Assert.DoesNotContain("int8", WeftProgram.Run("inspect", run).Out);

        using JsonDocument json = JsonDocument.Parse(WeftProgram.Run("inspect", run, "--quantize", "--json").Out);
        JsonElement[] forms = [.. json.RootElement.GetProperty("weights").EnumerateArray()];
        Assert.Equal(["float32", "bf16", "int8", "int4"], forms.Select(f => f.GetProperty("form").GetString()));
        long[] bytes = [.. forms.Select(f => f.GetProperty("bytes").GetInt64())];
        Assert.Equal(bytes.OrderDescending(), bytes);
        Assert.InRange(bytes[3], bytes[0] / 7, bytes[0] / 5);
        Assert.Equal(0, forms[0].GetProperty("loss").GetDouble());
        Assert.InRange(bytes[1], bytes[0] * 10 / 21, bytes[0] * 10 / 19);
        Assert.InRange(forms[1].GetProperty("loss").GetDouble(), -0.01, 0.01);
        Assert.InRange(forms[2].GetProperty("loss").GetDouble(), -0.01, 0.01);
        Assert.InRange(forms[3].GetProperty("loss").GetDouble(), -0.1, 0.1);
    }

    [Fact]
    public void BenchMeasuresPrefillAndDecodingOnly()
    {
        using TemporaryFolder folder = new();
        CommandResult result = WeftProgram.Run("bench", "--models", "swiglu", "--width", "64", "--context", "24", "--seconds", "0.01", "--threads", "1", "--quantize", "int4", "--json", folder["speed.json"]);
        Assert.Equal((0, ""), (result.Code, result.Error));
        Assert.All(["swiglu in int4, prefill of 24 bytes", "swiglu in int4, decoding"], part => Assert.Contains(part, result.Out));
        Assert.DoesNotContain("a training step", result.Out);
        Assert.DoesNotContain("NaN", result.Out);
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(folder["speed.json"]));
        JsonElement model = json.RootElement.GetProperty("models")[0];
        Assert.Equal("int4", model.GetProperty("weights").GetString());
        Assert.InRange(model.GetProperty("weight_bytes").GetInt64(), 1, model.GetProperty("parameters").GetInt64());
        Assert.False(model.TryGetProperty("training", out _));
        Assert.True(model.GetProperty("decode").GetProperty("tokens_per_second").GetDouble() > 0);
    }
}
