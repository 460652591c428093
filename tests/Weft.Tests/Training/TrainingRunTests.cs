using System.Text;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Models;
using Weft.Training;

namespace Weft.Tests.Training;

public sealed class TrainingRunTests : IDisposable
{
    private const string Pattern = "attention[heads=2, head-dim=8] mamba2[state=8, head-dim=8, chunk=16] swiglu[hidden=24]";

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private readonly CpuDevice device = new(2);
    private readonly Corpus corpus = TrainerTests.Text(4000); // a few epochs
    private readonly TemporaryFolder folder = new();

    public void Dispose()
    {
        corpus.Dispose();
        folder.Dispose();
        device.Dispose();
    }

    [Fact]
    public void KilledAnywhereItEndsWithTheSameBytes()
    {
        TrainingOptions options = TrainerTests.Options(40);
        using (TrainingRun whole = Create("whole", options))
        {
            Assert.True(whole.Run(stop: Stop));
            Assert.Equal(3, whole.History.Count);
        }

        var random = new RandomSource(3);
        int kills = 0;
        for (bool done = false; !done;)
        {
            bool exists = TrainingRun.Exists(folder["killed"]);
            using TrainingRun run = exists ? TrainingRun.Resume(folder["killed"], device, corpus) : Create("killed", options);
            run.CheckpointSteps = 1 + random.NextInt(4);
            long until = run.Trainer.Steps + random.NextInt(9);
            try
            {
                done = run.Run(result =>
                {
                    if (result.Step == until)
                    {
                        throw new OperationCanceledException(); // as a kill between two steps: nothing more is saved
                    }
                }, Stop);
            }
            catch (OperationCanceledException)
            {
                kills++;
            }
        }

        Assert.True(kills > 3);
        foreach (string name in (string[])[ModelFolder.ConfigFile, ModelFolder.WeightsFile, "optimizer.safetensors"])
        {
            Assert.Equal(File.ReadAllBytes(Path.Combine(folder["whole"], name)), File.ReadAllBytes(Path.Combine(folder["killed"], name)));
        }

        using TrainingRun a = TrainingRun.Resume(folder["whole"], device, corpus), b = TrainingRun.Resume(folder["killed"], device, corpus, options: options);
        Assert.Equal(a.History.Select(p => p with { Seconds = 0 }), b.History.Select(p => p with { Seconds = 0 }));
        Assert.Equal((40, 40, a.Trainer.Flops), (b.Trainer.Steps, b.Trainer.TotalSteps, b.Trainer.Flops));
        Assert.True(b.Run(stop: Stop)); // nothing left to do
    }

    [Fact]
    public void ItStopsWhenAskedAndGoesOnLater()
    {
        using var stop = new CancellationTokenSource();
        using (TrainingRun run = Create("run", TrainerTests.Options(10)))
        {
            Assert.False(run.Run(result => { if (result.Step == 4) { stop.Cancel(); } }, stop.Token));
        }

        using TrainingRun resumed = TrainingRun.Resume(folder["run"], device, corpus);
        Assert.Equal(4, resumed.Trainer.Steps);
        Assert.True(resumed.Run(stop: Stop));
        Assert.Equal(ModelFolder.Fingerprint(resumed.Model), ModelFolder.Fingerprint(ModelFolder.Load(folder["run"], device)));
    }

    [Fact]
    public void ARunOfSecondsKeepsItsPlan()
    {
        long total;
        using (TrainingRun run = Create("run", TrainerTests.Options() with { Budget = Budget.Parse("0.3s") }))
        {
            run.Run(stop: new CancellationToken(canceled: true));
            Assert.False(TrainingRun.Exists(folder["run"])); // nothing done, nothing left
            using var stop = new CancellationTokenSource();
            run.Run(_ => { if (run.Trainer.Seconds > 0.1) { stop.Cancel(); } }, stop.Token);
            total = run.Trainer.TotalSteps;
        }

        using TrainingRun resumed = TrainingRun.Resume(folder["run"], device, corpus);
        Assert.True(resumed.Run(stop: Stop));
        Assert.Equal(total, resumed.Trainer.Steps);
    }

    [Fact]
    public void WhatIsNotTheRunsIsRefused()
    {
        using (TrainingRun run = Create("run", TrainerTests.Options(2)))
        {
            run.Run(stop: Stop);
            Refused.With(() => Create("run", TrainerTests.Options()), folder["run"], "already holds a run");
            Refused.With(() => TrainingRun.Resume(folder["run"], device, corpus), "another process is writing it");
        }

        using Corpus other = TrainerTests.Text(3000);
        Refused.With(() => TrainingRun.Resume(folder["run"], device, other), "cannot resume", "it was trained on 'text', not on 'text'");
        Refused.With(() => TrainingRun.Resume(folder["run"], device, corpus, options: TrainerTests.Options(2) with { Rate = 0.5 }), "rate is 0.01 in the run, not 0.5");
        Refused.With(() => TrainingRun.Resume(folder["run"], device, corpus, options: TrainerTests.Options(3)), "budget is 2steps in the run, not 3steps");
        Refused.With(() => TrainingRun.Resume(folder["run"], device, corpus, TinyModels.Config("swiglu[hidden=8]")), "its model is 'tiny'", "swiglu[hidden=8]");
        Refused.With(() => TrainingRun.Resume(folder["nowhere"], device, corpus), "there is no run to resume");
        ModelFolder.Save(TinyModels.Create(device), folder["model"]);
        Refused.With(() => Create("model", TrainerTests.Options()), "already holds a model");
        Refused.With(() => Create(Path.GetFileName(folder.Write("file", [])), TrainerTests.Options()), "it is a file");
        ModelFolder.Save(TinyModels.Create(device, Pattern, seed: 9), folder["run"]); // over the run's own
        Refused.With(() => TrainingRun.Resume(folder["run"], device, corpus), "model.safetensors was changed since the checkpoint");
    }

    [Fact]
    public void DamagedFilesAreRefused()
    {
        using (TrainingRun run = Create("run", TrainerTests.Options(2)))
        {
            run.Run(stop: Stop);
        }

        foreach (string name in (string[])["training.json", "optimizer.safetensors", ModelFolder.ConfigFile, ModelFolder.WeightsFile])
        {
            string path = Path.Combine(folder["run"], name);
            byte[] whole = File.ReadAllBytes(path);
            foreach (int length in (int[])[0, 1, whole.Length / 2, whole.Length - 3])
            {
                File.WriteAllBytes(path, whole[..length]);
                Refused.With(() => TrainingRun.Resume(folder["run"], device, corpus), name);
            }

            File.Delete(path);
            Refused.With(() => TrainingRun.Resume(folder["run"], device, corpus), name);
            File.WriteAllBytes(path, whole);
        }

        string record = Path.Combine(folder["run"], "training.json"), text = File.ReadAllText(record);
        foreach ((string from, string to, string says) in new[]
        {
            ("\"weft_run\": 1", "\"weft_run\": 2", "format 2"),
            ("\"step\": 2", "\"step\": 3", "step 3 of 2"),
            ("\"step\": 2", "\"step\": -1", "step -1 of 2"),
            ("\"step\": 2", "\"step\": 1e99", "damaged"),
            ("\"rate\": 0.01", "\"rate\": \"x\"", "'rate'"),
            ("\"rate\": 0.01", "\"rate\": 99", "rate 99"),
            ("\"batch\": 4", "\"batch\": 99999999999", "'batch'"),
            ("\"schedule\": \"cosine\"", "\"schedule\": \"cosinus\"", "cosine, wsd"),
            ("\"data_index\": 8", "\"data_index\": 88888", "past its epoch's end"),
            ("\"history\": [", "\"history\": {", "damaged"),
        })
        {
            Assert.Contains(from, text);
            File.WriteAllText(record, text.Replace(from, to, StringComparison.Ordinal));
            Refused.With(() => TrainingRun.Resume(folder["run"], device, corpus), says);
        }
    }

    [Fact]
    public void ABudgetBelowOneStepLeavesNothingOnTheDisk()
    {
        using TrainingRun run = Create("run", TrainerTests.Options() with { Budget = Budget.Parse("1e3flop") });
        Refused.With(() => run.Run(), "does not pay one step");
        Assert.False(Directory.Exists(folder["run"]));
    }

    [Fact]
    public void WhenTrainingDivergesTheLastCheckpointStays()
    {
        using TrainingRun run = Create("run", TrainerTests.Options(20));
        run.CheckpointSteps = 3;
        string good = "";
        TrainingDivergedException e = Assert.Throws<TrainingDivergedException>(() => run.Run(result =>
        {
            good = result.Step == 6 ? ModelFolder.Fingerprint(run.Model) : good;
            if (result.Step == 7)
            {
                Tensor weight = run.Model.Parameters().Last().Tensor;
                weight.Set([.. Enumerable.Repeat(float.NaN, (int)weight.Shape.Count)]);
            }
        }, Stop));
        Assert.Equal((8, $"'{folder["run"]}' at step 6"), (e.Step, e.Checkpoint));
        Assert.Contains("at step 6", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
        Assert.Equal(good, ModelFolder.Fingerprint(ModelFolder.Load(folder["run"], device)));
    }

    private TrainingRun Create(string name, TrainingOptions options) =>
        TrainingRun.Create(folder[name], TinyModels.Create(device, Pattern), corpus, options);
}
