using System.Text.Json;

namespace Weft.Tests.Cli;

public class ScalingCommandTests
{
    [Fact]
    public void EndsWithATableAndAReportAndGoesOnAfterAnInterruption()
    {
        using TemporaryFolder folder = new();
        string text = folder.Write("text.txt", [.. Enumerable.Range(0, 20_000).Select(i => (byte)('a' + (i * i % 11)))]);
        string[] command = ["scaling", text, "--models", "attention[head-dim=8] swiglu", "--budgets", "1e9flop,2e9", "--sizes", "1", "--context", "16", "--no-shapes", "--threads", "1", "--out", folder["out"]];
        using CancellationTokenSource cancelled = new();
        cancelled.Cancel();
        CommandResult stopped = WeftProgram.Run(null, cancelled.Token, command);
        Assert.Equal(130, stopped.Code);
        Assert.Contains("To go on:", stopped.Error);
        Assert.False(File.Exists(Path.Combine(folder["out"], "report.json")));

        CommandResult result = WeftProgram.Run(command);
        Assert.Equal("", result.Error);
        Assert.Equal(0, result.Code);
        Assert.All((string[])["text.txt: ", "about 6 runs of", "sweeping", "training", "done", "alpha", "Report: "], part => Assert.Contains(part, result.Out));
        using JsonDocument report = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder["out"], "report.json")), default);
        Assert.StartsWith("weft scaling", report.RootElement.GetProperty("command").GetString());
    }

    [Theory]
    [InlineData("'mambo'", "--models", "mambo")]
    [InlineData("--budgets 'many' is no number of FLOPs", "--budgets", "many")]
    [InlineData("has one twice", "--budgets", "1e9,1e9flop")]
    [InlineData("--inference '-3' is no number of FLOPs", "--inference", "-3")]
    [InlineData("give at least", "--budgets", "100", "--models", "gru")]
    public void MistakesAreToldInALine(string says, params string[] options)
    {
        using TemporaryFolder folder = new();
        CommandResult result = WeftProgram.Run(["scaling", .. options, "--out", folder["out"]]);
        Assert.NotEqual(0, result.Code);
        Assert.Contains(says, result.Error);
        Assert.False(Directory.Exists(folder["out"]));
    }
}
