using System.Text;
using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;
using Weft.Tests.Models;
using Weft.Training;

namespace Weft.Tests.Training;

public sealed class TrainerTests : IDisposable
{
    private readonly CpuDevice device = new(1);
    private readonly TemporaryFolder folder = new();

    public void Dispose()
    {
        folder.Dispose();
        device.Dispose();
    }

    public static Corpus Text(int length = 20_000) =>
        Corpus.FromText(string.Concat(Enumerable.Range(0, length / 8).Select(i => $"{i % 97} is {i % 7}; ")));

    public static TrainingOptions Options(long steps = 20) => new() { Budget = new Budget(BudgetKind.Steps, steps), BatchSize = 4, Rate = 1e-2, Evaluations = 3, EvaluationBytes = 500 };

    [Theory]
    [InlineData(TinyModels.EveryBlock)]
    [InlineData("attention[heads=2, head-dim=8] swiglu[hidden=24]")]
    [InlineData("mamba2[state=8, head-dim=8, chunk=16]")]
    [InlineData("gated-deltanet[heads=2, head-dim=8, chunk=16]")]
    public void LearnsAndAllocatesNothing(string pattern)
    {
        using Corpus corpus = Corpus.Open([folder.Write("text", Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("0 is 1; 1 is 3; ", 2000))))]);
        using var trainer = new Trainer(TinyModels.Create(device, pattern), corpus, Options(40) with { MicroBatch = 2 });
        double first = trainer.Step().Loss;
        Assert.Equal(0, Allocations.Least(() => trainer.Step(), warmUp: 5));
        trainer.Run();
        Assert.InRange(trainer.Step().Loss, 0, 0.6 * first);
    }

    [Fact]
    public void NoThreadAllocates()
    {
        using var two = new CpuDevice(2);
        using Corpus corpus = Text();
        using var trainer = new Trainer(TinyModels.Create(two), corpus, Options(100));
        for (int i = 0; i < 6; i++)
        {
            trainer.Step();
        }

        // Other tests allocate meanwhile; were a step to allocate, it would do so every time.
        long least = long.MaxValue;
        for (int i = 0; i < 60 && least > 0; i++)
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            trainer.Step();
            least = Math.Min(least, GC.GetTotalAllocatedBytes(precise: true) - before);
        }

        Assert.Equal(0, least);
    }

    [Fact]
    public void OneStepIsAdamWByItsDefinition()
    {
        LanguageModel model = TinyModels.Create(device, "swiglu[hidden=24]");
        TrainingOptions options = Options() with { Clip = 0.01, Decay = 0.3, BatchSize = 2, Context = 16, Epsilon = 1e-6 };
        using var learner = new Learner(model, options.For(model.Config));
        int[] windows = [.. Enumerable.Range(0, 2 * 17).Select(i => i * 5 % 256)];
        Parameter[] parameters = [.. model.Parameters()];
        double[][] w = [.. parameters.Select(p => Array.ConvertAll(p.Tensor.ToArray(), x => (double)x))];
        double[][] m = [.. w.Select(x => new double[x.Length])], v = [.. w.Select(x => new double[x.Length])];
        for (int step = 1; step <= 3; step++)
        {
            learner.Backward(windows);
            double[][] g = [.. parameters.Select(p => Array.ConvertAll(p.Tensor.Grad!.ToArray(), x => (double)x))];
            double norm = Math.Sqrt(g.Sum(x => x.Sum(y => y * y)));
            const double rate = 0.01;
            Assert.Equal(norm, learner.Update(rate), 1e-5 * norm);
            for (int p = 0; p < w.Length; p++)
            {
                for (int i = 0; i < w[p].Length; i++)
                {
                    double gradient = g[p][i] * Math.Min(1, options.Clip / norm);
                    m[p][i] = (options.Beta1 * m[p][i]) + ((1 - options.Beta1) * gradient);
                    v[p][i] = (options.Beta2 * v[p][i]) + ((1 - options.Beta2) * gradient * gradient);
                    double first = m[p][i] / (1 - Math.Pow(options.Beta1, step)), second = v[p][i] / (1 - Math.Pow(options.Beta2, step));
                    w[p][i] -= (parameters[p].Decay ? rate * options.Decay * w[p][i] : 0) + (rate * first / (Math.Sqrt(second) + options.Epsilon));
                }

                LawTools.Close(parameters[p].Tensor.ToArray(), Array.ConvertAll(w[p], x => (float)x), 1e-5, $"{parameters[p].Name} after step {step}");
                Assert.All(parameters[p].Tensor.Grad!.ToArray(), x => Assert.Equal(0, x));
            }
        }
    }

    [Fact]
    public void MicroBatchesAddUpToTheBatch()
    {
        using Corpus corpus = Text();
        using var whole = new Trainer(TinyModels.Create(device), corpus, Options());
        using var parts = new Trainer(TinyModels.Create(device), corpus, Options() with { MicroBatch = 1 });
        for (int i = 0; i < 5; i++)
        {
            StepResult a = whole.Step(), b = parts.Step();
            Assert.Equal(a.Loss, b.Loss, 1e-4 * a.Loss);
            Assert.Equal(a.GradientNorm, b.GradientNorm, 1e-3 * a.GradientNorm);
        }

        Assert.Equal(whole.Flops, parts.Flops);
    }

    [Fact]
    public void MicroBatchesTakeLessMemory()
    {
        using Corpus corpus = Text();
        long[] arenas = [.. new[] { 8, 1 }.Select(micro =>
        {
            using var trainer = new Trainer(TinyModels.Create(device, "swiglu[hidden=256]"), corpus, Options() with { BatchSize = 8, MicroBatch = micro, Context = 512 });
            trainer.Step();
            return trainer.ArenaBytes;
        })];
        Assert.True(arenas[1] < 0.3 * arenas[0], $"{arenas[1]} of {arenas[0]} bytes");
    }

    [Fact]
    public void WhatOptionsLeaveOpenIsTheModels()
    {
        using Corpus corpus = Text();
        LanguageModel model = TinyModels.Create(device, "swiglu[hidden=24]", context: 48);
        using var trainer = new Trainer(model, corpus, new TrainingOptions { Budget = new Budget(BudgetKind.Steps, 1) });
        Assert.Equal((48, BlockTable.DefaultRate(model.Config)), (trainer.Context, trainer.Options.Rate));
        foreach ((int batch, int context, int micro) in new[] { (8, 256, 1), (8, 64, 4), (6, 64, 3), (7, 64, 1), (4, 32, 4), (8, 4096, 1) })
        {
            Assert.Equal(micro, (Options() with { BatchSize = batch, Context = context }).For(model.Config).MicroBatch);
        }
    }

    [Fact]
    public void TheSameSeedGivesTheSameBits()
    {
        using Corpus corpus = Text();
        string[] fingerprints = [.. Enumerable.Range(0, 3).Select(i =>
        {
            using var two = new CpuDevice(2);
            LanguageModel model = TinyModels.Create(two);
            using var trainer = new Trainer(model, corpus, Options(10) with { Seed = i == 2 ? 1u : 0u });
            trainer.Run();
            return Weft.Models.Checkpoints.ModelFolder.Fingerprint(model);
        })];
        Assert.Equal(fingerprints[0], fingerprints[1]);
        Assert.NotEqual(fingerprints[0], fingerprints[2]);
    }

    [Fact]
    public void EveryBudgetBecomesSteps()
    {
        using Corpus corpus = Text();
        LanguageModel model = TinyModels.Create(device, "swiglu[hidden=24]");
        using var steps = new Trainer(model, corpus, Options(7));
        Assert.Equal(7, steps.TotalSteps);
        steps.Run();
        Assert.Equal((7, 7L * 4 * 32, true), (steps.Steps, steps.Bytes, steps.IsDone));

        using var data = new Trainer(model, corpus, Options() with { Budget = Budget.Parse("1000B") });
        Assert.Equal(1000 / (4 * 32), data.TotalSteps);

        long each = steps.Flops / 7;
        Assert.Equal(each * 7, steps.Flops);
        using var flops = new Trainer(model, corpus, Options() with { Budget = new Budget(BudgetKind.Flops, (each * 5) + 1) });
        Assert.Equal(0, flops.TotalSteps);
        flops.Run();
        Assert.Equal((5, each * 5), (flops.Steps, flops.Flops));

        using var time = new Trainer(model, corpus, Options() with { Budget = Budget.Parse("0.2s") });
        time.Run();
        Assert.True(time.Steps > 1 && time.Steps == time.TotalSteps);
    }

    [Fact]
    public void ABudgetBelowOneStepIsRefused()
    {
        using Corpus corpus = Text();
        LanguageModel model = TinyModels.Create(device, "swiglu[hidden=24]");
        Refused.With(() => new Trainer(model, corpus, Options() with { Budget = Budget.Parse("100B") }), "100B does not pay one step", "128 bytes", "smaller batch or context");
        using var trainer = new Trainer(model, corpus, Options() with { Budget = Budget.Parse("1e3flop") });
        Refused.With(() => trainer.Step(), "a budget of 1000flop does not pay one step", "FLOPs");
    }

    [Fact]
    public void WhatCannotBeTrainedIsRefused()
    {
        using Corpus corpus = Text(), brief = Corpus.FromText("too short");
        LanguageModel model = TinyModels.Create(device, "swiglu[hidden=24]"), narrow = new(TinyModels.Config("swiglu") with { Vocabulary = 96 }, device, 1);
        Refused.With(() => new Trainer(narrow, corpus, Options()), "a vocabulary of 96", "256");
        Refused.With(() => new Trainer(model, brief, Options()), "too short for a context of 32");
        Refused.With(() => new Trainer(model, corpus, Options() with { Context = 1 << 20 }), "too short for a context of 1048576");
        Refused.With(() => new Trainer(model, corpus, Options() with { MicroBatch = 3 }), "a micro-batch of 3 does not divide the batch of 4");
        Refused.With(() => Options() with { Rate = double.NaN }, "rate NaN");
        Refused.With(() => Options() with { BatchSize = 0 }, "batch 0");
    }

    [Theory]
    [InlineData("embedding.weight", float.NaN, "the embedding")]
    [InlineData("blocks.1.mixer.down_proj.weight", float.NaN, "block 1 (swiglu)")]
    [InlineData("blocks.0.norm.weight", float.PositiveInfinity, "block 0 (attention)")]
    [InlineData("norm.weight", float.NaN, "the head")]
    public void ABrokenLayerIsNamed(string parameter, float value, string layer)
    {
        using Corpus corpus = Text();
        LanguageModel model = TinyModels.Create(device, "attention[heads=2] swiglu[hidden=24]");
        using var trainer = new Trainer(model, corpus, Options());
        trainer.Step();
        Tensor tensor = model.Parameters().Single(p => p.Name == parameter).Tensor;
        tensor.Set([.. Enumerable.Repeat(value, (int)tensor.Shape.Count)]);
        TrainingDivergedException e = Assert.Throws<TrainingDivergedException>(() => trainer.Step());
        Assert.Equal((2, layer, null), (e.Step, e.Layer, e.Checkpoint));
        Assert.StartsWith("training diverged at step 2: the loss is", e.Message, StringComparison.Ordinal);
        Assert.Contains(layer, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ABrokenGradientChangesNoParameter()
    {
        using Corpus corpus = Text();
        LanguageModel model = TinyModels.Create(device, "swiglu[hidden=24]");
        using var trainer = new Trainer(model, corpus, Options());
        Tensor norm = model.Parameters().Single(p => p.Name == "norm.weight").Tensor;
        norm.Set([.. Enumerable.Repeat(1e30f, 16)]); // logits far apart but finite; their gradients overflow when squared
        string before = Weft.Models.Checkpoints.ModelFolder.Fingerprint(model);
        TrainingDivergedException e = Assert.Throws<TrainingDivergedException>(() => trainer.Step());
        Assert.StartsWith("the gradient of ", e.Layer, StringComparison.Ordinal);
        Assert.Equal(before, Weft.Models.Checkpoints.ModelFolder.Fingerprint(model));
    }
}
