using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab;

/// <summary>Bits per byte of held-out passages when first met, and when met again <paramref name="Distance"/> bytes later: means over <paramref name="Passages"/> passages.</summary>
public sealed record RecallPoint(int Distance, double First, double Second, int Passages);

/// <summary>
/// How well a model uses its memory on real text: a held-out passage stands in other held-out text twice, and the second copy,
/// which a perfect memory predicts for nothing, is compared with the first. Both copies follow unrelated text, so neither is helped by
/// what comes right before it. One prefill serves all distances: at each of them the state is forked, the fork reads the second copy,
/// and the parent goes on.
/// </summary>
public static class Recall
{
    /// <summary>The distances that reports show, in bytes from the start of the first copy to the start of the second.</summary>
    public static IReadOnlyList<int> Distances { get; } = [256, 1 << 10, 1 << 12, 1 << 14];

    private const int PassageLength = 96, LeadIn = 128, Piece = 512;

    /// <summary>
    /// Measures at each distance that the held-out text is long enough for, with up to <paramref name="passages"/> passages side by
    /// side in one batch.
    /// </summary>
    public static IReadOnlyList<RecallPoint> Measure(LanguageModel model, Corpus corpus, int passages, CancellationToken cancel = default)
    {
        long length = corpus.HeldOutLength;
        int[] distances = [.. Distances.Where(d => d + PassageLength + LeadIn <= length / 2)];
        if (distances.Length == 0)
        {
            return [];
        }

        // Passage i starts at equal steps through the first half of the held-out text; its other text comes from the second half.
        int span = LeadIn + distances[^1];
        var rows = new byte[passages][];
        var copies = new byte[passages][];
        for (int i = 0; i < passages; i++)
        {
            copies[i] = new byte[PassageLength];
            corpus.Read(corpus.TrainLength + ((length / 2) - PassageLength) * i / passages, copies[i]);
            rows[i] = new byte[span];
            long room = length - (length / 2);
            long start = room * i / passages;
            int first = (int)Math.Min(span, room - start);
            corpus.Read(corpus.TrainLength + (length / 2) + start, rows[i].AsSpan(0, first));
            for (int filled = first; filled < span;)
            {
                int more = (int)Math.Min(span - filled, room);
                corpus.Read(corpus.TrainLength + (length / 2), rows[i].AsSpan(filled, more));
                filled += more;
            }

            copies[i].CopyTo(rows[i], LeadIn);
        }

        SequenceState state = model.NewState(passages), fork = model.NewState(passages);
        using var tape = new Tape(model.Device) { Recording = false };
        double firstBits = 0;
        var points = new List<RecallPoint>();
        Read(state, rows, 0, LeadIn - 1);
        byte[] last = [.. rows.Select(r => r[LeadIn - 1])];
        firstBits = Score(state, last, copies);
        int at = LeadIn + PassageLength - 1; // Score reads all of the passage but its last byte
        foreach (int distance in distances)
        {
            // The byte right before the second copy is the first that the fork reads.
            int before = LeadIn + distance - 1;
            Read(state, rows, at, before);
            at = before;
            state.CopyTo(fork);
            double bits = Score(fork, [.. rows.Select(r => r[before])], copies);
            points.Add(new RecallPoint(distance, firstBits, bits, passages));
        }

        return points;

        void Read(SequenceState into, byte[][] text, int from, int to)
        {
            for (int piece = from; piece < to; piece += Piece)
            {
                cancel.ThrowIfCancellationRequested();
                int count = Math.Min(Piece, to - piece);
                var tokens = new int[passages * count];
                for (int i = 0; i < passages; i++)
                {
                    for (int j = 0; j < count; j++)
                    {
                        tokens[(i * count) + j] = text[i][piece + j];
                    }
                }

                model.Next(tape.Tokens(tokens, passages, count), into);
                tape.Reset();
            }
        }

        double Score(SequenceState from, byte[] previous, byte[][] passage) =>
            Continuations.Nats(model, tape, from, previous, passage).Sum(v => (double)v) / Math.Log(2) / (passages * PassageLength);
    }
}
