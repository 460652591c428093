using System.Runtime.InteropServices;
using Weft.Tensors;

namespace Weft.Models.Tokenizers;

/// <summary>
/// Learns a byte-level tokenizer from text: byte-pair encoding (Sennrich et al., arXiv 1508.07909) within GPT-2's words. The pair of
/// neighbours that is most frequent becomes a token, again and again; of equally frequent ones that of the lowest ids. The same text
/// gives the same tokenizer. Text may come in pieces that end between words.
/// </summary>
public sealed class BpeTrainer
{
    private const int LeastCount = 2; // a pair that occurs once is no pattern

    private readonly ByteTable words = new(); // and how often each came

    // Where a pair stands, by its left symbol: some places are stale, since a merge beside them has changed it. The count is exact.
    private sealed class Pair
    {
        public long Count;
        public readonly List<int> Places = [];
    }

    /// <summary>Adds text to learn from.</summary>
    public void Add(ReadOnlySpan<byte> utf8)
    {
        for (int at = 0; at < utf8.Length;)
        {
            int end = WordSplit.Gpt2.Next(utf8, at);
            ReadOnlySpan<byte> word = utf8[at..end];
            words.Set(word, words.TryGet(word, out int count) ? (int)Math.Min(int.MaxValue, count + 1L) : 1);
            at = end;
        }
    }

    /// <summary>
    /// The tokenizer.json of a tokenizer of <paramref name="vocabulary"/> tokens, bytes included; of fewer where no pair comes twice.
    /// </summary>
    /// <exception cref="InputException">The vocabulary is smaller than the bytes', or larger than a model's may be.</exception>
    public byte[] Train(int vocabulary)
    {
        if (vocabulary is < 256 or > 1 << 20)
        {
            throw new InputException($"a vocabulary of {vocabulary} is out of range; give 256 (the bytes) to {1 << 20} tokens");
        }
        ByteTable tokens = ByteLevelFile.Bytes();
        using var stream = new MemoryStream();
        ByteLevelFile.Write(stream, tokens, Merge(tokens, vocabulary));
        return stream.ToArray();
    }

    // Adds tokens until there are enough; returns the merges in order. Every merge costs what it changes: symbols are linked within their words.
    private List<(int Left, int Right)> Merge(ByteTable tokens, int vocabulary)
    {
        int total = Enumerable.Range(0, words.Count).Sum(w => words.Key(w).Length);
        int[] ids = new int[total], next = new int[total], previous = new int[total], times = new int[total];
        var pairs = new Dictionary<long, Pair>();
        for (int word = 0, at = 0; word < words.Count; word++)
        {
            ReadOnlySpan<byte> bytes = words.Key(word);
            for (int i = 0; i < bytes.Length; i++, at++)
            {
                (ids[at], times[at]) = (bytes[i], words.Value(word));
                (previous[at], next[at]) = (i > 0 ? at - 1 : -1, i + 1 < bytes.Length ? at + 1 : -1);
                if (i > 0)
                {
                    Appears(bytes[i - 1], bytes[i], at - 1);
                }
            }
        }

        // The queue may hold counts that have since changed: those that rose are in it again, those that fell are put back when they come.
        var queue = new PriorityQueue<long, (long Negative, long Key)>();
        foreach ((long key, Pair pair) in pairs)
        {
            queue.Enqueue(key, (-pair.Count, key));
        }
        var merges = new List<(int, int)>();
        var merged = new HashSet<long>();
        var risen = new HashSet<long>();
        var text = new Store<byte>();
        while (tokens.Count < vocabulary && queue.TryDequeue(out long key, out (long Negative, long Key) priority))
        {
            if (!pairs.TryGetValue(key, out Pair? pair) || pair.Count < LeastCount)
            {
                continue;
            }
            if (pair.Count != -priority.Negative)
            {
                queue.Enqueue(key, (-pair.Count, key));
                continue;
            }
            (int left, int right) = ((int)(key >> 32), (int)key);
            text.Clear();
            text.Add(tokens.Key(left));
            text.Add(tokens.Key(right));
            int id = tokens.Set(text.Span, 0); // two merges may spell one token
            if (merged.Add(key))
            {
                merges.Add((left, right));
            }
            pairs.Remove(key);
            risen.Clear();
            Span<int> places = CollectionsMarshal.AsSpan(pair.Places);
            places.Sort();
            foreach (int place in places)
            {
                int second = ids[place] == left ? next[place] : -1;
                if (second < 0 || ids[second] != right)
                {
                    continue;
                }
                int before = previous[place], after = next[second];
                (ids[place], ids[second], next[place]) = (id, -1, after);
                if (before >= 0)
                {
                    Vanishes(ids[before], left, times[place]);
                    risen.Add(Appears(ids[before], id, before));
                }
                if (after >= 0)
                {
                    previous[after] = place;
                    Vanishes(right, ids[after], times[place]);
                    risen.Add(Appears(id, ids[after], place));
                }
            }
            foreach (long changed in risen)
            {
                queue.Enqueue(changed, (-pairs[changed].Count, changed));
            }
        }
        return merges;

        long Appears(int left, int right, int place)
        {
            long key = Key(left, right);
            ref Pair? pair = ref CollectionsMarshal.GetValueRefOrAddDefault(pairs, key, out _);
            pair ??= new Pair();
            pair.Count += times[place];
            pair.Places.Add(place);
            return key;
        }

        void Vanishes(int left, int right, int count)
        {
            if (pairs.TryGetValue(Key(left, right), out Pair? pair))
            {
                pair.Count -= count;
            }
        }
    }

    private static long Key(int left, int right) => ((long)left << 32) | (uint)right;
}
