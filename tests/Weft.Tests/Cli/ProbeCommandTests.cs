using System.Text.Json;
using Weft.Lab.Tasks;

namespace Weft.Tests.Cli;

public class ProbeCommandTests
{
    [Fact]
    public void AloneItListsTheTasks()
    {
        CommandResult result = WeftProgram.Run("probe");
        Assert.Equal(0, result.Code);
        Assert.All(TaskTable.All, task => Assert.Contains(task.Name, result.Out));
        Assert.Contains("weft probe mqar", result.Out);
        Assert.Contains("--grid mini or full", result.Out);
    }

    [Fact]
    public void AGridIsOfMadAloneAndHasAName()
    {
        Assert.Contains("weft: unknown grid 'ful'; nearest: full", WeftProgram.Run("probe", "mad", "--grid", "ful").Error);
        Assert.Contains("weft: --grid is of mad; mqar has none", WeftProgram.Run("probe", "mqar", "--grid", "mini").Error);
        Assert.Contains("learns from no file", WeftProgram.Run("probe", "mad", "notes.txt").Error);
    }

    [Fact]
    public void EndsWithATableAndAReportAndGoesOnAfterAnInterruption()
    {
        using TemporaryFolder folder = new();
        string[] command = ["probe", "mqar", "--models", "swiglu[hidden=8]", "--width", "8", "--budget", "2steps", "--seeds", "2", "--rates", "0.01,0.001", "--threads", "1", "--out", folder["out"]];
        using CancellationTokenSource cancelled = new();
        cancelled.Cancel();
        CommandResult stopped = WeftProgram.Run(null, cancelled.Token, command);
        Assert.Equal(130, stopped.Code);
        Assert.Contains("To go on:", stopped.Error);
        Assert.Contains("begins again", stopped.Error);
        Assert.False(File.Exists(Path.Combine(folder["out"], "report.json")));

        CommandResult result = WeftProgram.Run(command);
        Assert.Equal("", result.Error);
        Assert.Equal(0, result.Code);
        Assert.All((string[])["mqar: ", "3 trials of 2steps: at most", "rate 1/2", "rate 2/2", "seed 2/2", "exact", "done", "Report: "], part => Assert.Contains(part, result.Out));
        using JsonDocument report = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder["out"], "report.json")), default);
        Assert.Equal(2, report.RootElement.GetProperty("models")[0].GetProperty("trials").GetArrayLength());
        Assert.StartsWith("weft probe", report.RootElement.GetProperty("command").GetString());
    }

    [Fact]
    public void DifficultiesAreNumbersOrRangesAndEachRateIsTriedWithEachDecay()
    {
        using TemporaryFolder folder = new();
        CommandResult result = WeftProgram.Run("probe", "parity", "--models", "swiglu[hidden=8]", "--width", "8", "--train-on", "3-5,8", "--score-on", "4", "--rates", "0.01", "--decays", "0,0.1",
            "--budget", "2steps", "--seeds", "1", "--threads", "1", "--out", folder["out"]);
        Assert.Equal("", result.Error);
        using JsonDocument report = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder["out"], "report.json")), default);
        Assert.Equal([3, 4, 5, 8], report.RootElement.GetProperty("task").GetProperty("train_on").EnumerateArray().Select(d => d.GetInt32()));
        Assert.Equal([0, 0.1], report.RootElement.GetProperty("models")[0].GetProperty("sweep").EnumerateArray().Select(t => t.GetProperty("decay").GetDouble()));
    }

    [Theory]
    [InlineData("parity", "--train-on", "4-", "--train-on '4-' are not whole numbers above 0, or ranges of them, with commas between: --train-on 4,8,10-20")]
    [InlineData("parity", "--score-on", "9-3", "--score-on '9-3' are not whole numbers")]
    [InlineData("parity", "--train-on", "0-3", "--train-on '0-3' are not whole numbers")]
    [InlineData("parity", "--train-on", "3,1-2000000000", "are too many difficulties; give at most 1024")]
    [InlineData("parity", "--decays", "0,0", "--decays '0,0' has a number twice")]
    [InlineData("parity", "--decays", "-1", "are not numbers of 0 or more, at most 10, with commas between: --decays 0,0.1")]
    [InlineData("parity", "--rates", "0", "are not numbers above 0, at most 10, with commas between: --rates 0.001,0.003")]
    [InlineData("filler", "--decays", "0", "filler learns from a text, not a task of examples")]
    [InlineData("mad", "--train-on", "4", "mad is a grid of settings, not a task of examples")]
    public void NumbersThatWillNotDoAreToldInALine(string task, string option, string value, string said)
    {
        CommandResult result = WeftProgram.Run("probe", task, $"{option}={value}");
        Assert.Equal(2, result.Code);
        Assert.Contains(said, result.Error);
    }
}
