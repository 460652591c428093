using System.Text;
using System.Text.Json;

namespace Weft.Tests.Cli;

public class CompareCommandTests
{
    [Fact]
    public void EndsWithATableFindingsAndAReportAndGoesOnAfterAnInterruption()
    {
        using TemporaryFolder folder = new();
        string corpus = folder.Write("text.txt", Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 4000).Select(i => $"{i * 7919 % 1000} and "))));
        string[] command = ["compare", corpus, "--models", "mamba2[state=8, head-dim=8],swiglu[hidden=32]", "--context", "32", "--budget", "8steps", "--threads", "1", "--out", folder["out"]];
        using CancellationTokenSource cancelled = new();
        cancelled.Cancel();
        CommandResult stopped = WeftProgram.Run(null, cancelled.Token, command);
        Assert.Equal(130, stopped.Code);
        Assert.Contains("To go on:", stopped.Error);
        Assert.False(File.Exists(Path.Combine(folder["out"], "report.html")));

        CommandResult result = WeftProgram.Run(command);
        Assert.Equal("", result.Error);
        Assert.Equal(0, result.Code);
        string html = Path.Combine(folder["out"], "report.html");
        Assert.All((string[])["text.txt", "mamba2[head-dim=8, state=8]", "bits/byte", "gzip -9", "Brotli 11", "Compression:", html, new Uri(html).AbsoluteUri],
            part => Assert.Contains(part, result.Out));
        Assert.True(File.Exists(html));
        using JsonDocument report = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder["out"], "report.json")), default);
        Assert.Equal(2, report.RootElement.GetProperty("models").GetArrayLength());
        Assert.StartsWith("weft compare ", report.RootElement.GetProperty("command").GetString());
    }
}
