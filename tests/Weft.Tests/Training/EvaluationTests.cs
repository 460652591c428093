using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Models;
using Weft.Training;

namespace Weft.Tests.Training;

public sealed class EvaluationTests : IDisposable
{
    private readonly CpuDevice device = new(1);

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData(2, 16, 8)]
    [InlineData(17, 16, 8)]   // one window, exactly
    [InlineData(18, 16, 8)]   // and one byte of another
    [InlineData(100, 16, 4)]  // batches not filled
    [InlineData(100, 1, 8)]
    [InlineData(50, 64, 3)]   // less than a window
    public void EveryByteButTheFirstIsPredictedOnce(int length, int context, int batch)
    {
        LanguageModel model = TinyModels.Create(device);
        byte[] text = [.. Enumerable.Range(0, 300).Select(i => (byte)(i * i % 251))];
        using Corpus corpus = Corpus.FromBytes(text, "text");
        const int offset = 130;

        double nats = 0;
        for (int target = 1; target < length; target++)
        {
            int start = (target - 1) / context * context;
            float[] logits = TinyModels.Read(model, model.NewState(1), text.AsSpan(offset + start, target - start));
            nats += Math.Log(logits.Sum(l => Math.Exp(l))) - logits[text[offset + target]];
        }

        Score score = Evaluation.BitsPerByte(model, corpus, offset, length, context, batch);
        Assert.Equal(length - 1, score.Bytes);
        Assert.Equal(nats / Math.Log(2) / (length - 1), score.BitsPerByte, 1e-5);
    }

    [Fact]
    public void AModelThatKnowsNothingTakesEightBits()
    {
        LanguageModel model = TinyModels.Create(device, "swiglu[hidden=24]");
        Tensor embedding = model.Parameters().First().Tensor; // tied: all logits are zero
        embedding.Set(new float[embedding.Shape.Count]);
        using Corpus corpus = Corpus.Default();
        Score score = Evaluation.HeldOut(model, corpus, context: 50, atMost: 5001);
        Assert.Equal(5000, score.Bytes); // a hundred windows from all over the held-out text
        Assert.Equal(8, score.BitsPerByte, 1e-6);
        Assert.Equal(corpus.HeldOutLength - 1, Evaluation.HeldOut(model, corpus, context: 4096, batch: 2).Bytes);
        Refused.With(() => Evaluation.BitsPerByte(model, corpus, 0, 1), "too few to evaluate on");
    }
}
