using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Training;

/// <summary>How well a model predicts a text.</summary>
/// <param name="BitsPerByte">The sum of -log2 of the probability that it gave each token, over the bytes of text that these tokens stand for.</param>
/// <param name="Bytes">These bytes.</param>
public readonly record struct Score(double BitsPerByte, long Bytes);

/// <summary>
/// Held-out bits per byte. The text is cut in windows as long as a training sequence, each read from a fresh state, so that a model is asked
/// what it was trained for. Every token but the very first of the text is predicted exactly once: window k reads tokens kT .. kT+T-1 and
/// predicts tokens kT+1 .. kT+T, its first one from the one token before it. The sum is taken in double precision.
/// </summary>
public static class Evaluation
{
    private const int FastTokens = 512;

    /// <summary>Scores the held-out part of a source, or a sample of it: windows at equal distances that have about <paramref name="atMost"/> bytes together.</summary>
    /// <param name="model">The model.</param>
    /// <param name="source">The source.</param>
    /// <param name="context">The tokens of a window; 0 for the model's own context.</param>
    /// <param name="batch">The windows read at a time; 0 for as many as make about 512 tokens, which measured fastest. It changes no more than rounding.</param>
    /// <param name="atMost">The most bytes of text to score, a window at least.</param>
    public static Score HeldOut(LanguageModel model, TokenSource source, int context = 0, int batch = 0, long atMost = long.MaxValue)
    {
        ArgumentNullException.ThrowIfNull(source);
        return BitsPerByte(model, source, source.TrainLength, source.HeldOutLength, context, batch, atMost);
    }

    /// <summary>Scores the <paramref name="length"/> tokens of a source from <paramref name="offset"/> on, the first of them excepted.</summary>
    /// <exception cref="InputException">There are fewer than 2 tokens, or they cannot be read.</exception>
    public static Score BitsPerByte(LanguageModel model, TokenSource source, long offset, long length, int context = 0, int batch = 0) =>
        BitsPerByte(model, source, offset, length, context, batch, long.MaxValue);

    private static Score BitsPerByte(LanguageModel model, TokenSource source, long offset, long length, int context, int batch, long atMost)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(source);
        ArgumentOutOfRangeException.ThrowIfNegative(context);
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        long predicted = length - 1, bytes = 0;
        if (predicted < 1)
        {
            throw new InputException($"{length} {source.Unit} are too few to evaluate on; 2 are the least");
        }

        int time = (int)Math.Min(context == 0 ? model.Config.Context : context, predicted);
        long all = (predicted + time - 1) / time, windows = Math.Clamp(TokensOf(source, offset, length, atMost) / time, 1, all);
        int rows = (int)Math.Min(batch == 0 ? Math.Max(1, FastTokens / time) : batch, windows);
        int[] window = new int[time + 1], inputs = new int[rows * time], targets = new int[rows * time];
        var losses = new float[rows * time];
        SequenceState state = model.NewState(rows);
        using var tape = new Tape(model.Device)
        {
            Recording = false,
            Use = new MemoryUse($"the activations of an evaluation ({rows} x {time} tokens)", "a smaller context or width"),
        };
        double nats = 0;
        for (long first = 0; first < windows; first += rows)
        {
            // What does not fill its window, or its batch, is padded with targets that count for nothing.
            Array.Fill(inputs, 0);
            Array.Fill(targets, -1);
            for (int row = 0; row < rows && first + row < windows; row++)
            {
                long at = (long)((Int128)(first + row) * all / windows) * time;
                int count = (int)Math.Min(time, predicted - at);
                bytes += source.BytesOf(offset + at + 1, count);
                source.Read(offset + at, window.AsSpan(0, count + 1));
                window.AsSpan(0, count).CopyTo(inputs.AsSpan(row * time));
                Span<int> asked = targets.AsSpan(row * time, count);
                window.AsSpan(1, count).CopyTo(asked);
                if (source.Masked >= 0)
                {
                    bytes -= Mask(source, offset + at + 1, asked);
                }
            }

            state.Clear();
            model.Loss(tape.Tokens(inputs, rows, time), tape.Tokens(targets, rows, time), state).Get(losses);
            tape.Reset();
            foreach (float loss in losses)
            {
                nats += loss;
            }
        }

        return bytes > 0 ? new Score(nats / Math.Log(2) / bytes, bytes)
            : throw new InputException($"{AtomicFile.Quote(source.Name)} has nothing to score there: all of it is masked");
    }

    // Asks for no token that is masked; returns the bytes that these stand for.
    private static long Mask(TokenSource source, long offset, Span<int> asked)
    {
        long bytes = 0;
        for (int i = 0; i < asked.Length; i++)
        {
            if (asked[i] == source.Masked)
            {
                asked[i] = -1;
                bytes += source.BytesOf(offset + i, 1);
            }
        }

        return bytes;
    }

    // How many of a range's tokens stand for so many bytes, on average.
    private static long TokensOf(TokenSource source, long offset, long length, long bytes) =>
        bytes == long.MaxValue ? bytes : (long)((Int128)bytes * length / Math.Max(1, source.BytesOf(offset, length)));
}
