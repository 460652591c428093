using System.Text.Json;
using System.Text.RegularExpressions;
using Weft.Lab;
using Weft.Lab.Report;
using Weft.Lab.ScalingLaws;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Tests.Lab;

public class ScalingTests
{
    private static readonly byte[] Text = [.. Enumerable.Range(0, 60_000).Select(i => (byte)"to be or not to be, that is the question; "[i * (1 + (i / 4000 % 3)) % 42])];

    private static ScalingOptions Options(string folder) => new()
    {
        Models = ["attention[head-dim=8] swiglu", "mingru swiglu"],
        Budgets = [1e9, 3e9],
        Sizes = 2,
        Context = 16,
        Shapes = false,
        Out = folder,
        Threads = 1,
        Precision = Precision.Float32,
    };

    private static ScalingReport Run(ScalingOptions options, Action<ComparisonProgress>? progress = null)
    {
        using Corpus corpus = Corpus.FromBytes(Text, "play");
        return Scaling.Run(corpus, options, progress ?? (_ => { }), TestContext.Current.CancellationToken);
    }

    [Fact]
    public void ATinyStudyIsTheSameTwiceAndSpendsItsBudgets()
    {
        using TemporaryFolder folder = new();
        var rows = new HashSet<(int, ComparisonPhase)>();
        ScalingReport report = Run(Options(folder["a"]), p =>
        {
            Assert.InRange(p.Fraction, 0, 1);
            rows.Add((p.Model, p.Phase));
        });
        Assert.Superset(new HashSet<(int, ComparisonPhase)> { (0, ComparisonPhase.Preparing), (0, ComparisonPhase.Sweeping), (0, ComparisonPhase.Training), (0, ComparisonPhase.Done), (1, ComparisonPhase.Done) }, rows);
        Assert.Equal(2, report.Models.Count);
        Assert.All(report.Models, m =>
        {
            Assert.InRange(m.Sweep.Count, 4, 6);
            Assert.Contains(m.Sweep, r => r.Rate == m.Rate);
            Assert.Equal([1e9, 3e9], m.Frontier.Select(p => p.Budget));
            Assert.All(m.Runs, r =>
            {
                Assert.InRange(r.Flops, 0.9 * r.Budget, r.Budget); // whole steps
                Assert.True(r.BitsPerByte is > 0 and < 8);
                Assert.Equal(r.Parameters - (256 * r.Width), r.NonEmbedding);
                Assert.Equal(m.Rate * Math.Sqrt((double)m.RateWidth / r.Width), r.Rate, 1e-5);
            });
            Assert.Equal("L(C) = A C^-alpha", m.Compute!.Form);
        });
        Assert.Equal(2, report.Ratios.Count);
        Assert.Contains(report.Findings, f => f.Contains("do not determine a floor E", StringComparison.Ordinal));
        Run(Options(folder["b"]));
        Assert.Equal(ButForTimes(folder["a"]), ButForTimes(folder["b"]));
        Assert.True(File.Exists(Path.Combine(folder["a"], "report.html")));
    }

    [Fact]
    public void AnInterruptedStudyGoesOnToTheSameReport()
    {
        using TemporaryFolder folder = new();
        Run(Options(folder["whole"]));
        using CancellationTokenSource cancelled = new();
        using Corpus corpus = Corpus.FromBytes(Text, "play");
        Assert.Throws<OperationCanceledException>(() => Scaling.Run(corpus, Options(folder["cut"]), p =>
        {
            if (p is { Model: 0, Phase: ComparisonPhase.Training })
            {
                cancelled.Cancel();
            }
        }, cancelled.Token));
        Assert.False(File.Exists(Path.Combine(folder["cut"], "report.json")));
        string[] kept = Runs();
        DateTime[] before = [.. kept.Select(File.GetLastWriteTimeUtc)];
        Assert.InRange(kept.Length, 4, 7);
        Run(Options(folder["cut"]));
        Assert.Equal(before, kept.Select(File.GetLastWriteTimeUtc));
        Assert.Equal(ButForTimes(folder["whole"]), ButForTimes(folder["cut"]));

        // A run's file that is broken is made again.
        File.WriteAllText(kept[0], "{ \"key\": ");
        Run(Options(folder["cut"]));
        Assert.Equal(ButForTimes(folder["whole"]), ButForTimes(folder["cut"]));

        string[] Runs() => [.. Directory.GetFiles(Path.Combine(folder["cut"], Scaling.RunsFolder)).Where(f => Path.GetFileName(f) != "plan.json").Order(StringComparer.Ordinal)];
    }

    [Fact]
    public void ShapesAreTrainedAtEqualParametersAndOneIsProposed()
    {
        using TemporaryFolder folder = new();
        ScalingOptions options = Options(folder["a"]) with { Models = ["mingru swiglu", "attention[head-dim=64, window=64] swiglu"], Budgets = [2.5e9], Sizes = 1, Shapes = true };
        ScalingReport report = Run(options);
        ShapeReport shapes = report.Shapes!;
        Assert.Equal("attention[head-dim=64, window=64] swiglu", shapes.Model);
        long own = report.Models[1].Frontier[0].Parameters;
        Assert.True(shapes.Shapes.Count > 6);
        Assert.All(shapes.Shapes, s =>
        {
            Assert.InRange(s.Run.Parameters, own / 2, own * 2); // small widths round coarsely
            Assert.Equal(2.5e9, s.Run.Budget);
            Assert.True(s.Cost.FlopsPerToken > 0 && s.Cost.DecodeTokensPerSecond > 0 && s.Cost.PrefillTokensPerSecond > 0);
            Assert.Contains("window=64", s.Pattern);
        });
        Assert.NotNull(shapes.Law);
        Assert.NotNull(shapes.Error);
        ShapeProposal proposal = shapes.Proposal!;
        Assert.True(proposal.Cost.FlopsPerToken <= proposal.Allowed);
        Assert.InRange(proposal.Ratio, shapes.Shapes.Min(s => s.Ratio), shapes.Shapes.Max(s => s.Ratio));
        Pattern.Parse(proposal.Pattern, BlockTable.Names);
        Assert.Contains(report.Findings, f => f.StartsWith("Best shape: for at most", StringComparison.Ordinal));

        ScalingReport poor = Run(options with { Inference = 10, Force = true });
        Assert.Null(poor.Shapes!.Proposal);
        Assert.Contains(poor.Findings, f => f.Contains("allow more with --inference", StringComparison.Ordinal));
    }

    [Fact]
    public void PlannedShapesKeepTheParametersOfTheFamily()
    {
        using Device device = Device.Open(1);
        ModelConfig family = Presets.Resolve("transformer") with { Width = 256 };
        var model = new LanguageModel(family, device, 1);
        var plan = new ShapePlan(family, model);
        IReadOnlyList<(AttentionShape Shape, string Use)> all = plan.All();
        Assert.Equal(ShapePlan.Count, all.Count);
        Assert.Equal(4, all.Count(s => s.Use == "held out"));
        Assert.Equal(2, all.Count(s => s.Use == "grouped"));
        Assert.Equal(4, all.Where(s => s.Use == "held out").Select(s => s.Shape.Width).Distinct().Count());
        long Inner(LanguageModel m) => m.ParameterCount() - (256 * m.Config.Width);
        foreach ((AttentionShape shape, _) in all)
        {
            var built = new LanguageModel(plan.Config(shape), device, 1);
            Assert.InRange(Inner(built), 0.93 * Inner(model), 1.07 * Inner(model));
            Assert.Equal(built.Cost(1, 1024).Flops, plan.FlopsPerToken(shape, 1024), 0.01 * plan.FlopsPerToken(shape, 1024));
        }

        Assert.True(ShapePlan.Suits(family));
        Assert.False(ShapePlan.Suits(Presets.Resolve("mamba2*4")));
    }

    [Fact]
    public void WhatWillNotDoIsSaidBeforeAnythingIsWritten()
    {
        using TemporaryFolder folder = new();
        InputException little = Assert.Throws<InputException>(() => Run(Options(folder["a"]) with { Budgets = [1e3, 1e9] }));
        Assert.Matches("1e3 does not pay 20 steps of 'attention.*give at least .* FLOPs", little.Message);
        Assert.DoesNotContain('\n', little.Message);
        Assert.Contains("mamba", Assert.Throws<InputException>(() => Run(Options(folder["a"]) with { Models = ["mambo"] })).Message);
        Assert.Throws<InputException>(() => Run(Options(folder["a"]) with { Context = 70_000 }));
        Assert.False(Directory.Exists(folder["a"]));
    }

    [Fact]
    public void ReportsOfSomethingElseAreWrittenOverOnlyWhenTold()
    {
        using TemporaryFolder folder = new();
        ScalingOptions options = Options(folder.Path) with { Models = ["attention[head-dim=8] swiglu"], Budgets = [1e9], Sizes = 1 };
        folder.Write("report.json", "{ \"task\": { \"name\": \"mqar\" } }"u8);
        Assert.Contains("of another probe, of 'mqar'; give another folder with --out, or --force", Assert.Throws<InputException>(() => Run(options)).Message);
        Run(options with { Force = true });
        Run(options);
        Assert.Contains("another scaling study", Assert.Throws<InputException>(() => Run(options with { Seeds = 2 })).Message);
        using JsonDocument report = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder.Path, "report.json")), default);
        Assert.Equal(JsonValueKind.Null, report.RootElement.GetProperty("models")[0].GetProperty("compute").ValueKind);
        Assert.Contains(report.RootElement.GetProperty("findings").EnumerateArray(), f => f.GetString()!.Contains("one budget is no curve", StringComparison.Ordinal));
    }

    private static string ButForTimes(string folder) => Regex.Replace(File.ReadAllText(Path.Combine(folder, "report.json")), "\"(seconds|\\w+_per_second)\": [-+.eE0-9]+", "\"$1\": 0");
}
