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
}
