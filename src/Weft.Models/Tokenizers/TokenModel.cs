using Weft.Tensors;

namespace Weft.Models.Tokenizers;

/// <summary>Turns a word, which the split made, into ids.</summary>
internal abstract class TokenModel(Vocabulary vocabulary)
{
    public Vocabulary Vocabulary { get; } = vocabulary;

    /// <summary>Appends the ids of a word to <see cref="Scratch.Ids"/>.</summary>
    public void Encode(ReadOnlySpan<byte> word, Scratch scratch)
    {
        if (word.Length > WordCache.MaxWord)
        {
            EncodeNew(word, scratch);
        }
        else if (word.Length > 0)
        {
            EncodeCached(word, scratch);
        }
    }

    /// <summary>The same for a word that is not empty, without looking for it among those known.</summary>
    protected abstract void EncodeNew(ReadOnlySpan<byte> word, Scratch scratch);

    private void EncodeCached(ReadOnlySpan<byte> word, Scratch scratch)
    {
        ulong hash = ByteHash.Of(word);
        if (!scratch.Words.TryAdd(word, hash, scratch.Ids))
        {
            int before = scratch.Ids.Count;
            EncodeNew(word, scratch);
            scratch.Words.Keep(word, hash, scratch.Ids.Span[before..]);
        }
    }

    /// <summary>The ids of the tokens <c>&lt;0x00&gt;</c> to <c>&lt;0xFF&gt;</c>; -1 where there is none.</summary>
    protected static int[] ByteTokens(Vocabulary vocabulary)
    {
        var ids = new int[256];
        for (int b = 0; b < 256; b++)
        {
            ids[b] = vocabulary.TryGet(System.Text.Encoding.UTF8.GetBytes($"<0x{b:X2}>"), out int id) ? id : -1;
        }
        return ids;
    }

    /// <summary>Appends the byte tokens of a text; false, and nothing appended, where one is missing.</summary>
    protected static bool AddBytes(ReadOnlySpan<byte> text, int[] byteTokens, Store<int> to)
    {
        foreach (byte b in text)
        {
            if (byteTokens[b] < 0)
            {
                return false;
            }
        }
        foreach (byte b in text)
        {
            to.Add(byteTokens[b]);
        }
        return true;
    }

    /// <summary>The failure of a text that has no token.</summary>
    protected static InputException NoToken(ReadOnlySpan<byte> text, string unknown) =>
        new($"the tokenizer has no token for {Vocabulary.Show(text)} and {unknown}; give text that it knows");
}

/// <summary>Whole words: each has an id, or the unknown token's.</summary>
internal sealed class WordLevelModel(Vocabulary vocabulary, string unknown) : TokenModel(vocabulary)
{
    private readonly int unknownId = vocabulary.TryGet(System.Text.Encoding.UTF8.GetBytes(unknown), out int id) ? id : -1;

    protected override void EncodeNew(ReadOnlySpan<byte> word, Scratch scratch)
    {
        int id = Vocabulary.TryGet(word, out int known) ? known : unknownId;
        scratch.Ids.Add(id >= 0 ? id : throw NoToken(word, $"no unknown token {PatternText.Quote(unknown)}"));
    }
}

/// <summary>WordPiece: from the left the longest token that fits, those after the first with a prefix; the unknown token where none fits.</summary>
internal sealed class WordPieceModel(Vocabulary vocabulary, string unknown, byte[] prefix, int maxCharacters) : TokenModel(vocabulary)
{
    private readonly int unknownId = vocabulary.TryGet(System.Text.Encoding.UTF8.GetBytes(unknown), out int id) ? id : -1;

    protected override void EncodeNew(ReadOnlySpan<byte> word, Scratch scratch)
    {
        int before = scratch.Ids.Count;
        if (!Fits(word) || !TryEncode(word, scratch))
        {
            scratch.Ids.Resize(before);
            scratch.Ids.Add(unknownId >= 0 ? unknownId : throw NoToken(word, $"no unknown token {PatternText.Quote(unknown)}"));
        }
    }

    private bool Fits(ReadOnlySpan<byte> word)
    {
        int characters = 0;
        foreach (byte b in word)
        {
            characters += (b & 0xC0) != 0x80 ? 1 : 0;
        }
        return characters <= maxCharacters;
    }

    private bool TryEncode(ReadOnlySpan<byte> word, Scratch scratch)
    {
        Store<byte> token = scratch.Token;
        for (int start = 0; start < word.Length;)
        {
            token.Clear();
            token.Add(start > 0 ? prefix : []);
            int head = token.Count, length = Math.Min(word.Length - start, Math.Max(0, Vocabulary.Longest - head));
            token.Add(word.Slice(start, length));
            int id = -1;
            while (length > 0 && !((start + length == word.Length || (word[start + length] & 0xC0) != 0x80) && Vocabulary.TryGet(token.Span[..(head + length)], out id)))
            {
                length--;
            }
            if (length == 0)
            {
                return false;
            }
            scratch.Ids.Add(id);
            start += length;
        }
        return true;
    }
}
