using Weft.Lab.Tasks;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab;

/// <summary>What a model makes of a passage that stands several times before it.</summary>
/// <param name="Copies">How often the passage stands before.</param>
/// <param name="Start">Extra bits per byte of the first 16 bytes of other text that follows, against no copies.</param>
/// <param name="Rest">The same of the 80 bytes after those.</param>
/// <param name="Again">Bits per byte of the passage, come once more instead.</param>
/// <param name="First">The probability given to its first byte.</param>
public sealed record RepetitionPoint(int Copies, double Start, double Rest, double Again, double First);

/// <summary>What a model takes to follow a cue that answer B followed several times, and then answer A once.</summary>
/// <param name="Copies">How often B followed it.</param>
/// <param name="LogOdds">log2 of B's probability over A's; counting says log2 of <paramref name="Copies"/>.</param>
/// <param name="Either">The probability of A and B together.</param>
public sealed record VotePoint(int Copies, double LogOdds, double Either);

/// <summary>
/// How a model weighs what stands several times in its context, on held-out text. In the first measurement the copies stand back to back and
/// other text follows; the sequence is as long whatever their number, filled at its beginning with still other text. In the second, copies of a
/// cue of 8 bytes with what followed it stand apart, with 12 bytes of other text between them, and the cue comes once more. The two answers
/// change places in half of the examples, so that what a model thinks of them without the context cancels.
/// </summary>
/// <remarks>
/// A softmax over r equal keys gives them r times the weight of one: odds of r, which is also what counting gives. Odds that grow
/// faster than r over-weight repetition; slower ones favour what came last.
/// </remarks>
public static class Repetition
{
    /// <summary>The copies of a passage that reports show.</summary>
    public static IReadOnlyList<int> Copies { get; } = [0, 1, 2, 4, 8, 16];

    /// <summary>The votes for the answer that came more often.</summary>
    public static IReadOnlyList<int> Votes { get; } = [1, 2, 4, 8, 16];

    /// <summary>The bytes of the longest sequence: what a model should have been trained on.</summary>
    public const int Longest = Before + After;

    private const int Passage = 24, After = 96, Near = 16, Before = 416;
    private const int Cue = 8, Answer = 4, Gap = 12, Slot = Gap + Cue + Answer;
    private const int Rows = 8;

    /// <summary>Measures passages that are repeated, in <paramref name="examples"/> examples.</summary>
    /// <exception cref="InputException">There is too little held-out text.</exception>
    public static IReadOnlyList<RepetitionPoint> MeasurePassages(LanguageModel model, Corpus corpus, int examples, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        var parts = new Parts(corpus);
        byte[][] leads = parts.Draw(0, Before, examples), passages = parts.Draw(1, Passage, examples), others = parts.Draw(2, After, examples);
        var points = new List<RepetitionPoint>();
        (double start, double rest) = (0, 0);
        foreach (int copies in Copies)
        {
            byte[][] before = [.. leads.Select((lead, i) => Sequence(lead.AsSpan(0, Before - (copies * Passage)), passages[i], copies))];
            double[] other = new double[After], again = new double[Passage];
            double first = 0;
            using (var reader = new Reader(model, cancel))
            {
                for (int from = 0; from < examples; from += Rows)
                {
                    int to = Math.Min(examples, from + Rows);
                    reader.Read(before[from..to]);
                    reader.Score(others[from..to], (t, nats) => other[t] += nats);
                    reader.Score(passages[from..to], (t, nats) =>
                    {
                        again[t] += nats;
                        first += t == 0 ? Math.Exp(-nats) : 0;
                    });
                }
            }

            (double s, double r) = (Bits(other[..Near]), Bits(other[Near..]));
            if (copies == 0)
            {
                (start, rest) = (s, r);
            }

            points.Add(new RepetitionPoint(copies, s - start, r - rest, Bits(again), first / examples));
        }

        return points;

        double Bits(double[] nats) => nats.Sum() / Math.Log(2) / (nats.Length * examples);
    }

    /// <summary>Measures votes, in <paramref name="examples"/> examples and their mirror images.</summary>
    /// <exception cref="InputException">There is too little held-out text.</exception>
    public static IReadOnlyList<VotePoint> MeasureVotes(LanguageModel model, Corpus corpus, int examples, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        var parts = new Parts(corpus);
        int slots = Votes[^1] + 1, length = (slots * Slot) + Gap + Cue;
        byte[][] texts = parts.Draw(0, length, examples), cues = parts.Draw(1, Cue, examples), answers = parts.Draw(2, 2 * Answer, examples, (bytes) => bytes[0] != bytes[Answer]);
        var points = new List<VotePoint>();
        foreach (int votes in Votes)
        {
            (double odds, double either) = (0, 0);
            using var reader = new Reader(model, cancel);
            for (int from = 0; from < 2 * examples; from += Rows)
            {
                (byte[] Text, byte A, byte B)[] asked = [.. Enumerable.Range(from, Math.Min(Rows, (2 * examples) - from)).Select(i => Ask(i / 2, i % 2 == 1, votes))];
                reader.Read([.. asked.Select(a => a.Text)]);
                reader.Next((row, logits) =>
                {
                    double a = TaskScore.Nats(logits, asked[row].A), b = TaskScore.Nats(logits, asked[row].B);
                    odds += (a - b) / Math.Log(2);
                    either += Math.Exp(-a) + Math.Exp(-b);
                });
            }

            points.Add(new VotePoint(votes, odds / (2 * examples), either / (2 * examples)));
        }

        return points;

        // Other text; B's slots, A's slot, and the cue once more.
        (byte[] Text, byte A, byte B) Ask(int example, bool mirrored, int votes)
        {
            byte[] text = [.. texts[example]];
            ReadOnlySpan<byte> a = answers[example].AsSpan(mirrored ? Answer : 0, Answer), b = answers[example].AsSpan(mirrored ? 0 : Answer, Answer);
            for (int slot = slots - 1 - votes; slot <= slots; slot++)
            {
                Span<byte> after = text.AsSpan((slot * Slot) + Gap);
                cues[example].CopyTo(after);
                if (slot < slots)
                {
                    (slot == slots - 1 ? a : b).CopyTo(after[Cue..]);
                }
            }

            return (text, a[0], b[0]);
        }
    }

    private static byte[] Sequence(ReadOnlySpan<byte> lead, byte[] passage, int copies)
    {
        byte[] sequence = new byte[lead.Length + (copies * passage.Length)];
        lead.CopyTo(sequence);
        for (int at = lead.Length; at < sequence.Length; at += passage.Length)
        {
            passage.CopyTo(sequence, at);
        }

        return sequence;
    }

    /// <summary>Pieces of the held-out text, from three parts of it that do not touch each other.</summary>
    private sealed class Parts(Corpus corpus)
    {
        private const int Tries = 64;

        public byte[][] Draw(int part, int length, int count, Func<byte[], bool>? suits = null)
        {
            long third = corpus.HeldOutLength / 3;
            if (third < 2L * length)
            {
                throw new InputException($"the held-out text has {corpus.HeldOutLength} bytes, and pieces of {length} are to be drawn from each third of it; give more text");
            }

            var random = new RandomSource(1, (ulong)part);
            return [.. Enumerable.Range(0, count).Select(_ => One(random))];

            byte[] One(RandomSource random)
            {
                byte[] piece = new byte[length];
                for (int i = 0; i < Tries; i++)
                {
                    corpus.Read(corpus.TrainLength + (part * third) + random.NextLong(third - length), piece);
                    if (suits is null || suits(piece))
                    {
                        return piece;
                    }
                }

                throw new InputException("the held-out text is too uniform: no two answers that begin with different bytes were found in it; give another text");
            }
        }
    }

    /// <summary>Reads beginnings of equal length side by side, and says how a model goes on from them.</summary>
    private sealed class Reader(LanguageModel model, CancellationToken cancel) : IDisposable
    {
        private readonly Tape tape = new(model.Device) { Recording = false };
        private SequenceState? state, fork;
        private byte[] last = [];
        private float[] logits = [];

        public void Read(byte[][] texts)
        {
            cancel.ThrowIfCancellationRequested();
            int length = texts[0].Length;
            if (state?.Batch != texts.Length)
            {
                (state, fork) = (model.NewState(texts.Length), model.NewState(texts.Length));
            }

            state.Clear();
            model.Next(tape.Tokens([.. texts.SelectMany(t => t.Take(length - 1)).Select(b => (int)b)], texts.Length, length - 1), state);
            tape.Reset();
            last = [.. texts.Select(t => t[^1])];
        }

        /// <summary>Tells the loss, in nats, of each byte of each of <paramref name="continuations"/>.</summary>
        public void Score(byte[][] continuations, Action<int, double> tell)
        {
            state!.CopyTo(fork!);
            float[] losses = Continuations.Nats(model, tape, fork!, last, continuations);
            for (int i = 0; i < losses.Length; i++)
            {
                tell(i % continuations[0].Length, losses[i]);
            }
        }

        /// <summary>Tells the next byte's logits of each text; the state is then past the texts.</summary>
        public void Next(LogitsOf tell)
        {
            int vocabulary = model.Config.Vocabulary;
            Array.Resize(ref logits, last.Length * vocabulary);
            model.Next(tape.Tokens([.. last.Select(b => (int)b)], last.Length, 1), state!).Get(logits);
            tape.Reset();
            for (int row = 0; row < last.Length; row++)
            {
                tell(row, logits.AsSpan(row * vocabulary, vocabulary));
            }
        }

        public void Dispose() => tape.Dispose();
    }

    private delegate void LogitsOf(int row, ReadOnlySpan<float> logits);
}
