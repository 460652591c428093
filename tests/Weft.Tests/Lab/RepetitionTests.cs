using Weft.Lab;
using Weft.Models;
using Weft.Tensors;
using Weft.Tests.Models;
using Weft.Training;

namespace Weft.Tests.Lab;

public sealed class RepetitionTests : IDisposable
{
    private const int Examples = 3;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private readonly Device _device = Device.Open(threads: 1);
    private readonly Corpus _text = Corpus.FromText(string.Concat(Enumerable.Range(0, 2000).Select(i => $"{i * 7919 % 1000} words, then more.\n")));

    public void Dispose()
    {
        _text.Dispose();
        _device.Dispose();
    }

    [Fact]
    public void NoCopiesAreNoDifference()
    {
        IReadOnlyList<RepetitionPoint> points = Repetition.MeasurePassages(TinyModels.Create(_device), _text, Examples, Cancel);
        Assert.Equal(Repetition.Copies, points.Select(p => p.Copies));
        Assert.Equal(0, points[0].Start);
        Assert.Equal(0, points[0].Rest);
        Assert.All(points.Skip(1), p => Assert.NotEqual(0, p.Rest));
        Assert.Equal(points, Repetition.MeasurePassages(TinyModels.Create(_device), _text, Examples, Cancel));
    }

    [Fact]
    public void AModelThatKnowsNothingHasNoPreference()
    {
        LanguageModel model = TinyModels.Create(_device);
        foreach (Parameter parameter in model.Parameters().Where(p => p.Name is "head.weight" or "embedding.weight"))
        {
            parameter.Tensor.Set(new float[parameter.Tensor.Shape.Count]);
        }

        Assert.All(Repetition.MeasurePassages(model, _text, Examples, Cancel), p =>
        {
            Assert.Equal(8, p.Again, 1e-5);
            Assert.Equal(1 / 256.0, p.First, 1e-6);
            Assert.Equal(0, p.Start + p.Rest, 1e-5);
        });
        Assert.All(Repetition.MeasureVotes(model, _text, Examples, Cancel), p =>
        {
            Assert.Equal(0, p.LogOdds, 1e-6);
            Assert.Equal(2 / 256.0, p.Either, 1e-6);
        });
    }

    // Without blocks that look back only the cue's last byte counts, and an example and its mirror image cancel.
    [Fact]
    public void WhatAModelThinksOfTheAnswersThemselvesCancels()
    {
        IReadOnlyList<VotePoint> points = Repetition.MeasureVotes(TinyModels.Create(_device, "swiglu[hidden=24]"), _text, Examples, Cancel);
        Assert.Equal(Repetition.Votes, points.Select(p => p.Copies));
        Assert.All(points, p => Assert.Equal(0, p.LogOdds, 1e-6));
        Assert.All(Repetition.MeasureVotes(TinyModels.Create(_device), _text, Examples, Cancel), p => Assert.NotEqual(0, p.LogOdds));
    }

    [Fact]
    public void TooLittleOrTooUniformTextIsRefused()
    {
        using Corpus little = Corpus.FromText("a few words "), uniform = Corpus.FromBytes(new byte[100_000], "zeros");
        LanguageModel model = TinyModels.Create(_device);
        Refused.With(() => Repetition.MeasurePassages(model, little, Examples, Cancel), "held-out text", "more text");
        Refused.With(() => Repetition.MeasureVotes(model, little, Examples, Cancel), "held-out text", "more text");
        Refused.With(() => Repetition.MeasureVotes(model, uniform, Examples, Cancel), "different bytes", "another text");
    }
}
