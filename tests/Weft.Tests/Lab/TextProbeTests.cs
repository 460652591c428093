using System.Text.RegularExpressions;
using Weft.Lab.Report;
using Weft.Lab.Tasks;
using Weft.Lab.TextTasks;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;
using static Weft.Tests.Lab.PageBrowser;

namespace Weft.Tests.Lab;

public class TextProbeTests
{
    private static Corpus Text { get; } = Corpus.FromText(string.Concat(Enumerable.Range(0, 600).Select(i => $"line {i} of {i * 7 % 100} words, ")));

    private static ProbeOptions Options(string folder) => new()
    {
        Models = ["swiglu[hidden=16]", "mamba2[state=8]"],
        Width = 32,
        Budget = new Budget(BudgetKind.Data, 8000),
        Rates = [0.003, 0.03],
        Seeds = 2,
        Out = folder,
        Threads = 1,
        Precision = Precision.Float32,
    };

    private static TextReport Run(ProbeOptions options, Action<ProbeProgress>? progress = null, TextTask? task = null) =>
        TextProbe.Run(task ?? new Doubled(), Text, options, progress ?? (_ => { }), TestContext.Current.CancellationToken);

    [Fact]
    public void EachConditionIsTrainedFromEachSeedAtTheRateOfTheSweepAndTwoRunsAreTheSame()
    {
        using TemporaryFolder folder = new();
        TextReport report = Run(Options(folder["a"]), p => Assert.InRange(p.Fraction, 0, 1));
        Assert.Equal(2, report.Models.Count);
        Assert.All(report.Models, m =>
        {
            Assert.Equal([1, 2], m.Conditions.Select(c => c.X));
            Assert.Equal([0.003, 0.03], m.Conditions[0].Sweep.Select(t => t.Rate));
            Assert.Empty(m.Conditions[1].Sweep);
            Assert.All(m.Conditions, c => Assert.Equal(m.Conditions[0].Sweep.MinBy(t => t.BitsPerByte)!.Rate, c.Rate));
            Assert.All(m.Conditions, c => Assert.Equal([1, 2], c.Trainings.Select(t => t.Seed)));
            Assert.All(m.Conditions.SelectMany(c => c.Trainings), t => Assert.Equal(["bits", "thousandth"], t.Found.Select(f => f.Quantity)));
            Assert.All(m.Conditions.SelectMany(c => c.Trainings), t => Assert.InRange(t.Bytes, 7000, 9000));
            Assert.Equal([1, 2], m.Axis("bits"));
            Assert.Equal(2, m.At("bits", 2).Count);
        });
        Assert.Contains(report.Findings, f => f.StartsWith("Told: ", StringComparison.Ordinal));
        Run(Options(folder["b"]));
        Assert.Equal(ButForTimes(folder["a"]), ButForTimes(folder["b"]));
    }

    [Fact]
    public void AnInterruptedProbeGoesOnToTheSameReportAndOthersAreRefused()
    {
        using TemporaryFolder folder = new();
        Run(Options(folder["whole"]));
        using CancellationTokenSource cancelled = new();
        Assert.Throws<OperationCanceledException>(() => TextProbe.Run(new Doubled(), Text, Options(folder["cut"]), p =>
        {
            if (p is { Phase: ProbePhase.Repeating })
            {
                cancelled.Cancel();
            }
        }, cancelled.Token));
        string[] kept = Directory.GetFiles(Path.Combine(folder["cut"], Probe.TrialsFolder));
        DateTime[] before = [.. kept.Select(File.GetLastWriteTimeUtc)];
        Assert.Equal(3, kept.Length); // the plan and two rates
        Run(Options(folder["cut"]));
        Assert.Equal(before, kept.Select(File.GetLastWriteTimeUtc));
        Assert.Equal(ButForTimes(folder["whole"]), ButForTimes(folder["cut"]));
        Assert.Contains("of doubled with other models or settings", Assert.Throws<InputException>(() => Run(Options(folder["cut"]) with { Seeds = 1 })).Message);
    }

    [Fact]
    public void ABudgetThatPaysNoStepSaysWhatOneTakes()
    {
        using TemporaryFolder folder = new();
        InputException e = Assert.Throws<InputException>(() => Run(Options(folder["a"]) with { Budget = new Budget(BudgetKind.Flops, 5) }));
        Assert.Matches("5flop does not pay one step of 'swiglu.*once.*FLOPs.*give more", e.Message);
        Assert.False(File.Exists(Path.Combine(folder["a"], "report.json")));
    }

    [Fact]
    public void ATrainingThatDivergesIsSaidToAndHasNoFigures()
    {
        using TemporaryFolder folder = new();
        TextReport report = Run(Options(folder.Path) with { Models = ["swiglu[hidden=16, pre-norm=none]*4"], Rates = [10], Seeds = 1 });
        Assert.All(report.Models[0].Conditions, c => Assert.True(double.IsNaN(c.Trainings[0].BitsPerByte)));
        Assert.Contains(report.Findings, f => f.StartsWith("Diverged: ", StringComparison.Ordinal));
        Assert.Empty(report.Models[0].Axis("bits"));
    }

    [Fact]
    public async Task EveryChartIsDrawnInABrowser()
    {
        if (Find() is not { } browser)
        {
            Assert.Skip("No Chromium, Chrome or Edge is installed, so the page was not opened.");
            return;
        }

        using PageFolder folder = new();
        TextReport report = Run(Options(folder.Path));
        string dom = await Open(browser, folder.Page, folder.Path);
        RequireNoScriptError(dom, browser);
        Assert.Equal(report.Findings.Count, Regex.Count(Between(dom, "id=\"findings\"", "</dl>"), "<dd>"));
        for (int i = 0; i < report.Task.Quantities.Count; i++)
        {
            Assert.Contains("data-lines=\"4\"", Between(dom, $"id=\"quantity-{i}\"", "<figcaption"), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void FillerStandsAfterEveryByteAndPiecesReadAsTheWhole(int k)
    {
        var source = new FilledCorpus(Text, k);
        int[] whole = new int[200];
        source.Read(0, whole);
        byte[] bytes = new byte[200];
        Text.Read(0, bytes);
        Assert.All(whole, (token, i) => Assert.Equal(i % k == 0 ? bytes[i / k] : FilledCorpus.Filler, token));
        for (int from = 0; from < 12; from++)
        {
            for (int count = 0; count < 12; count++)
            {
                int[] piece = new int[count];
                source.Read(from, piece);
                Assert.Equal(whole[from..(from + count)], piece);
                Assert.Equal(piece.Count(t => t != FilledCorpus.Filler), source.BytesOf(from, count));
            }
        }
    }

    /// <summary>Every task with tiny models and little text: each quantity is measured somewhere, and nothing else is.</summary>
    [Theory]
    [MemberData(nameof(Tasks))]
    public void EachTaskMeasuresWhatItNames(string name)
    {
        TextTask task = TextTaskTable.All.Single(t => t.Name == name);
        using TemporaryFolder folder = new();
        using Corpus text = task.DefaultText() ?? Text;
        TextReport report = TextProbe.Run(task, text, new ProbeOptions
        {
            Models = ["mamba2[state=8]*2"],
            Width = 32,
            Budget = task.Trains ? new Budget(task.Equal, task.Equal == BudgetKind.Flops ? 1e9 : 20_000) : null,
            Rates = task.Trains ? [0.003] : null,
            Seeds = 1,
            Out = folder.Path,
        }, _ => { }, TestContext.Current.CancellationToken);
        string[] found = [.. report.Models.SelectMany(m => m.Conditions).SelectMany(c => c.Trainings).SelectMany(t => t.Found).Where(p => double.IsFinite(p.Value)).Select(p => p.Quantity).Distinct()];
        Assert.Equal(task.Quantities.Select(q => q.Name).Order(StringComparer.Ordinal), found.Order(StringComparer.Ordinal));
        Assert.All(task.Quantities, q => Assert.Contains(report.Findings, f => f.StartsWith(q.Title + ": ", StringComparison.Ordinal)));
    }

    public static TheoryData<string> Tasks => [.. TextTaskTable.All.Select(t => t.Name)];

    private static string ButForTimes(string folder) => Regex.Replace(File.ReadAllText(Path.Combine(folder, "report.json")), "\"seconds\": [-+.eE0-9]+", "\"seconds\": 0");

    /// <summary>Bytes once, and each twice.</summary>
    private sealed class Doubled : TextTask
    {
        public override string Name => "doubled";
        public override string Line => "learn bytes that come once or twice";
        public override string Source => "this test";
        public override string Axis => "times";
        public override IReadOnlyDictionary<double, string> Ticks { get; } = new Dictionary<double, string> { [1] = "once" };
        public override IReadOnlyList<string> Models => ["swiglu"];
        public override BudgetKind Equal => BudgetKind.Data;
        public override IReadOnlyList<Quantity> Quantities { get; } = [new("bits", "Bits", "Low.", Better.Lower) { Unit = "bits" }, new("thousandth", "Thousandths", "A number.", Better.Neither) { IsLogarithmic = true }];

        public override IReadOnlyList<Condition> Conditions(Corpus text, ModelConfig model, Budget budget) =>
            [new("once", 1, model, text, budget) { Context = 32 }, new("twice", 2, model, new FilledCorpus(text, 2), budget) { Context = 64, Batch = 4 }];

        public override void Measure(TrainedText trained, Action<string, double, double> found, CancellationToken cancel)
        {
            found("bits", trained.Condition.X, trained.BitsPerByte);
            found("thousandth", trained.Condition.X, trained.BitsPerByte / 1000);
        }

        public override IEnumerable<string> Findings(TextReport report) => [$"Told: {report.Models.Count} models."];
    }
}
