using Weft.Lab;
using Weft.Models;
using Weft.Tensors;
using Weft.Tests.Models;
using Weft.Training;

namespace Weft.Tests.Lab;

public sealed class StreamOutliersTests : IDisposable
{
    private const int Context = 24, Windows = 5, Width = 16;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private readonly Device _device = Device.Open(threads: 1);
    private readonly Corpus _text = Corpus.FromText(string.Concat(Enumerable.Range(0, 2000).Select(i => $"{i * 7919 % 1000} words, then more.\n")));

    public void Dispose()
    {
        _text.Dispose();
        _device.Dispose();
    }

    [Fact]
    public void TheStreamHandedOutAtEachBlockChangesNothing()
    {
        LanguageModel model = TinyModels.Create(_device);
        using var tape = new Tape(_device) { Recording = false };
        int[] inputs = [.. Enumerable.Range(40, 2 * Context)], targets = [.. Enumerable.Range(41, 2 * Context)];
        float[] whole = model.Loss(tape.Tokens(inputs, 2, Context), tape.Tokens(targets, 2, Context), model.NewState(2)).ToArray();
        List<int> levels = [];
        float[] between = model.Loss(tape.Tokens(inputs, 2, Context), tape.Tokens(targets, 2, Context), model.NewState(2), (level, stream) =>
        {
            levels.Add(level);
            Assert.Equal(new Shape(2, Context, Width), stream.Shape);
            return stream;
        }).ToArray();
        Assert.Equal(whole, between);
        Assert.Equal(Enumerable.Range(0, model.Blocks.Count + 1), levels);

        var flow = new Flow(model.Embed(tape.Tokens(inputs, 2, Context), 0));
        SequenceState state = model.NewState(2);
        float[][] streams = [flow.Stream.ToArray(), .. model.Blocks.Select((block, i) =>
        {
            block.Forward(ref flow, state.Layers[i]);
            return flow.Stream.ToArray();
        })];
        model.Loss(tape.Tokens(inputs, 2, Context), tape.Tokens(targets, 2, Context), model.NewState(2), (level, stream) =>
        {
            Assert.Equal(streams[level], stream.ToArray());
            return stream;
        });
    }

    [Fact]
    public void WhatIsReturnedFlowsOn()
    {
        LanguageModel model = TinyModels.Create(_device);
        var sample = new StreamSample(_text, Context, Windows);
        double bits = sample.BitsPerByte(model, Cancel);
        Assert.Equal(bits, sample.Look(model, (_, _, _) => { }, Cancel));
        for (int level = 0; level <= model.Blocks.Count; level++)
        {
            int at = level;
            Assert.Equal(bits, sample.Change(model, level, (seen, _, _) => Assert.Equal(at, seen), Cancel));
            Assert.NotEqual(bits, sample.Change(model, level, (_, _, values) => values[^1] += 1, Cancel));
        }

        // The loss of a stream of zeros after the last block is that of a head that knows nothing.
        Assert.Equal(8, sample.Change(model, model.Blocks.Count, (_, _, values) => values.Clear(), Cancel), 1e-5);
    }

    [Fact]
    public void TheSampleIsScoredAsEvaluationsAre()
    {
        LanguageModel model = TinyModels.Create(_device);
        var sample = new StreamSample(_text, (int)_text.HeldOutLength - 1, 1);
        Assert.Equal(Evaluation.HeldOut(model, _text, context: sample.Context).BitsPerByte, sample.BitsPerByte(model, Cancel), 1e-6);
    }

    [Fact]
    public void APlantedOutlierIsFoundWithItsPlaceAndSize()
    {
        LanguageModel model = Planted(channel: 5, token: 3f, full: 3f);
        StreamLevel embedded = StreamOutliers.Measure(model, _text, Context, Windows, Cancel)[0];
        Assert.Equal(5, embedded.Channels[0]);
        Assert.Equal(3, embedded.Largest);
        Assert.Equal(1, embedded.OneChannel);
        Assert.Equal(1, embedded.Outliers);
        Assert.InRange(embedded.Ratio, 3 / 0.03, 3 / 0.005); // weights have a deviation of 0.02
        Assert.Equal(embedded.Ratio, Math.Max(embedded.First, Math.Max(embedded.Delimiter, embedded.Other)));
        Assert.Equal(0, embedded.Massive);

        StreamLevel massive = StreamOutliers.Measure(Planted(channel: 5, token: 0, full: 300f), _text, Context, Windows, Cancel)[0];
        Assert.Equal(300, massive.Largest); // at full stops
        Assert.Equal(massive.Ratio, massive.Delimiter);
        Assert.True(massive.Other < 10);
        Assert.InRange(massive.Massive, 0.5, 3);
        Assert.InRange(massive.Outliers, 0.5 / Context, 3.0 / Context);
    }

    [Fact]
    public void WhatIsItsOwnMeanMayBePatchedAndWhatIsZeroMayBeZeroed()
    {
        LanguageModel model = Planted(channel: 5, token: 3f, full: 3f);
        var sample = new StreamSample(_text, Context, Windows);
        var seen = new StreamOutliers.Level(sample, Width);
        double bits = sample.Look(model, (level, window, values) =>
        {
            if (level == 0)
            {
                seen.Add(window, values);
            }
        }, Cancel);
        Assert.Equal(bits, sample.Change(model, 0, (_, window, values) => seen.ChangeChannels(window, values, [5], toMean: true), Cancel));
        Assert.Equal(bits, sample.Change(model, 0, (_, window, values) => seen.ChangeValues(window, values, toMean: true), Cancel)); // the largest are all of channel 5
        Assert.NotEqual(bits, sample.Change(model, 0, (_, window, values) => seen.ChangeChannels(window, values, [5], toMean: false), Cancel));
        Assert.NotEqual(bits, sample.Change(model, 0, (_, window, values) => seen.ChangeValues(window, values, toMean: false), Cancel));

        model = Planted(channel: 5, token: 0, full: 0);
        bits = sample.BitsPerByte(model, Cancel);
        Assert.Equal(bits, sample.Change(model, 0, (_, window, values) => seen.ChangeChannels(window, values, [5], toMean: false), Cancel));
    }

    [Fact]
    public void TheLargestValuesAndNoOthersAreChanged()
    {
        var sample = new StreamSample(_text, Context, Windows);
        var level = new StreamOutliers.Level(sample, 2);
        float[] values = [.. Enumerable.Range(0, 2 * Context).Select(i => i % 3 == 0 ? -i : (float)i)];
        level.Add(0, values);
        float[] changed = [.. values];
        level.ChangeValues(0, changed, toMean: false);
        Assert.All(Enumerable.Range(0, values.Length), i => Assert.Equal(i >= values.Length - StreamOutliers.Few ? 0 : values[i], changed[i]));
    }

    [Fact]
    public void MeasuringTwiceGivesTheSame()
    {
        LanguageModel model = TinyModels.Create(_device);
        IReadOnlyList<StreamLevel> first = StreamOutliers.Measure(model, _text, Context, Windows, Cancel), second = StreamOutliers.Measure(model, _text, Context, Windows, Cancel);
        Assert.Equal(first.Select(b => b with { Channels = [] }), second.Select(b => b with { Channels = [] }));
        Assert.Equal(first.Select(b => b.Channels), second.Select(b => b.Channels));
        Assert.Equal(model.Blocks.Count + 1, first.Count);
        Assert.All(first, b => Assert.True(b.Ratio >= 1 && double.IsFinite(b.ValuesZeroed) && double.IsFinite(b.ControlZeroed)));
    }

    [Fact]
    public void ATextShorterThanAWindowIsRefused() =>
        Refused.With(() => new StreamSample(_text, (int)_text.HeldOutLength, 1), "held-out text", "shorter context");

    // A model whose embedding has one value in a channel for full stops, and another for all other bytes.
    private LanguageModel Planted(int channel, float token, float full)
    {
        LanguageModel model = TinyModels.Create(_device);
        Tensor table = model.Parameters().Single(p => p.Name == "embedding.weight").Tensor;
        float[] values = table.ToArray();
        for (int i = 0; i < table.Shape.Rows; i++)
        {
            values[(i * Width) + channel] = i == '.' ? full : token;
        }

        table.Set(values);
        return model;
    }
}
