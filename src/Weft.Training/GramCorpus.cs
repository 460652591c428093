using System.Runtime.InteropServices;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Training;

/// <summary>
/// A text cut every n bytes, held in memory: 2 bytes a token. Tokens are the 256 bytes and the n-grams that are most frequent at these cuts
/// in the training part; another n-gram is spelled, a token a byte, so that nothing is lost. Training part and held-out part are divided
/// where <see cref="Corpus"/> divides them, and cut each from its beginning.
/// </summary>
public sealed class GramCorpus : TokenSource
{
    /// <summary>The longest n-grams.</summary>
    public const int LongestGram = 8;

    private const long LongestText = 1 << 30;
    private const int CountedBytes = 16 << 20; // of the training part: enough to know what is frequent
    private const int Spacing = 256;           // tokens from one mark to the next

    private readonly int size;
    private readonly List<ushort> tokens = [];
    private readonly List<long> marks = []; // the bytes before every 256th token
    private long bytes, spelled, heldOutLength;

    private GramCorpus(Corpus text, int size, int vocabulary)
    {
        (this.size, Vocabulary) = (size, vocabulary);
        Name = text.Name;
        Fingerprint = $"{text.Fingerprint}-{size}grams-{vocabulary}";
    }

    /// <summary>Cuts a text, which is needed no longer then.</summary>
    /// <param name="text">The text.</param>
    /// <param name="size">The bytes of an n-gram, 2 to 8.</param>
    /// <param name="vocabulary">The tokens, bytes included: 256 to 65536.</param>
    /// <exception cref="InputException">A number is out of range, the text is longer than 1 GiB or cannot be read.</exception>
    public static GramCorpus Cut(Corpus text, int size, int vocabulary = 4096)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (size is < 2 or > LongestGram || vocabulary is < ModelConfig.Bytes or > ushort.MaxValue + 1)
        {
            throw new InputException($"{size}-grams and a vocabulary of {vocabulary} are out of range; give 2- to {LongestGram}-grams, and {ModelConfig.Bytes} to {ushort.MaxValue + 1} tokens");
        }

        if (text.Length > LongestText)
        {
            throw new InputException($"{AtomicFile.Quote(text.Name)} has {Human.Bytes(text.Length)}, and n-grams are held in memory: give at most {Human.Bytes(LongestText)}");
        }

        var grams = new GramCorpus(text, size, vocabulary);
        Dictionary<ulong, ushort> known = Frequent(text, size, vocabulary - ModelConfig.Bytes);
        grams.Append(text, 0, text.TrainLength, known);
        int trained = grams.tokens.Count;
        grams.Append(text, text.TrainLength, text.Length, known);
        grams.heldOutLength = grams.tokens.Count - trained;
        return grams;
    }

    /// <inheritdoc/>
    public override string Name { get; }

    /// <inheritdoc/>
    public override long Length => tokens.Count;

    /// <inheritdoc/>
    public override long HeldOutLength => heldOutLength;

    /// <summary>That of the bytes, with how they are cut.</summary>
    public override string Fingerprint { get; }

    /// <inheritdoc/>
    public override int Vocabulary { get; }

    /// <summary>The share of the text's bytes that are spelled, since their n-grams are none of the vocabulary: 0 to 1.</summary>
    public double SpelledShare => (double)spelled / bytes;

    /// <inheritdoc/>
    public override void Read(long offset, Span<int> tokens)
    {
        Check(offset, tokens.Length);
        ReadOnlySpan<ushort> held = CollectionsMarshal.AsSpan(this.tokens).Slice((int)offset, tokens.Length);
        for (int i = 0; i < held.Length; i++)
        {
            tokens[i] = held[i];
        }
    }

    /// <inheritdoc/>
    public override long BytesOf(long offset, long count)
    {
        Check(offset, count);
        return Before((int)(offset + count)) - Before((int)offset);
    }

    // The bytes before a token: those before the last mark, and of the tokens since.
    private long Before(int token)
    {
        int mark = Math.Min(token / Spacing, marks.Count - 1);
        long before = marks[mark];
        foreach (ushort t in CollectionsMarshal.AsSpan(tokens)[(mark * Spacing)..token])
        {
            before += t < ModelConfig.Bytes ? 1 : size;
        }

        return before;
    }

    private void Check(long offset, long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length - count);
    }

    private void Append(Corpus text, long from, long end, Dictionary<ulong, ushort> known)
    {
        foreach ((ulong gram, int length) in Grams(text, from, end, size))
        {
            if (length == size && known.TryGetValue(gram, out ushort token))
            {
                Add(token, size);
                continue;
            }

            for (int i = 0; i < length; i++)
            {
                Add((byte)(gram >> (8 * (size - 1 - i))), 1);
            }

            spelled += length;
        }
    }

    private void Add(ushort token, int length)
    {
        if (tokens.Count % Spacing == 0)
        {
            marks.Add(bytes);
        }

        tokens.Add(token);
        bytes += length;
    }

    // The most frequent n-grams of the training part and their tokens; the lower bytes first among equals.
    private static Dictionary<ulong, ushort> Frequent(Corpus text, int size, int count)
    {
        var counts = new Dictionary<ulong, int>();
        foreach ((ulong gram, int length) in Grams(text, 0, Math.Min(text.TrainLength, CountedBytes), size))
        {
            if (length == size)
            {
                CollectionsMarshal.GetValueRefOrAddDefault(counts, gram, out _)++;
            }
        }

        return counts.OrderByDescending(c => c.Value).ThenBy(c => c.Key).Take(count).Select((c, i) => (c.Key, Token: (ushort)(ModelConfig.Bytes + i))).ToDictionary(c => c.Key, c => c.Token);
    }

    // The bytes of each cut as one number, the first the highest; the last cut may be shorter.
    private static IEnumerable<(ulong Gram, int Length)> Grams(Corpus text, long from, long end, int size)
    {
        byte[] buffer = new byte[size << 13];
        while (from < end)
        {
            int read = (int)Math.Min(buffer.Length, end - from);
            text.Read(from, buffer.AsSpan(0, read));
            for (int at = 0; at < read; at += size)
            {
                int length = Math.Min(size, read - at);
                ulong gram = 0;
                for (int i = 0; i < size; i++)
                {
                    gram = (gram << 8) | (i < length ? buffer[at + i] : (byte)0);
                }

                yield return (gram, length);
            }

            from += read;
        }
    }
}
