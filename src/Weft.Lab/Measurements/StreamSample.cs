using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab;

/// <summary>What a byte is to those who look for outliers: they were found at the first token and at delimiters.</summary>
internal enum PositionKind
{
    First,
    Delimiter,
    Other,
}

/// <summary>Is shown the residual stream [T,D] of one window: as embedded (0), or after so many blocks.</summary>
internal delegate void StreamLook(int level, int window, Span<float> values);

/// <summary>Windows of held-out text, each read from a fresh state, and a model's loss on them while its residual stream is looked at or changed.</summary>
internal sealed class StreamSample
{
    private const int TokensAtOnce = 1024;

    private readonly byte[][] text; // T + 1 bytes each

    /// <summary>Takes up to <paramref name="windows"/> windows at equal distances from the held-out text.</summary>
    /// <exception cref="InputException">It is shorter than a window.</exception>
    public StreamSample(Corpus corpus, int context, int windows)
    {
        long room = corpus.HeldOutLength - context - 1;
        if (room < 0)
        {
            throw new InputException($"the held-out text has {corpus.HeldOutLength} bytes, and a window of {context} needs {context + 1}; give more text or a shorter context");
        }

        Context = context;
        text = new byte[Math.Clamp((int)Math.Min(int.MaxValue, room / context), 1, windows)][];
        for (int i = 0; i < text.Length; i++)
        {
            text[i] = new byte[context + 1];
            corpus.Read(corpus.TrainLength + (long)((Int128)room * i / text.Length), text[i]);
        }
    }

    /// <summary>Bytes that a window reads.</summary>
    public int Context { get; }

    /// <summary>The number of windows.</summary>
    public int Windows => text.Length;

    /// <summary>What the byte read at a place is.</summary>
    public PositionKind KindOf(int window, int t) =>
        t == 0 ? PositionKind.First : text[window][t] is (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t' or (byte)'.' or (byte)',' or (byte)';' or (byte)':'
            ? PositionKind.Delimiter : PositionKind.Other;

    /// <summary>The bits per byte, all levels shown on the way.</summary>
    public double Look(LanguageModel model, StreamLook look, CancellationToken cancel) => BitsPerByte(model, look, null, cancel);

    /// <summary>The bits per byte where <paramref name="change"/> changes the stream at one level.</summary>
    public double Change(LanguageModel model, int level, StreamLook change, CancellationToken cancel) => BitsPerByte(model, change, level, cancel);

    /// <summary>The bits per byte of the model as it is.</summary>
    public double BitsPerByte(LanguageModel model, CancellationToken cancel) => BitsPerByte(model, null, null, cancel);

    private double BitsPerByte(LanguageModel model, StreamLook? look, int? changedAt, CancellationToken cancel)
    {
        int rows = Math.Clamp(TokensAtOnce / Context, 1, Windows), width = Context * model.Config.Width;
        var inputs = new int[rows * Context];
        var targets = new int[rows * Context];
        var losses = new float[rows * Context];
        var values = new float[(long)rows * width];
        using var tape = new Tape(model.Device) { Recording = false };
        SequenceState state = model.NewState(rows);
        double nats = 0;
        for (int first = 0; first < Windows; first += rows)
        {
            cancel.ThrowIfCancellationRequested();
            int there = Math.Min(rows, Windows - first); // what fills the last batch counts for nothing
            for (int row = 0; row < rows; row++)
            {
                byte[] window = text[Math.Min(first + row, Windows - 1)];
                for (int t = 0; t < Context; t++)
                {
                    inputs[(row * Context) + t] = window[t];
                    targets[(row * Context) + t] = row < there ? window[t + 1] : -1;
                }
            }

            state.Clear();
            Func<int, Tensor, Tensor>? between = look is null ? null : (level, stream) =>
            {
                if (changedAt is int only && level != only)
                {
                    return stream;
                }

                stream.Get(values);
                for (int row = 0; row < there; row++)
                {
                    look(level, first + row, values.AsSpan(row * width, width));
                }

                return changedAt is null ? stream : tape.Of(values, stream.Shape);
            };
            model.Loss(tape.Tokens(inputs, rows, Context), tape.Tokens(targets, rows, Context), state, between).Get(losses);
            tape.Reset();
            foreach (float loss in losses)
            {
                nats += loss;
            }
        }

        return nats / Math.Log(2) / ((long)Windows * Context);
    }
}
