using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Models.Tokenizers;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Models;
using Weft.Training;

namespace Weft.Tests.Training;

/// <summary>Models that learn from tokens, new ones and those that others have trained before.</summary>
public sealed class TokenTrainingTests : IDisposable
{
    private const string Pattern = "attention[heads=2, head-dim=8] mamba2[state=8, head-dim=8, chunk=16] swiglu[hidden=24]";

    private readonly CpuDevice device = new(2);
    private readonly TemporaryFolder folder = new();
    private readonly Corpus text = SmallTokenizer.Corpus();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        text.Dispose();
        folder.Dispose();
        device.Dispose();
    }

    private TokenCorpus Tokens(string? file = null)
    {
        file ??= SmallTokenizer.Write(folder);
        return TokenCorpus.Encode(text, Tokenizer.Load(file), file, cancel: Stop);
    }

    // A published checkpoint beside whose weights stands a tokenizer.
    private string Published(string family = "llama")
    {
        string path = folder[$"hf-{family}"];
        Directory.CreateDirectory(path);
        foreach (string name in (string[])["config.json", "model.safetensors"])
        {
            File.Copy(FixtureFiles.At("hf", family, name), Path.Combine(path, name), overwrite: true);
        }

        File.Copy(SmallTokenizer.Write(folder), Path.Combine(path, "tokenizer.json"), overwrite: true);
        return path;
    }

    private static TrainingOptions Options(long steps) => TrainerTests.Options(steps) with { Context = 24, Rate = null };

    [Fact]
    public void BytesAsTokensAreBytes()
    {
        TokenCorpus bytes = Tokens(SmallTokenizer.WriteBytes(folder));
        LanguageModel a = TinyModels.Create(device, Pattern), b = TinyModels.Create(device, Pattern);
        using var plain = new Trainer(a, text, TrainerTests.Options(30));
        using var tokenised = new Trainer(b, bytes, TrainerTests.Options(30));
        while (!plain.IsDone)
        {
            Assert.Equal(plain.Step(), tokenised.Step());
        }

        Assert.Equal(ModelFolder.Fingerprint(a), ModelFolder.Fingerprint(b));
        Assert.Equal((plain.Bytes, plain.Tokens), (tokenised.Bytes, tokenised.Tokens));
        Assert.Equal(plain.Tokens, plain.Bytes);
        Assert.Equal(Evaluation.HeldOut(a, text), Evaluation.HeldOut(b, bytes));
        Assert.Equal(Evaluation.HeldOut(a, text, atMost: 900), Evaluation.HeldOut(b, bytes, atMost: 900));
    }

    [Fact]
    public void HeldOutBitsAreTheNatsOverTheBytes()
    {
        TokenCorpus tokens = Tokens();
        LanguageModel model = ModelFolder.Load(Published(), device, learned: true);
        const int context = 40;
        var held = new int[tokens.HeldOutLength];
        tokens.Read(tokens.TrainLength, held);
        string decoded = model.Tokenizer!.Decode(held);
        Assert.EndsWith(decoded, SmallTokenizer.Text(), StringComparison.Ordinal);
        Assert.Equal(text.HeldOutLength, decoded.Length);

        double nats = 0;
        for (int start = 0; start < held.Length - 1; start += context)
        {
            using var generator = new Generator(model);
            for (int i = start; i < Math.Min(start + context, held.Length - 1); i++)
            {
                generator.Read([held[i]]);
                nats += Math.Log(generator.Logits.ToArray().Sum(l => Math.Exp(l))) - generator.Logits[held[i + 1]];
            }
        }

        long bytes = text.HeldOutLength - model.Tokenizer.Decode(held.AsSpan(0, 1)).Length; // the first token is not predicted
        Score score = Evaluation.HeldOut(model, tokens, context);
        Assert.Equal(bytes, score.Bytes);
        Assert.Equal(nats / Math.Log(2) / bytes, score.BitsPerByte, 1e-5);
        Assert.InRange(Evaluation.HeldOut(model, tokens, context, atMost: 1000).Bytes, 500, 1500);
    }

    [Fact]
    public void StepsAllocateNothingAndCountTheText()
    {
        TokenCorpus tokens = Tokens();
        LanguageModel model = ModelFolder.Load(Published(), device, learned: true);
        using var trainer = new Trainer(model, tokens, Options(40));
        double first = trainer.Step().BitsPerByte;
        Assert.Equal(0, Allocations.Least(() => trainer.Step(), warmUp: 5));
        trainer.Run();
        StepResult last = trainer.Step();
        Assert.InRange(last.BitsPerByte, 0, 0.9 * first);
        Assert.Equal(last.Loss / Math.Log(2) / last.BytesPerToken, last.BitsPerByte);
        double mean = text.TrainLength / (double)tokens.TrainLength;
        Assert.Equal(mean, trainer.Bytes / (double)trainer.Tokens, 0.1 * mean);
        using var data = new Trainer(model, tokens, Options(1) with { Budget = Budget.Parse("2000B") });
        Assert.Equal((long)(2000 / (4 * 24 * mean)), data.TotalSteps);
    }

    [Fact]
    public void AModelThatLacksTokensIsRefused()
    {
        LanguageModel narrow = new(TinyModels.Config("swiglu") with { Vocabulary = 20 }, device, 1);
        Refused.With(() => new Trainer(narrow, Tokens(), Options(1)), "a vocabulary of 20", "the tokens of 'text'", "takes 48");
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("gpt2")] // tied, with learned positions
    [InlineData("mamba")]
    public void ARunGoesOnFromAPublishedModelAndKilledAnywhereEndsWithTheSameBytes(string family)
    {
        string published = Published(family);
        TrainingOptions options = Options(24);
        StartingPoint start = StartingPoint.Of(published);
        using (TrainingRun whole = Create("whole"))
        {
            Assert.Equal(TrainingOptions.DefaultRate(whole.Model.Config, hasLearned: true), whole.Trainer.Options.Rate);
            double before = Evaluation.HeldOut(whole.Model, whole.Trainer.Source, 24, atMost: options.EvaluationBytes).BitsPerByte;
            Assert.True(whole.Run(stop: Stop));
            Assert.Equal((0, before, 4), (whole.History[0].Step, whole.History[0].BitsPerByte, whole.History.Count));
        }

        TokenSource source = TokenSource.Of(folder["whole"], text, cancel: Stop); // by the run's own tokenizer
        int kills = 0;
        for (bool done = false; !done;)
        {
            using TrainingRun run = TrainingRun.Exists(folder["killed"]) ? TrainingRun.Resume(folder["killed"], device, source, options: options, start: kills % 2 == 0 ? start : null) : Create("killed");
            run.CheckpointSteps = 2;
            long until = run.Trainer.Steps + 5;
            try
            {
                done = run.Run(result =>
                {
                    if (result.Step == until)
                    {
                        throw new OperationCanceledException();
                    }
                }, Stop);
            }
            catch (OperationCanceledException)
            {
                kills++;
            }
        }

        Assert.True(kills > 3);
        foreach (string name in (string[])[ModelFolder.ConfigFile, ModelFolder.WeightsFile, ModelFolder.TokenizerFile, "optimizer.safetensors"])
        {
            Assert.Equal(File.ReadAllBytes(Path.Combine(folder["whole"], name)), File.ReadAllBytes(Path.Combine(folder["killed"], name)));
        }

        RunInfo a = RunInfo.Read(folder["whole"], 0)!, b = RunInfo.Read(folder["killed"], 0)!;
        Assert.Equal((a.Bytes, a.Tokens, a.Start), (b.Bytes, b.Tokens, b.Start));
        Assert.Equal(a.History.Select(p => p with { Seconds = 0 }), b.History.Select(p => p with { Seconds = 0 }));
        Assert.True(a.Bytes > a.Tokens);

        // It generates text, and goes back to the format that it came in, where it says the same.
        var greedy = new GenerationOptions { Tokens = 12, Temperature = 0 };
        string said = ModelFolder.Load(folder["whole"], device).Generate("and the ", greedy);
        ModelFolder.Export(folder["whole"], folder["exported"], device);
        Assert.True(ModelFolder.IsHuggingFace(folder["exported"]));
        Assert.Equal(said, ModelFolder.Load(folder["exported"], device).Generate("and the ", greedy));

        TrainingRun Create(string name) =>
            TrainingRun.Create(folder[name], ModelFolder.Load(published, device, learned: true), TokenSource.Of(published, text, cancel: Stop), options, start);
    }

    [Fact]
    public void AnotherStartOrTokenizerIsRefused()
    {
        string published = Published();
        StartingPoint start = StartingPoint.Of(published);
        TokenSource source = TokenSource.Of(published, text, cancel: Stop);
        using (TrainingRun run = TrainingRun.Create(folder["run"], ModelFolder.Load(published, device, learned: true), source, Options(2), start))
        {
            run.Run(stop: Stop);
        }

        Refused.With(() => TrainingRun.Resume(folder["run"], device, text), "the tokenizer differ");
        Refused.With(() => TrainingRun.Resume(folder["run"], device, source, start: StartingPoint.Of(Published("mamba"))), "it began with 'hf-llama', not with 'hf-mamba'");
        File.AppendAllText(Path.Combine(published, "tokenizer.json"), " ");
        Assert.NotEqual(start, StartingPoint.Of(published));
        Refused.With(() => TrainingRun.Resume(folder["run"], device, source, start: StartingPoint.Of(published)), "not with 'hf-llama' as it is now");
        File.Delete(Path.Combine(published, "tokenizer.json"));
        Refused.With(() => TokenSource.Of(published, text, cancel: Stop), "has no tokenizer.json");
        Refused.With(() => StartingPoint.Of(folder["nowhere"]), "cannot go on from", "nowhere");
        Directory.CreateDirectory(folder["stray"]);
        SmallTokenizer.Write(folder, Path.Combine("stray", "tokenizer.json"));
        Refused.With(() => TrainingRun.RequireVacant(folder["stray"]), "already holds a tokenizer");
    }

    [Fact]
    public void WhatIsKeptWithoutAGradientStays()
    {
        // The correction of a mixture's router is no parameter that learns: checkpoints hold it.
        ModelConfig config = TinyModels.Config("moe[experts=4, active=2, hidden=16, router=sigmoid] attention[heads=2, head-dim=8]");
        var model = new LanguageModel(config, device, seed: 1);
        Parameter kept = Assert.Single(model.Parameters(), p => !p.Tensor.RequiresGrad);
        kept.Tensor.Set([0.1f, -0.2f, 0.3f, 0]);
        ModelFolder.Save(model, folder["model"]);
        StartingPoint start = StartingPoint.Of(folder["model"]);
        using (TrainingRun run = TrainingRun.Create(folder["run"], ModelFolder.Load(folder["model"], device, learned: true), TokenSource.Of(folder["model"], text, cancel: Stop), TrainerTests.Options(3), start))
        {
            Assert.IsType<Corpus>(run.Trainer.Source); // a model of bytes
            run.Run(stop: Stop);
        }

        LanguageModel learned = ModelFolder.Load(folder["run"], device);
        Assert.Equal([0.1f, -0.2f, 0.3f, 0], learned.Parameters().Single(p => p.Name == kept.Name).Tensor.ToArray());
        Assert.NotEqual(ModelFolder.Fingerprint(model), ModelFolder.Fingerprint(learned));
        Assert.False(ModelFolder.HasTokenizer(folder["run"]));
        using TrainingRun resumed = TrainingRun.Resume(folder["run"], device, text);
        Assert.True(resumed.Trainer.IsDone);
    }
}
