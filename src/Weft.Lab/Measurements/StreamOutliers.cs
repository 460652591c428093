using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab;

/// <summary>The residual stream at one level: as embedded (0), or after so many blocks. Means over windows of held-out text.</summary>
public sealed record StreamLevel
{
    /// <summary>The blocks passed.</summary>
    public required int Level { get; init; }

    /// <summary>The largest magnitude of a window.</summary>
    public required double Largest { get; init; }

    /// <summary>It over the median of the window's magnitudes.</summary>
    public required double Ratio { get; init; }

    /// <summary>The largest magnitude at the first token, over that median.</summary>
    public required double First { get; init; }

    /// <summary>The largest magnitude at delimiters (spaces, line ends, . , ; :), over that median.</summary>
    public required double Delimiter { get; init; }

    /// <summary>The largest magnitude at other bytes, over that median.</summary>
    public required double Other { get; init; }

    /// <summary>The values of a window that are massive as the paper defines it: above 100, and above 1000 times the median.</summary>
    public required double Massive { get; init; }

    /// <summary>The share of positions whose largest magnitude is above <see cref="StreamOutliers.Outlier"/> times the median.</summary>
    public required double Outliers { get; init; }

    /// <summary>The share of positions whose largest magnitude is in one and the same channel, the most frequent one.</summary>
    public required double OneChannel { get; init; }

    /// <summary>The <see cref="StreamOutliers.Few"/> channels whose largest magnitude in a window is largest on average, the largest first.</summary>
    public required IReadOnlyList<int> Channels { get; init; }

    /// <summary>Extra bits per byte where the <see cref="StreamOutliers.Few"/> largest values of each window are set to zero.</summary>
    public double ValuesZeroed { get; init; }

    /// <summary>The same where they are set to their channel's mean over positions of their kind.</summary>
    public double ValuesPatched { get; init; }

    /// <summary>Extra bits per byte where <see cref="Channels"/> are set to zero everywhere.</summary>
    public double ChannelsZeroed { get; init; }

    /// <summary>The same where they are set to their mean over positions of their kind.</summary>
    public double ChannelsPatched { get; init; }

    /// <summary>Extra bits per byte where as many channels of middling size are set to zero: what any channels cost.</summary>
    public double ControlZeroed { get; init; }
}

/// <summary>
/// Outliers of the residual stream: where they are, how large, and what a model loses without them (Sun et al., "Massive activations in
/// large language models", arXiv 2402.17762).
/// </summary>
/// <remarks>
/// There a few values, in fixed channels at the first token and at delimiters, are massive (above 100 and about 1000 times the median), hardly
/// depend on the text, and work as biases: set to zero they ruin the model, set to their mean they cost nothing. The first experiment here
/// changes single values, as there; the second whole channels, since milder outliers are everywhere in their channel. Means are taken over
/// positions of one kind (first, delimiter, other), because a bias at the first token is not the mean of all tokens. A channel carries more
/// than its mean, which zeroing and patching both lose: the bias is worth their difference.
/// </remarks>
public static class StreamOutliers
{
    /// <summary>How many values, or channels, are changed.</summary>
    public const int Few = 4;

    /// <summary>Medians above which a position has an outlier: for normally distributed values 6.7 standard deviations.</summary>
    public const double Outlier = 10;

    private const float MassiveValue = 100, MassiveRatio = 1000;
    private const int Kinds = 3;

    /// <summary>Measures every level of a model on up to <paramref name="windows"/> held-out windows of <paramref name="context"/> bytes.</summary>
    /// <exception cref="InputException">The held-out text is shorter than a window.</exception>
    public static IReadOnlyList<StreamLevel> Measure(LanguageModel model, Corpus corpus, int context, int windows, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(corpus);
        var sample = new StreamSample(corpus, context, windows);
        Level[] levels = [.. Enumerable.Range(0, model.Blocks.Count + 1).Select(_ => new Level(sample, model.Config.Width))];
        double bits = sample.Look(model, (level, window, values) => levels[level].Add(window, values), cancel);
        return [.. levels.Select((level, i) => level.Describe(i) with
        {
            ValuesZeroed = Without(i, (window, values) => level.ChangeValues(window, values, toMean: false)),
            ValuesPatched = Without(i, (window, values) => level.ChangeValues(window, values, toMean: true)),
            ChannelsZeroed = Without(i, (window, values) => level.ChangeChannels(window, values, level.Largest, toMean: false)),
            ChannelsPatched = Without(i, (window, values) => level.ChangeChannels(window, values, level.Largest, toMean: true)),
            ControlZeroed = Without(i, (window, values) => level.ChangeChannels(window, values, level.Middling, toMean: false)),
        })];

        double Without(int at, Change change) => sample.Change(model, at, (_, window, values) => change(window, values), cancel) - bits;
    }

    private delegate void Change(int window, Span<float> values);

    /// <summary>What was seen at one level.</summary>
    internal sealed class Level(StreamSample sample, int width)
    {
        private readonly double[] sums = new double[Kinds * width], peaks = new double[width]; // by kind and channel; by channel, of each window's largest
        private readonly long[] positions = new long[Kinds], tops = new long[width];           // tops: positions where a channel is the largest
        private readonly double[] kindRatios = new double[Kinds];
        private readonly int[] kindWindows = new int[Kinds];
        private readonly float[] sorted = new float[sample.Context * width];
        private double largest, ratio;
        private long massive, outliers;
        private int[]? order; // channels, the largest first

        public ReadOnlySpan<int> Largest => Order.AsSpan(0, Math.Min(Few, width));

        public ReadOnlySpan<int> Middling => Order.AsSpan((width - Math.Min(Few, width)) / 2, Math.Min(Few, width));

        private int[] Order => order ??= [.. Enumerable.Range(0, width).OrderByDescending(c => peaks[c]).ThenBy(c => c)];

        /// <summary>Takes in a window's stream [T,D].</summary>
        public void Add(int window, ReadOnlySpan<float> values)
        {
            double median = Median(values), most = 0;
            Span<double> kindMost = stackalloc double[Kinds];
            Span<bool> kindThere = stackalloc bool[Kinds];
            var peak = new float[width];
            for (int t = 0; t < sample.Context; t++)
            {
                ReadOnlySpan<float> position = values.Slice(t * width, width);
                int kind = (int)sample.KindOf(window, t), top = 0;
                for (int c = 0; c < width; c++)
                {
                    float magnitude = Math.Abs(position[c]);
                    sums[(kind * width) + c] += position[c];
                    peak[c] = Math.Max(peak[c], magnitude);
                    top = magnitude > Math.Abs(position[top]) ? c : top;
                    massive += magnitude > MassiveValue && magnitude > MassiveRatio * median ? 1 : 0;
                }

                double at = Math.Abs(position[top]);
                positions[kind]++;
                tops[top]++;
                outliers += at > Outlier * median ? 1 : 0;
                kindMost[kind] = Math.Max(kindMost[kind], at);
                kindThere[kind] = true;
                most = Math.Max(most, at);
            }

            largest += most;
            ratio += most / median;
            for (int c = 0; c < width; c++)
            {
                peaks[c] += peak[c];
            }

            for (int kind = 0; kind < Kinds; kind++)
            {
                kindRatios[kind] += kindMost[kind] / median;
                kindWindows[kind] += kindThere[kind] ? 1 : 0;
            }
        }

        public StreamLevel Describe(int level)
        {
            long all = positions.Sum();
            return new StreamLevel
            {
                Level = level,
                Largest = largest / sample.Windows,
                Ratio = ratio / sample.Windows,
                First = Ratio(PositionKind.First),
                Delimiter = Ratio(PositionKind.Delimiter),
                Other = Ratio(PositionKind.Other),
                Massive = massive / (double)sample.Windows,
                Outliers = outliers / (double)all,
                OneChannel = tops.Max() / (double)all,
                Channels = Largest.ToArray(),
            };

            double Ratio(PositionKind kind) => kindRatios[(int)kind] / kindWindows[(int)kind]; // no number where there is none of the kind
        }

        /// <summary>Sets the largest values of a window to zero, or to their channel's mean over positions of their kind.</summary>
        public void ChangeValues(int window, Span<float> values, bool toMean)
        {
            Span<int> largestAt = stackalloc int[Few]; // the largest first
            int found = 0;
            for (int j = 0; j < values.Length; j++)
            {
                int place = found;
                while (place > 0 && Math.Abs(values[j]) > Math.Abs(values[largestAt[place - 1]]))
                {
                    place--;
                }

                if (place < Few)
                {
                    found = Math.Min(found + 1, Few);
                    largestAt[place..(found - 1)].CopyTo(largestAt[(place + 1)..]);
                    largestAt[place] = j;
                }
            }

            foreach (int j in largestAt[..found])
            {
                values[j] = toMean ? Mean(sample.KindOf(window, j / width), j % width) : 0;
            }
        }

        /// <summary>Sets channels of a window to zero, or to their mean over positions of a kind.</summary>
        public void ChangeChannels(int window, Span<float> values, ReadOnlySpan<int> channels, bool toMean)
        {
            for (int t = 0; t < sample.Context; t++)
            {
                PositionKind kind = sample.KindOf(window, t);
                foreach (int c in channels)
                {
                    values[(t * width) + c] = toMean ? Mean(kind, c) : 0;
                }
            }
        }

        private float Mean(PositionKind kind, int channel) => (float)(sums[((int)kind * width) + channel] / positions[(int)kind]);

        private double Median(ReadOnlySpan<float> values)
        {
            for (int i = 0; i < values.Length; i++)
            {
                sorted[i] = Math.Abs(values[i]);
            }

            Array.Sort(sorted);
            return Math.Max(sorted[sorted.Length / 2], float.Epsilon);
        }
    }
}
