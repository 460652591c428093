using System.Text.RegularExpressions;
using Weft.Lab.Tasks;
using Weft.Lab.TextTasks;
using Weft.Tensors;
using Weft.Training;
using static Weft.Tests.Lab.PageBrowser;

namespace Weft.Tests.Lab;

public class MadGridTests
{
    private static readonly MadScale Tiny = new(8, 4, 16, [0.003, 0.03], [0, 0.1], _ => 3, "3 steps", Seeds: 2);

    private static readonly MadGrid Grid = new("tiny", "Tiny.", Tiny,
    [
        new("Recall", "", new MadRecall(16, 16), 16, 10, Tiny),
        new("Recall", "V 32", new MadRecall(32, 16), 32, 10, Tiny),
        new("Compression", "", new MadCompression(8), 6, 10, Tiny),
    ]);

    private static ProbeOptions Options(string folder) => new() { Models = ["swiglu[hidden=8]", "attention[head-dim=8]"], Out = folder, Threads = 1, Precision = Precision.Float32 };

    private static TextReport Run(ProbeOptions options, Action<ProbeProgress>? progress = null) => MadProbe.Run(Grid, options, progress ?? (_ => { }), TestContext.Current.CancellationToken);

    [Fact]
    public void TheFullGridIsTheSources()
    {
        IReadOnlyList<MadSetting> all = MadGrid.Full.Settings;
        Assert.Equal(66, all.Count);
        Assert.Equal(66, all.Select(s => s.Name).Distinct().Count());
        Assert.Equal([("recall", 11), ("fuzzy-recall", 11), ("noisy-recall", 14), ("selective-copy", 13), ("compression", 11), ("memorisation", 6)], all.GroupBy(s => s.Kind).Select(k => (k.Key, k.Count())));
        Assert.All(all, s => Assert.Equal((128, 128, 1280, 3, 2), (s.Width, s.Batch, s.TestSet, s.Rates.Count, s.Decays.Count)));
        Assert.Equal(new Budget(BudgetKind.Steps, 20_000), Named("recall").Budget);
        Assert.Equal(new Budget(BudgetKind.Steps, 1400), Named("recall-n800").Budget);
        Assert.Equal(new Budget(BudgetKind.Steps, 400), Named("memorisation-v8192").Budget);
        Assert.Equal([16, 128, 80, 144, 32, 256], ((string[])["recall", "fuzzy-recall-v128", "noisy-recall-v80", "noisy-recall-v144", "compression-v32", "memorisation"]).Select(n => Named(n).Vocabulary));
        Assert.Equal([128, 1024, 512, 1024, 510, 32], ((string[])["recall", "fuzzy-recall-t1024", "noisy-recall-t512", "selective-copy-t1024", "compression-t256", "memorisation-v512"]).Select(n => Named(n).Length(Named(n).Main)));
        Assert.All(MadGrid.Mini.Settings, s => Assert.Contains(all, f => f.Name == s.Name && f.TrainingSet == s.TrainingSet));
        Assert.Equal(6, MadGrid.Mini.Settings.Count(s => s.Change.Length == 0));
        Assert.Equal(10, MadGrid.Mini.Settings.Count);
        Assert.Contains("unknown grid 'mimi'; nearest: mini", Assert.Throws<InputException>(() => MadGrid.Find("mimi")).Message);
    }

    [Fact]
    public void EverySettingUsesTheVocabularyThatItNames()
    {
        foreach (MadSetting setting in MadGrid.Full.Settings)
        {
            int[] tokens = new int[setting.Length(setting.Main)], targets = new int[tokens.Length];
            int most = 0, noise = 0;
            for (ulong seed = 0; seed < 24; seed++)
            {
                setting.Make(new RandomSource(seed), setting.Main, tokens, targets);
                Assert.All(tokens, t => Assert.InRange(t, 0, setting.Vocabulary - 1));
                Assert.Contains(targets, t => t >= 0);
                most = Math.Max(most, tokens.Max());
                noise += tokens.Count(t => t >= setting.Vocabulary - 16);
            }

            Assert.InRange(most, setting.Vocabulary * 9 / 10, setting.Vocabulary - 1);
            if (setting.Kind == "noisy-recall")
            {
                Assert.Equal(setting.Main / 100.0, noise / (24.0 * tokens.Length), 0.06);
            }
        }
    }

    [Fact]
    public void AnEpochIsEachExampleOfTheSetOnceInANewOrder()
    {
        MadSetting setting = Named("recall-n800");
        string[] all = Drawn(new TrainingExamples(setting, 5, 6), 1600), again = Drawn(new TrainingExamples(setting, 5, 7), 800);
        Assert.Equal(800, all[..800].Distinct().Count());
        Assert.NotEqual(all[..800], all[800..]);
        Assert.Equal(all[..800].Order(StringComparer.Ordinal), all[800..].Order(StringComparer.Ordinal));
        Assert.NotEqual(all[..800], again);
        Assert.Equal(all[..800].Order(StringComparer.Ordinal), again.Order(StringComparer.Ordinal));
        Assert.Equal(all, Drawn(new TrainingExamples(setting, 5, 6), 1600));
        Assert.Empty(Drawn(new TrainingExamples(setting, 8, 6), 800).Intersect(all));

        int[] tokens = new int[128], targets = new int[128];
        var examples = new TrainingExamples(setting, 5, 6);
        Assert.Equal(0, Allocations.Least(() => examples.Make(16, tokens, targets)));

        static string[] Drawn(TrainingExamples examples, int count)
        {
            int[] tokens = new int[128], targets = new int[128];
            return [.. Enumerable.Range(0, count).Select(_ =>
            {
                examples.Make(16, tokens, targets);
                return string.Join(' ', tokens);
            })];
        }
    }

    [Fact]
    public void AGridIsAProbeOfEachSettingAndTheirMeans()
    {
        using TemporaryFolder folder = new();
        var notes = new List<string>();
        double fraction = 0;
        TextReport report = Run(Options(folder["a"]), p =>
        {
            fraction = p is { Model: 1, Phase: not ProbePhase.Preparing } ? p.Fraction : fraction;
            notes.Add(p.Note ?? "");
        });
        Assert.Equal(1, fraction, 1e-9);
        Assert.Contains(notes, n => n.StartsWith("3 settings, 15 trials a model: at most about", StringComparison.Ordinal));
        Assert.Contains("setting 2 of 3: recall-v32", notes);
        Assert.Equal(["score", "recall", "compression"], report.Task.Quantities.Select(q => q.Name));
        Assert.All(report.Models, m =>
        {
            Assert.Equal(["all settings", "recall", "recall-v32", "compression"], m.Conditions.Select(c => c.Name));
            Assert.All(m.Conditions, c => Assert.Equal([1, 2], c.Trainings.Select(t => t.Seed)));
            for (int seed = 0; seed < 2; seed++)
            {
                double[] right = [.. m.Conditions.Skip(1).Select(c => Assert.Single(c.Trainings[seed].Found).Value)];
                double recall = (right[0] + right[1]) / 2;
                Assert.Equal([(recall + right[2]) / 2, recall, right[2]], m.Conditions[0].Trainings[seed].Found.Select(f => Math.Round(f.Value, 12)), (a, b) => Math.Abs(a - b) < 1e-9);
            }
        });
        Assert.All((string[])["MAD score: ", "Recall: ", "Compression: ", "Learning rates: ", "How sure: "], topic => Assert.Contains(report.Findings, f => f.StartsWith(topic, StringComparison.Ordinal)));

        // A probe of its own in each folder, whose sweep is of rates and decays, best by tokens.
        string recall = File.ReadAllText(Path.Combine(folder["a"], "recall", "report.json"));
        Assert.Equal(2 * (4 + 2 + 1), Regex.Count(recall, "\"decay\": 0"));
        Assert.Contains("\"training_set\": 10", recall, StringComparison.Ordinal);

        Run(Options(folder["b"]));
        Assert.Equal(ButForTimes(folder["a"]), ButForTimes(folder["b"]));
    }

    [Fact]
    public void AnInterruptedGridGoesOnToTheSameReportAndOthersAreRefused()
    {
        using TemporaryFolder folder = new();
        Run(Options(folder["whole"]));
        using CancellationTokenSource cancelled = new();
        Assert.Throws<OperationCanceledException>(() => MadProbe.Run(Grid, Options(folder["cut"]), p =>
        {
            if (p is { Note: not null } && p.Note.Contains("recall-v32", StringComparison.Ordinal))
            {
                cancelled.Cancel();
            }
        }, cancelled.Token));
        Assert.True(File.Exists(Path.Combine(folder["cut"], "recall", "report.json")));
        Assert.False(File.Exists(Path.Combine(folder["cut"], "report.json")));
        DateTime before = Trial();
        Run(Options(folder["cut"]));
        Assert.Equal(before, Trial());
        Assert.Equal(ButForTimes(folder["whole"]), ButForTimes(folder["cut"]));

        Assert.Contains("of mad with other models or settings", Assert.Throws<InputException>(() => Run(Options(folder["cut"]) with { Seeds = 3 })).Message);
        Run(Options(folder["cut"]) with { Seeds = 1, Force = true });
        Assert.Contains("5MB", Assert.Throws<InputException>(() => Run(Options(folder["cut"]) with { Budget = new Budget(BudgetKind.Data, 5e6) })).Message);
        folder.Write("report.json", "{ \"corpus\": {} }"u8);
        Assert.Contains("the report of a comparison", Assert.Throws<InputException>(() => Run(Options(folder.Path))).Message);

        DateTime Trial() => Directory.GetFiles(Path.Combine(folder["cut"], "recall", Probe.TrialsFolder)).Max(File.GetLastWriteTimeUtc);
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
        foreach ((string page, string[] charts) in ((string, string[])[])[(folder.Path, ["quantity-0", "quantity-1", "quantity-2"]), (Path.Combine(folder.Path, "recall"), ["rates"])])
        {
            string dom = await Open(browser, Path.Combine(page, "report.html"), folder.Path);
            RequireNoScriptError(dom, browser);
            Assert.All(charts, id => Assert.Matches("data-lines=\"[1-9]", Between(dom, $"id=\"{id}\"", "<figcaption")));
            Assert.DoesNotContain("undefined", Between(dom, "<body", "<script"), StringComparison.Ordinal);
            Assert.DoesNotContain("NaN", Between(dom, "<body", "<script"), StringComparison.Ordinal);
        }

        Assert.Equal(3, report.Task.Quantities.Count);
    }

    private static MadSetting Named(string name) => MadGrid.Full.Settings.Single(s => s.Name == name);

    private static string ButForTimes(string folder) => Regex.Replace(File.ReadAllText(Path.Combine(folder, "report.json")), "\"seconds\": [-+.eE0-9]+", "\"seconds\": 0");
}
