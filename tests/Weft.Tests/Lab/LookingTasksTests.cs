using Weft.Lab;
using Weft.Lab.Tasks;
using Weft.Lab.TextTasks;
using Weft.Models;
using Weft.Tensors;
using Weft.Tests.Models;
using Weft.Training;

namespace Weft.Tests.Lab;

/// <summary>The tasks that look into a model (massive, repetition) or at its speed (decode) measure what they say they do, and speak of it.</summary>
public sealed class LookingTasksTests : IDisposable
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private readonly Device _device = Device.Open(threads: 1);
    private readonly Corpus _text = Corpus.FromText(string.Concat(Enumerable.Range(0, 4000).Select(i => $"{i * 7919 % 1000} words, then more.\n")));

    public void Dispose()
    {
        _text.Dispose();
        _device.Dispose();
    }

    [Theory]
    [InlineData("massive", "mamba2[state=8, head-dim=8] swiglu[hidden=24]")]
    [InlineData("repetition", "attention[heads=2, head-dim=8] swiglu[hidden=24]")]
    [InlineData("decode", "attention[heads=2, head-dim=8, window=64]")]
    public void WhatIsMeasuredIsWhatIsPromised(string name, string pattern)
    {
        TextTask task = TextTaskTable.All.Single(t => t.Name == name);
        ModelConfig config = TinyModels.Config(pattern);
        Condition condition = Assert.Single(task.Conditions(_text, config, new Budget(BudgetKind.Data, 1e6)));
        Assert.Equal(name == "decode", !task.Trains);
        List<TextPoint> found = [];
        task.Measure(new TrainedText(new LanguageModel(config, _device, 1), condition, _text, 8, 0, 0, 0), (quantity, x, value) => found.Add(new TextPoint(quantity, x, value)), Cancel);
        Assert.Equal(task.Quantities.Select(q => q.Name).Order(), found.Select(p => p.Quantity).Distinct().Order());
        Assert.Equal(found.Count, found.DistinctBy(p => (p.Quantity, p.X)).Count());
        Assert.All(found, p => Assert.True(double.IsFinite(p.Value), p.Quantity));
        Assert.Equal(name switch { "massive" => 2, "repetition" => 16, _ => 1 << 20 }, found.Max(p => p.X));

        string[] said = [.. task.Findings(Report(task, condition, found))];
        Assert.NotEmpty(said);
        Assert.All(said, s => Assert.Contains(": ", s));
        Assert.Empty(task.Findings(Report(task, condition, [])));
    }

    [Fact]
    public void VotesThatDoubleTheOddsAreSaidToRiseByOneBit()
    {
        TextTask task = TextTaskTable.All.Single(t => t.Name == "repetition");
        Condition condition = Assert.Single(task.Conditions(_text, TinyModels.Config(), new Budget(BudgetKind.Data, 1e6)));
        TextPoint[] found =
        [
            .. Repetition.Votes.Select(r => new TextPoint("votes", r, Math.Log2(r) - 3)), .. Repetition.Copies.Select(r => new TextPoint("rest", r, 0.01 * r)),
            .. Repetition.Copies.Select(r => new TextPoint("start", r, 0.1 * r)),
            .. Repetition.Copies.Select(r => new TextPoint("again", r, 2.5 - (0.01 * r))),
        ];
        string said = string.Join('\n', task.Findings(Report(task, condition, found)));
        Assert.Contains("rise by 1.00 bits in tiny", said);
        Assert.Contains("by tiny (2.34 and 2.50 bits per byte)", said);
        Assert.Contains("0.160 bits per byte more in tiny", said);
    }

    [Fact]
    public void TheDecodeModelsHoldAMillionTokensInLittleMoreThanAGigabyte()
    {
        TextTask task = TextTaskTable.All.Single(t => t.Name == "decode");
        Assert.All(task.Models, m =>
        {
            var model = new LanguageModel(Presets.Resolve(m, task.Width), _device, 1);
            Assert.InRange(model.Cost(1, (1 << 20) - 1).StateBytes, 1, 1.1 * (1 << 30));
        });
    }

    [Fact]
    public void AStateAboveTheLimitIsComputedFromShorterOnes()
    {
        LanguageModel model = TinyModels.Create(_device, "attention[heads=2, head-dim=8]");
        IReadOnlyList<DecodePoint> points = DecodeSpeed.Measure(model, [64, 128, 256], model.Cost(1, 127).StateBytes, Cancel);
        Assert.Equal([true, true, false], points.Select(p => p.Measured));
        Assert.Equal(2 * points[1].StateBytes, points[2].StateBytes);
    }

    [Fact]
    public void WhatTrainsNothingTakesNoBudget()
    {
        using var folder = new TemporaryFolder();
        var options = new ProbeOptions { Models = ["swiglu"], Out = folder.Path, Budget = new Budget(BudgetKind.Data, 1e6) };
        Refused.With(() => TextProbe.Run(TextTaskTable.All.Single(t => t.Name == "decode"), _text, options, _ => { }, Cancel), "decode", "--budget");
    }

    [Fact]
    public void WhatTrainsNothingIsMeasuredOnceASeedAndGoneOnWith()
    {
        using var folder = new TemporaryFolder();
        TextTask task = TextTaskTable.All.Single(t => t.Name == "decode");
        var options = new ProbeOptions { Models = ["attention[window=64]"], Width = 32, Out = folder.Path, Threads = 1 };
        TextReport report = TextProbe.Run(task, _text, options, _ => { }, Cancel);
        TextCondition condition = Assert.Single(Assert.Single(report.Models).Conditions);
        Assert.Equal(options.Seeds, condition.Trainings.Count);
        Assert.All(condition.Trainings, t => Assert.Equal((0, 0, 0), (t.Flops, t.Bytes, t.Rate)));
        Assert.Equal("", report.Budget);
        Assert.DoesNotContain("budget", report.Command);
        Assert.Contains(report.Findings, f => f.Contains("256k", StringComparison.Ordinal) || f.Contains("1024k", StringComparison.Ordinal));
        byte[] written = File.ReadAllBytes(Path.Combine(folder.Path, "report.json"));
        TextProbe.Run(task, _text, options, _ => { }, Cancel); // times are those kept
        Assert.Equal(written, File.ReadAllBytes(Path.Combine(folder.Path, "report.json")));
    }

    private static TextReport Report(TextTask task, Condition condition, IReadOnlyList<TextPoint> found) => new()
    {
        Task = new AskedOfText(task.Name, task.Line, task.Source, task.Axis, [], task.Quantities),
        Text = new Weft.Lab.Report.CorpusInfo("text", 1, 1, 1),
        Budget = "1MB",
        Seeds = 1,
        Machine = null!,
        Command = "",
        Models = [new TextModel("tiny", "x", 16, [new TextCondition(condition.Name, condition.X, "x", 1, condition.Context, 1e-3, [], [new TextTraining(1e-3, 1, 0, 0, 0, 8, found)])])],
    };
}
