using Weft.Tensors;

namespace Weft.Models.Tokenizers;

/// <summary>How a byte-pair model treats words; all that its part of the file says but for the tokens and merges.</summary>
internal sealed record BpeOptions
{
    /// <summary>Whether words are bytes, and tokens their characters in <see cref="ByteAlphabet"/>; otherwise both are text.</summary>
    public bool Bytes { get; init; }

    /// <summary>The token of a character that has none.</summary>
    public string? Unknown { get; init; }

    /// <summary>Whether neighbouring unknown characters are one token.</summary>
    public bool FuseUnknown { get; init; }

    /// <summary>Whether an unknown character becomes byte tokens.</summary>
    public bool ByteFallback { get; init; }

    /// <summary>Whether a word that is a token is it, whatever merges would give.</summary>
    public bool IgnoreMerges { get; init; }

    /// <summary>Before every character of a word but the first.</summary>
    public byte[] Prefix { get; init; } = [];

    /// <summary>After the last character of a word.</summary>
    public byte[] Suffix { get; init; } = [];
}

/// <summary>Byte-pair encoding: the characters of a word, of which neighbours merge, the pair of the lowest rank first and of those the leftmost.</summary>
internal sealed class BpeModel : TokenModel
{
    private readonly BpeOptions options;
    private readonly PairTable merges;
    private readonly int[] single;
    private readonly int[] byteTokens;
    private readonly int unknownId;
    private readonly ByteTable? words;
    private readonly ulong[]? joined;

    public BpeModel(Vocabulary vocabulary, PairTable merges, IEnumerable<(int Left, int Right)> pairs, BpeOptions options)
        : base(vocabulary)
    {
        this.options = options;
        this.merges = merges;
        byteTokens = options.ByteFallback ? ByteTokens(vocabulary) : [];
        unknownId = options.Unknown is { } unknown && vocabulary.TryGet(System.Text.Encoding.UTF8.GetBytes(unknown), out int id) ? id : -1;
        single = Singles();
        words = options.IgnoreMerges ? Words() : null;
        joined = options.Prefix.Length == 0 && options.Suffix.Length == 0 ? Joined(pairs) : null;
    }

    protected override void EncodeNew(ReadOnlySpan<byte> word, Scratch scratch)
    {
        if (words is not null && words.TryGet(word, out int id))
        {
            scratch.Ids.Add(id);
            return;
        }
        if (joined is null || word.Length <= WordCache.MaxWord)
        {
            Merge(word, scratch);
            return;
        }
        // Where no token holds two neighbours, none can reach across them: the parts are words of their own.
        int start = 0;
        for (int at = 1; at < word.Length; at++)
        {
            if (IsCut(word, at))
            {
                Part(word[start..at], scratch);
                start = at;
            }
        }
        Part(word[start..], scratch);
    }

    // What is kept of a word is the word's; as a part of one it may have other ids where whole words need no merges.
    private void Part(ReadOnlySpan<byte> part, Scratch scratch)
    {
        if (words is null && part.Length <= WordCache.MaxWord)
        {
            Encode(part, scratch);
        }
        else
        {
            Merge(part, scratch);
        }
    }

    private bool IsCut(ReadOnlySpan<byte> word, int at)
    {
        if (!options.Bytes && (word[at] & 0xC0) == 0x80)
        {
            return false;
        }
        int pair = (word[at - 1] << 8) | word[at];
        return (joined![pair >> 6] >> (pair & 63) & 1) == 0 && IsKnown(word, at);
    }

    // Unknown characters must not be parted: they may become one token.
    private bool IsKnown(ReadOnlySpan<byte> word, int at)
    {
        if (options.Bytes || word[at] < 0x80)
        {
            return single[word[at]] >= 0;
        }
        CodePoint.At(word, at, out int length);
        return Vocabulary.TryGet(word.Slice(at, length), out _);
    }

    private void Merge(ReadOnlySpan<byte> word, Scratch scratch)
    {
        MergeState state = scratch.Merges;
        state.Symbols.Clear();
        AddSymbols(word, scratch, state.Symbols);
        state.Merge(merges, scratch.Ids);
    }

    private void AddSymbols(ReadOnlySpan<byte> word, Scratch scratch, Store<int> to)
    {
        bool plain = options.Prefix.Length == 0 && options.Suffix.Length == 0;
        bool pending = false;
        for (int at = 0, length; at < word.Length; at += length)
        {
            length = 1;
            int id = -1;
            ReadOnlySpan<byte> character = default;
            if (plain && (options.Bytes || word[at] < 0x80))
            {
                id = single[word[at]];
                character = word.Slice(at, 1);
            }
            else
            {
                if (!options.Bytes)
                {
                    CodePoint.At(word, at, out length);
                }
                character = plain ? word.Slice(at, length) : Affixed(word, at, length, scratch.Token);
                if (Vocabulary.TryGet(character, out int known))
                {
                    id = known;
                }
            }
            if (id >= 0)
            {
                if (pending)
                {
                    to.Add(unknownId);
                    pending = false;
                }
                to.Add(id);
            }
            else if (!options.ByteFallback || !AddBytes(character, byteTokens, to))
            {
                pending = Unknown(character, pending, to);
            }
        }
        if (pending)
        {
            to.Add(unknownId);
        }
    }

    // An unknown token is written when the next known character comes, after byte tokens that came between: so does the reference.
    private bool Unknown(ReadOnlySpan<byte> character, bool pending, Store<int> to)
    {
        if (options.Unknown is null)
        {
            return pending; // dropped
        }
        if (unknownId < 0)
        {
            throw NoToken(character, $"its unknown token {PatternText.Quote(options.Unknown)} is not in model.vocab");
        }
        if (pending && !options.FuseUnknown)
        {
            to.Add(unknownId);
        }
        return true;
    }

    private ReadOnlySpan<byte> Affixed(ReadOnlySpan<byte> word, int at, int length, Store<byte> to)
    {
        to.Clear();
        to.Add(at > 0 ? options.Prefix : []);
        to.Add(word.Slice(at, length));
        to.Add(at + length == word.Length ? options.Suffix : []);
        return to.Span;
    }

    // The ids of bytes, or of ASCII characters.
    private int[] Singles()
    {
        var ids = new int[256];
        var text = new Store<byte>();
        for (int b = 0; b < 256; b++)
        {
            text.Clear();
            CodePoint.Append(text, options.Bytes ? ByteAlphabet.Of((byte)b) : b);
            ids[b] = (options.Bytes || b < 0x80) && Vocabulary.TryGet(text.Span, out int id) ? id : -1;
        }
        return ids;
    }

    // The tokens as words are written.
    private ByteTable Words()
    {
        var table = new ByteTable();
        var text = new Store<byte>();
        for (int id = 0; id < Vocabulary.Ids; id++)
        {
            if (Vocabulary.TryGetToken(id, out ReadOnlySpan<byte> token) && token.Length > 0 && Written(token, text))
            {
                table.Set(text.Span, id);
            }
        }
        return table;
    }

    private bool Written(ReadOnlySpan<byte> token, Store<byte> to)
    {
        to.Clear();
        if (options.Bytes)
        {
            return ByteAlphabet.Read(token, to);
        }
        to.Add(token);
        return true;
    }

    // Which two bytes stand side by side at the edge of characters within tokens that merges make; null where tokens that do not spell
    // their text (unknown, bytes) take part in merges.
    private ulong[]? Joined(IEnumerable<(int Left, int Right)> pairs)
    {
        var bits = new ulong[(1 << 16) / 64];
        var left = new Store<byte>();
        var right = new Store<byte>();
        HashSet<int> unspelt = [.. byteTokens, unknownId];
        foreach ((int a, int b) in pairs)
        {
            if (unspelt.Contains(a) || unspelt.Contains(b)
                || !Vocabulary.TryGetToken(a, out ReadOnlySpan<byte> first) || !Vocabulary.TryGetToken(b, out ReadOnlySpan<byte> second)
                || !Written(first, left) || !Written(second, right) || left.Count == 0 || right.Count == 0)
            {
                return null;
            }
            int pair = (left[left.Count - 1] << 8) | right[0];
            bits[pair >> 6] |= 1UL << (pair & 63);
        }
        return bits;
    }
}

/// <summary>The symbols of a word while they merge; one a thread.</summary>
internal sealed class MergeState
{
    private const int Few = 32;

    private readonly Store<long> pairs = new();
    private readonly Store<int> previous = new();
    private readonly Store<int> next = new();
    private readonly PriorityQueue<int, long> queue = new();

    /// <summary>The symbols to merge.</summary>
    public Store<int> Symbols { get; } = new();

    /// <summary>Merges the symbols and appends what is left.</summary>
    public void Merge(PairTable merges, Store<int> to)
    {
        if (Symbols.Count <= Few)
        {
            MergeFew(merges);
        }
        else
        {
            MergeMany(merges);
        }
        to.Add(Symbols.Span);
    }

    // Looks through all pairs for each merge.
    private void MergeFew(PairTable merges)
    {
        Span<int> symbols = Symbols.Span;
        int count = symbols.Length;
        Span<long> pair = stackalloc long[Few];
        for (int i = 0; i + 1 < count; i++)
        {
            pair[i] = merges[symbols[i], symbols[i + 1]];
        }
        while (count > 1)
        {
            int best = 0;
            for (int i = 1; i + 1 < count; i++)
            {
                best = pair[i] < pair[best] ? i : best;
            }
            if (pair[best] == PairTable.None)
            {
                break;
            }
            symbols[best] = PairTable.Id(pair[best]);
            symbols[(best + 2)..count].CopyTo(symbols[(best + 1)..]);
            if (best + 2 < count)
            {
                pair[(best + 2)..(count - 1)].CopyTo(pair[(best + 1)..]);
            }
            count--;
            if (best > 0)
            {
                pair[best - 1] = merges[symbols[best - 1], symbols[best]];
            }
            if (best + 1 < count)
            {
                pair[best] = merges[symbols[best], symbols[best + 1]];
            }
        }
        Symbols.Resize(count);
    }

    // A queue of pairs by rank and place, of which those are dropped that have changed since; symbols are a list. n log n for n symbols.
    private void MergeMany(PairTable merges)
    {
        int count = Symbols.Count;
        pairs.Resize(count);
        previous.Resize(count);
        next.Resize(count);
        queue.Clear();
        for (int i = 0; i < count; i++)
        {
            previous[i] = i - 1;
            next[i] = i + 1;
            pairs[i] = PairTable.None;
        }
        for (int i = 0; i + 1 < count; i++)
        {
            Pair(merges, i, count);
        }
        while (queue.TryDequeue(out int at, out long order))
        {
            if (pairs[at] == PairTable.None || PairTable.Rank(pairs[at]) != (int)(order >> 32))
            {
                continue;
            }
            int gone = next[at], after = next[gone];
            Symbols[at] = PairTable.Id(pairs[at]);
            pairs[gone] = PairTable.None;
            Symbols[gone] = -1;
            next[at] = after;
            if (after < count)
            {
                previous[after] = at;
            }
            Pair(merges, at, count);
            if (previous[at] >= 0)
            {
                Pair(merges, previous[at], count);
            }
        }
        int kept = 0;
        for (int i = 0; i < count; i = next[i])
        {
            Symbols[kept++] = Symbols[i];
        }
        Symbols.Resize(kept);
    }

    private void Pair(PairTable merges, int at, int count)
    {
        pairs[at] = next[at] < count ? merges[Symbols[at], Symbols[next[at]]] : PairTable.None;
        if (pairs[at] != PairTable.None)
        {
            queue.Enqueue(at, ((long)PairTable.Rank(pairs[at]) << 32) | (uint)at);
        }
    }
}
