using Weft.Lab;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Laws;
using Weft.Tests.Tensors;
using Weft.Training;

namespace Weft.Tests.Models;

/// <summary>Models with weights of 16, 8 and 4 bits: they compute what the float32 model of their rounded weights does, and lose little.</summary>
public class QuantizedModelTests
{
    public static TheoryData<string> Models => [.. Presets.All.Select(p => p.Name)];

    [Theory]
    [MemberData(nameof(Models))]
    public void EqualsTheModelOfItsRoundedWeights(string name)
    {
        ModelConfig config = Presets.Resolve(name, 64) with { Context = 64 };
        using CpuDevice device = new(2);
        byte[] text = [.. Enumerable.Range(0, 90).Select(i => (byte)(i * 37))];
        foreach (WeightFormat format in new[] { WeightFormat.BFloat16, WeightFormat.Int8, WeightFormat.Int4 })
        {
            LanguageModel quantized = new(config, device, seed: 1), rounded = new(config, device, seed: 1);
            quantized.Quantize(format);
            foreach ((Parameter q, Parameter r) in quantized.Parameters().Zip(rounded.Parameters()))
            {
                r.Tensor.Set(q.Tensor.ToArray());
            }

            Assert.Contains(quantized.Parameters(), p => p.Tensor.Format == format && p.Name.Contains("mixer", StringComparison.Ordinal));
            Assert.Equal(config.ToJson(), quantized.Config.ToJson());
            float[] expected = TinyModels.Read(rounded, rounded.NewState(1), text);
            LawTools.Close(TinyModels.Read(quantized, quantized.NewState(1), text), expected, 1e-4, $"{name} in {format.Word()}");

            SequenceState state = quantized.NewState(1);
            foreach (byte[] piece in text.Chunk(40).SelectMany((p, i) => i == 1 ? p.Chunk(1) : [p]))
            {
                TinyModels.Read(quantized, state, piece);
            }

            LawTools.Close(TinyModels.Read(quantized, state, "and on"u8), TinyModels.Read(rounded, After(rounded, text), "and on"u8), 1e-3, $"{name} in {format.Word()}, in pieces");
        }

        static SequenceState After(LanguageModel model, byte[] text)
        {
            SequenceState state = model.NewState(1);
            TinyModels.Read(model, state, text);
            return state;
        }
    }

    [Theory]
    [MemberData(nameof(QuantizedTests.Formats), MemberType = typeof(QuantizedTests))]
    public void SplitsInBf16AreTheSameWithinItsTolerance(WeightFormat format)
    {
        using CpuDevice device = new(2, Precision.BFloat16);
        LanguageModel model = Small(device);
        model.Quantize(format);
        byte[] text = [.. Enumerable.Range(0, 100).Select(i => (byte)(i * 37))];
        float[] whole = TinyModels.Read(model, model.NewState(1), text);
        SequenceState state = model.NewState(1);
        float[] pieces = [];
        foreach (byte[] piece in text.Chunk(33).SelectMany((p, i) => i == 1 ? p.Chunk(1) : [p]))
        {
            pieces = TinyModels.Read(model, state, piece);
        }

        LawTools.Close(pieces, whole, 2e-2, format.Word());
    }

    [Theory]
    [MemberData(nameof(QuantizedTests.Formats), MemberType = typeof(QuantizedTests))]
    public void AStateIsSavedAndContinuesAndDecodingAllocatesNothing(WeightFormat format)
    {
        using TemporaryFolder folder = new();
        using CpuDevice device = new(1);
        LanguageModel model = Small(device);
        model.Quantize(format);
        SequenceState state = model.NewState(1);
        TinyModels.Read(model, state, "Once upon a time "u8);
        StateFile.Save(state, folder["s"]);
        SequenceState restored = StateFile.Load(folder["s"], model);
        Assert.Equal(TinyModels.Read(model, state, "there was"u8), TinyModels.Read(model, restored, "there was"u8));

        using Generator generator = new(model, state);
        generator.Read("a"u8);
        Sampler sampler = new(new GenerationOptions());
        Assert.Equal(0, Allocations.Least(() => generator.Next(sampler)));
    }

    [Fact]
    public void AQuantisedModelIsNotTrainedOrSavedOrQuantisedAgain()
    {
        using TemporaryFolder folder = new();
        using CpuDevice device = new(1);
        LanguageModel model = Small(device);
        long before = model.WeightBytes;
        model.Quantize(WeightFormat.Int4);
        Assert.Equal(WeightFormat.Int4, model.Format);
        Assert.InRange(model.WeightBytes, before / 8, before / 5);
        Refused.With(() => model.Quantize(WeightFormat.Int8), "int4 already", "int8");
        Refused.With(() => ModelFolder.Save(model, folder["m"]), "int4", "not saved");
        using Corpus corpus = Corpus.FromText(string.Concat(Enumerable.Range(0, 2000)));
        Refused.With(() => new Trainer(model, corpus, Options(1)), "int4", "not trained", "without quantising");
        using var tape = new Tape(device);
        Refused.With(() => model.Loss(tape.Tokens([1, 2], 1, 2), tape.Tokens([2, 3], 1, 2), model.NewState(1)), "int4", "not trained");
    }

    [Fact]
    public void AModelInBf16TrainsAgainAndIsSavedAndQuantisedFurther()
    {
        using CpuDevice device = new(1);
        using Corpus corpus = Corpus.FromText(string.Concat(Enumerable.Range(0, 2000)));
        LanguageModel model = Small(device), plain = Small(device), fewer = Small(device);
        long bytes = model.WeightBytes;
        model.Quantize(WeightFormat.BFloat16);
        fewer.Quantize(WeightFormat.BFloat16);
        fewer.Quantize(WeightFormat.BFloat16); // nothing is left to do
        Assert.InRange(model.WeightBytes, bytes * 10 / 21, bytes * 10 / 19);
        Assert.Equal(ModelFolder.Fingerprint(model), ModelFolder.Fingerprint(fewer));
        Refused.With(() => new Trainer(model, corpus, Options(1)), "bf16", "not trained", "float32 first");
        foreach ((Parameter from, Parameter to) in model.Parameters().Zip(plain.Parameters()))
        {
            to.Tensor.Set(from.Tensor.ToArray());
        }

        Assert.Equal(ModelFolder.Fingerprint(plain), ModelFolder.Fingerprint(model)); // the same values
        model.Dequantize();
        Assert.Equal((WeightFormat.Float32, bytes), (model.Format, model.WeightBytes));
        double[] losses = [.. new[] { model, plain }.Select(m =>
        {
            using Trainer trainer = new(m, corpus, Options(3));
            trainer.Run();
            return Evaluation.HeldOut(m, corpus, atMost: 1000).BitsPerByte;
        })];
        Assert.Equal(losses[1], losses[0]);

        using TemporaryFolder folder = new();
        ModelFolder.Save(fewer, folder["m"]);
        LanguageModel held = ModelFolder.Load(folder["m"], device), learned = ModelFolder.Load(folder["m"], device, learned: true);
        Assert.Equal((WeightFormat.BFloat16, fewer.WeightBytes, WeightFormat.Float32, bytes), (held.Format, held.WeightBytes, learned.Format, learned.WeightBytes));
        Assert.All([held, learned], m => Assert.Equal(ModelFolder.Fingerprint(fewer), ModelFolder.Fingerprint(m)));
        Assert.InRange(new FileInfo(AtomicFolder.PathOf(folder["m"], ModelFolder.WeightsFile)).Length, held.WeightBytes * 9 / 10, held.WeightBytes + 10_000); // panels are padded in memory
        WeightForm[] forms = [.. QuantizationLoss.Measure(folder["m"], corpus, TestContext.Current.CancellationToken)];
        Assert.Equal([bytes, held.WeightBytes], forms.Take(2).Select(f => f.Bytes));
        Assert.Equal(forms[0].BitsPerByte, forms[1].BitsPerByte, 1e-5);

        fewer.Quantize(WeightFormat.Int8);
        Assert.Equal(WeightFormat.Int8, fewer.Format);
        Refused.With(() => fewer.Quantize(WeightFormat.BFloat16), "int8 already", "bf16");
        Refused.With(fewer.Dequantize, "int8", "not trained", "without quantising");
    }

    [Theory]
    [InlineData("transformer")]
    [InlineData("mamba2")]
    public void ATrainedModelLosesLittle(string name)
    {
        using TemporaryFolder folder = new();
        using CpuDevice device = new(2);
        using Corpus corpus = Corpus.Default();
        using (var trainer = new Trainer(new LanguageModel(Presets.Resolve(name, 64) with { Context = 64 }, device, seed: 1), corpus, Options(150)))
        {
            trainer.Run();
            ModelFolder.Save(trainer.Model, folder["m"]);
        }

        double Score(WeightFormat format)
        {
            LanguageModel model = ModelFolder.Load(folder["m"], device);
            if (format != WeightFormat.Float32)
            {
                model.Quantize(format);
            }

            return Evaluation.HeldOut(model, corpus, atMost: 8 << 10).BitsPerByte;
        }

        double exact = Score(WeightFormat.Float32);
        Assert.InRange(exact, 1, 5); // it has learned something
        Assert.InRange(Score(WeightFormat.BFloat16) - exact, -0.01, 0.01);
        Assert.InRange(Score(WeightFormat.Int8) - exact, -0.01, 0.01);
        Assert.InRange(Score(WeightFormat.Int4) - exact, -0.1, 0.1);
    }

    private static LanguageModel Small(Device device) =>
        new(new ModelConfig { Name = "small", Width = 64, Context = 64, Blocks = Pattern.Parse("attention[head-dim=16] swiglu mamba2[head-dim=16, state=16]") }, device, seed: 1);

    private static TrainingOptions Options(long steps) => new() { Budget = new Budget(BudgetKind.Steps, steps), BatchSize = 8, Rate = 3e-3, Evaluations = 0 };
}
