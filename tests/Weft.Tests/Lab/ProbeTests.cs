using System.Text.RegularExpressions;
using Weft.Lab.Tasks;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Tests.Lab;

public class ProbeTests
{
    private static ProbeOptions Options(string folder) => new()
    {
        Models = ["swiglu[hidden=16]", "attention[head-dim=8]"],
        Budget = new Budget(BudgetKind.Steps, 100),
        Seeds = 2,
        Out = folder,
        Threads = 1,
        Precision = Precision.Float32,
    };

    private static ProbeReport Run(LabTask task, ProbeOptions options, Action<ProbeProgress>? progress = null) =>
        Probe.Run(task, options, progress ?? (_ => { }), TestContext.Current.CancellationToken);

    [Fact]
    public void ATinyTaskIsLearnedAndTwoRunsAreTheSame()
    {
        using TemporaryFolder folder = new();
        var phases = new List<(int, ProbePhase, int)>();
        ProbeReport report = Run(new Next(), Options(folder["a"]), p =>
        {
            Assert.InRange(p.Fraction, 0, 1);
            phases.Add((p.Model, p.Phase, p.Trial));
        });
        Assert.Equal([0.003, 0.03], report.Models[0].Sweep.Select(t => t.Rate));
        Assert.All(report.Models, m =>
        {
            Assert.Equal(2, m.Trials.Count);
            Assert.Equal([1, 2], m.Trials.Select(t => t.Seed));
            Assert.All(m.Trials, t => Assert.Equal(m.Rate, t.Rate));
            Assert.All(m.Trials, t => Assert.NotNull(t.SamplesToSolve));
            Assert.All(m.Trials, t => Assert.Equal([4, 8], t.Scores.Select(s => s.Difficulty)));
            Assert.Contains(m.Sweep, t => t.Rate == m.Rate && t.SamplesToSolve == m.Trials[0].SamplesToSolve);
            Assert.Single(m.Sweep, t => t.Scores.Count > 0);
            Assert.Equal(8, m.Width);
            Assert.True(m.Parameters > 0);
        });
        Assert.Equal([0, 0], report.Models[0].State);
        Assert.True(report.Models[1].State[1] > report.Models[1].State[0]);
        (int, ProbePhase, int)[] ends = [(0, ProbePhase.Preparing, 0), (0, ProbePhase.Sweeping, 1), (0, ProbePhase.Sweeping, 2), (0, ProbePhase.Repeating, 2), (0, ProbePhase.Done, 0), (1, ProbePhase.Sweeping, 1), (1, ProbePhase.Done, 0)];
        Assert.All(ends, end => Assert.Contains(end, phases));

        Run(new Next(), Options(folder["b"]));
        Assert.Equal(ButForTimes(folder["a"]), ButForTimes(folder["b"]));
    }

    [Fact]
    public void AnInterruptedProbeGoesOnToTheSameReport()
    {
        using TemporaryFolder folder = new();
        Run(new Next(), Options(folder["whole"]));
        using CancellationTokenSource cancelled = new();
        Assert.Throws<OperationCanceledException>(() => Probe.Run(new Next(), Options(folder["cut"]), p =>
        {
            if (p is { Phase: ProbePhase.Repeating })
            {
                cancelled.Cancel(); // in the third trial
            }
        }, cancelled.Token));
        Assert.False(File.Exists(Path.Combine(folder["cut"], "report.json")));
        DateTime[] before = [.. Trials().Select(File.GetLastWriteTimeUtc)];
        Assert.Equal(2, before.Length);
        string[] kept = Trials();
        var worked = new List<(int Model, ProbePhase Phase, int Trial)>();
        Run(new Next(), Options(folder["cut"]), p =>
        {
            if (p is { Rate: > 0, Part: < 1 })
            {
                worked.Add((p.Model, p.Phase, p.Trial));
            }
        });
        Assert.Equal((0, ProbePhase.Repeating, 2), worked[0]);
        Assert.Equal(before, kept.Select(File.GetLastWriteTimeUtc));
        Assert.Equal(ButForTimes(folder["whole"]), ButForTimes(folder["cut"]));

        // A trial's file that is broken, or of something else, is made again.
        File.WriteAllText(kept[0], "{ \"key\": ");
        File.Copy(kept[1], Trials().Except(kept).First(), overwrite: true);
        Run(new Next(), Options(folder["cut"]));
        Assert.Equal(ButForTimes(folder["whole"]), ButForTimes(folder["cut"]));

        string[] Trials() => [.. Directory.GetFiles(Path.Combine(folder["cut"], Probe.TrialsFolder)).Where(f => Path.GetFileName(f) != "plan.json").Order(StringComparer.Ordinal)];
    }

    /// <summary>Three trials at a time on three threads: each has one, as when they come in turn.</summary>
    [Fact]
    public void TrialsAtOnceAreTheSameAsInTurn()
    {
        using TemporaryFolder folder = new();
        Run(new Next(), Options(folder["turn"]));
        int under = 0;
        Run(new Next(), Options(folder["once"]) with { Threads = 3 }, p =>
        {
            Assert.Equal(1, Interlocked.Increment(ref under));
            Assert.InRange(p.Fraction, 0, 1);
            Interlocked.Decrement(ref under);
        });
        Assert.Contains("\"threads\": 3", ButForTimes(folder["once"]));
        Assert.Equal(ButForTimes(folder["turn"]), ButForTimes(folder["once"]).Replace("\"threads\": 3", "\"threads\": 1", StringComparison.Ordinal));
    }

    /// <summary>Each trial waits for another to be under way; the sweep's end is waited for before the other seeds.</summary>
    [Fact]
    public void AQueueHasATrialOnEachDevice()
    {
        using Device device = Device.Open(1);
        using var pairs = new Barrier(2);
        var order = new List<(int, int, int)>();
        var queue = new TrialQueue([2, 1], seeds: 3, _ => 1, (_, _) => { });
        queue.Run([device, device], (_, model, rate, seed, stop) =>
        {
            lock (order)
            {
                order.Add((model, rate, seed));
            }

            Assert.True(order.Count == 7 || pairs.SignalAndWait(TimeSpan.FromMinutes(1), stop)); // the last is alone
            return new Trial(rate, seed, 0, null, 0, 0, false, [], []);
        }, TestContext.Current.CancellationToken);
        Assert.Equal([(0, 0, 1), (0, 1, 1)], order.Take(2).Order());
        Assert.Equal([(0, 0, 1), (0, 1, 1), (0, 1, 2), (0, 1, 3), (1, 0, 1), (1, 0, 2), (1, 0, 3)], order.Order());
        Assert.Equal([0, 1], queue.Sweep(0).Select(t => t.Rate));
        Assert.Equal([1, 2, 3], queue.Repeated(0).Select(t => t.Seed));
        Assert.Equal([1, 2, 3], queue.Repeated(1).Select(t => t.Seed));
    }

    [Fact]
    public void ATrialThatFailsEndsTheOthersAndIsTold()
    {
        using TemporaryFolder folder = new();
        InputException thrown = Assert.Throws<InputException>(() => Run(new Failing(), Options(folder.Path) with { Threads = 2, Budget = new Budget(BudgetKind.Steps, 100_000_000) }));
        Assert.Equal("no more examples", thrown.Message);
    }

    [Fact]
    public void ARateThatDivergesIsTheWorst()
    {
        using TemporaryFolder folder = new();
        var notes = new List<string>();
        // Without norms the values grow past all numbers.
        ProbedModel model = Run(new Next(), Options(folder.Path) with { Models = ["swiglu[hidden=16, pre-norm=none]*4"], Rates = [10, 0.003] }, p => notes.Add(p.Note ?? "")).Models[0];
        Assert.True(model.Sweep[0].HasDiverged);
        Assert.Contains("diverged at a rate of 10", notes);
        Assert.False(model.Sweep[1].HasDiverged);
        Assert.Equal(0.003, model.Rate);
        Assert.Equal(2, model.Trials.Count);
    }

    [Fact]
    public void ABudgetOfFlopsOrTimeThatPaysNoStepSaysWhatOneTakes()
    {
        using TemporaryFolder folder = new();
        InputException flops = Assert.Throws<InputException>(() => Run(new Next(), Options(folder["a"]) with { Budget = new Budget(BudgetKind.Flops, 5) }));
        Assert.Matches("5flop does not pay one step of 'swiglu.*FLOPs.*give more", flops.Message);
        InputException bytes = Assert.Throws<InputException>(() => Run(new Next(), Options(folder["a"]) with { Budget = new Budget(BudgetKind.Data, 5e6) }));
        Assert.Contains("5MB", bytes.Message);
        Assert.False(Directory.Exists(folder["a"]));
        Trial trial = Run(new Next(), Options(folder["b"]) with { Budget = new Budget(BudgetKind.Flops, 3e6), Seeds = 1, Rates = [1e-5], Models = ["swiglu[hidden=16]"] }).Models[0].Sweep[0];
        Assert.InRange(trial.Flops, 2e6, 4e6); // to a step
    }

    [Fact]
    public void ReportsOfSomethingElseAreWrittenOverOnlyWhenTold()
    {
        using TemporaryFolder folder = new();
        ProbeOptions options = Options(folder.Path) with { Budget = new Budget(BudgetKind.Steps, 2), Seeds = 1, Models = ["swiglu[hidden=16]"] };
        folder.Write("report.json", "{ \"corpus\": {} }"u8);
        Assert.Contains("the report of a comparison; give another folder with --out, or --force", Assert.Throws<InputException>(() => Run(new Next(), options)).Message);
        Assert.Single(Directory.GetFileSystemEntries(folder.Path));
        Run(new Next(), options with { Force = true });
        Run(new Next(), options);
        Assert.Contains("of next with other models or settings", Assert.Throws<InputException>(() => Run(new Next(), options with { Seeds = 2 })).Message);
        Assert.Contains("another probe, of 'next'", Assert.Throws<InputException>(() => Run(new Other(), options)).Message);
    }

    private static string ButForTimes(string folder) => Regex.Replace(File.ReadAllText(Path.Combine(folder, "report.json")), "\"seconds\": [-+.eE0-9]+", "\"seconds\": 0");

    /// <summary>After each of 8 letters comes the next: learned within 100 steps by anything.</summary>
    private class Next : LabTask
    {
        public override string Name => "next";
        public override string Line => "tell the next letter";
        public override string Source => "this test";
        public override string Axis => "letters";
        public override int Vocabulary => 8;
        public override IReadOnlyList<int> TrainOn => [2, 4];
        public override IReadOnlyList<int> ScoreOn => [4, 8];
        public override IReadOnlyList<string> Models => ["swiglu"];
        public override IReadOnlyList<double> Rates => [0.003, 0.03];
        public override int Width => 8;
        public override int Batch => 16;
        public override int Length(int difficulty) => difficulty;

        public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
        {
            for (int t = 0; t < tokens.Length; t++)
            {
                tokens[t] = random.NextInt(8);
                targets[t] = (tokens[t] + 1) % 8;
            }
        }
    }

    // Makes examples for what is measured before, and for some hundred steps.
    private sealed class Failing : Next
    {
        private int made;

        public override void Make(RandomSource random, int difficulty, Span<int> tokens, Span<int> targets)
        {
            base.Make(random, difficulty, tokens, targets);
            targets.Fill(random.NextInt(8)); // not to be learned, so that a trial goes on for ever
            if (Interlocked.Increment(ref made) == 20_000)
            {
                throw new InputException("no more examples");
            }
        }
    }

    private sealed class Other : Next
    {
        public override string Name => "other";
    }
}
