using System.Diagnostics;
using Weft.Models;
using Weft.Tensors;

namespace Weft.Lab;

/// <summary>Decoding at a context: tokens a second of one sequence and the bytes of its state; computed from shorter contexts where not measured.</summary>
public sealed record DecodePoint(int Context, double TokensPerSecond, long StateBytes, bool Measured);

/// <summary>
/// How fast a model decodes one sequence after a context of given length. The state is filled with synthetic content of that length
/// (the time of a step does not depend on the values), so that a long context costs memory but no prefill.
/// </summary>
public static class DecodeSpeed
{
    /// <summary>The contexts that reports show.</summary>
    public static IReadOnlyList<int> Contexts { get; } = [1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18];

    /// <summary>The bytes of the largest state that is measured unless told otherwise.</summary>
    public const long LargestState = 600L << 20;

    private const double Seconds = 0.25;          // per context: enough for the median to settle

    /// <summary>Measures, or computes where a state would take more than <see cref="LargestState"/>, each of <paramref name="contexts"/>, ascending.</summary>
    public static IReadOnlyList<DecodePoint> Measure(LanguageModel model, IReadOnlyList<int> contexts, CancellationToken cancel = default) =>
        Measure(model, contexts, LargestState, cancel);

    /// <summary>The same, computed where a state would take more than <paramref name="largestState"/> bytes.</summary>
    /// <exception cref="InputException">There is not enough memory for a state that is to be measured.</exception>
    public static IReadOnlyList<DecodePoint> Measure(LanguageModel model, IReadOnlyList<int> contexts, long largestState, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(contexts);
        var points = new List<DecodePoint>();
        foreach (int context in contexts)
        {
            cancel.ThrowIfCancellationRequested();
            long bytes = model.Cost(1, context - 1).StateBytes;
            points.Add(bytes <= largestState || points.Count < 2
                ? new DecodePoint(context, Measure(model, context), bytes, true)
                : new DecodePoint(context, Extrapolate(points, bytes), bytes, false));
        }

        return points;
    }

    private static double Measure(LanguageModel model, int context)
    {
        SequenceState state = model.NewState(1);
        try
        {
            state.FillForMeasurement(context, new RandomSource(1));
            return Measure(model, state);
        }
        finally
        {
            foreach (IDisposable slot in state.Layers.SelectMany(l => l.Slots).OfType<IDisposable>())
            {
                slot.Dispose(); // the next context's may need the memory
            }
        }
    }

    private static double Measure(LanguageModel model, SequenceState state)
    {
        using var tape = new Tape(model.Device) { Recording = false };
        Span<int> token = [32];
        var times = new List<double>(4096);
        long start = Stopwatch.GetTimestamp();
        while (times.Count < 24 || (Stopwatch.GetElapsedTime(start).TotalSeconds < Seconds && times.Count < 4096))
        {
            long before = Stopwatch.GetTimestamp();
            model.Next(tape.Tokens(token, 1, 1), state);
            model.Device.Synchronize();
            times.Add(Stopwatch.GetElapsedTime(before).TotalSeconds);
            tape.Reset();
        }

        times.RemoveRange(0, 8); // caches and branch predictors settle
        times.Sort();
        return 1 / times[times.Count / 2];
    }

    /// <summary>The time of a token is linear in the bytes of state that it reads: the line through the two longest contexts measured.</summary>
    private static double Extrapolate(List<DecodePoint> points, long bytes)
    {
        List<DecodePoint> measured = points.FindAll(p => p.Measured);
        DecodePoint a = measured[^2], b = measured[^1];
        double ta = 1 / a.TokensPerSecond, tb = 1 / b.TokensPerSecond;
        double slope = Math.Max(0, (tb - ta) / Math.Max(1, b.StateBytes - a.StateBytes));
        return 1 / (tb + (slope * (bytes - b.StateBytes)));
    }
}
