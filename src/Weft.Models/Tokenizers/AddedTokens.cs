using System.Buffers;
using System.Text;

namespace Weft.Models.Tokenizers;

/// <summary>A token beside the model's: found in the text before anything else, whole.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Content">Its text.</param>
internal sealed record AddedToken(int Id, string Content)
{
    /// <summary>Whether decoding may leave it out.</summary>
    public bool Special { get; init; }

    /// <summary>Whether it is no token within a word.</summary>
    public bool SingleWord { get; init; }

    /// <summary>Whether it takes the white space on its left.</summary>
    public bool StripLeft { get; init; }

    /// <summary>Whether it takes the white space on its right.</summary>
    public bool StripRight { get; init; }

    /// <summary>Whether it is looked for, as the normaliser writes it, in normalised text.</summary>
    public bool Normalized { get; init; }

    /// <summary>The text to look for, and to decode to.</summary>
    public byte[] Text { get; init; } = Encoding.UTF8.GetBytes(Content);
}

/// <summary>Finds added tokens in text: the leftmost, and of those the longest.</summary>
internal sealed class AddedTokenFinder
{
    private readonly ByteTrie trie = new();
    private readonly Dictionary<int, AddedToken> tokens = [];
    private readonly SearchValues<byte> starts;

    public AddedTokenFinder(IEnumerable<AddedToken> added)
    {
        foreach (AddedToken token in added)
        {
            if (token.Text.Length > 0 && tokens.TryAdd(token.Id, token))
            {
                trie.Set(token.Text, token.Id);
            }
        }
        starts = SearchValues.Create([.. tokens.Values.Select(t => t.Text[0]).Distinct()]);
    }

    /// <summary>Appends the parts of a text: tokens with their ids, and what lies between, with -1.</summary>
    public void Split(ReadOnlySpan<byte> text, Store<(int Start, int Length, int Id)> to)
    {
        int done = 0;
        for (int at = 0; tokens.Count > 0 && at < text.Length;)
        {
            int next = text[at..].IndexOfAny(starts);
            if (next < 0)
            {
                break;
            }
            at += next;
            int end = Longest(text, at, out int id);
            if (end < 0)
            {
                at++;
                continue;
            }
            AddedToken token = tokens[id];
            int start = at;
            at = end;
            if (token.SingleWord && ((start > 0 && IsWord(CodePoint.Before(text, start, out _))) || (end < text.Length && IsWord(CodePoint.At(text, end, out _)))))
            {
                continue;
            }
            if (token.StripLeft)
            {
                while (start > done && CodePoint.IsWhiteSpace(CodePoint.Before(text, start, out int length)))
                {
                    start -= length;
                }
            }
            while (token.StripRight && end < text.Length && CodePoint.IsWhiteSpace(CodePoint.At(text, end, out int length)))
            {
                end += length;
            }
            if (done < start)
            {
                to.Add((done, start - done, -1));
            }
            to.Add((start, end - start, id));
            done = end;
        }
        if (done < text.Length)
        {
            to.Add((done, text.Length - done, -1));
        }
    }

    // The end of the longest token at a place; -1 where there is none.
    private int Longest(ReadOnlySpan<byte> text, int at, out int id)
    {
        (id, int end) = (-1, -1);
        for (int node = ByteTrie.Root; at < text.Length && (node = trie.Child(node, text[at])) >= 0;)
        {
            at++;
            if (trie.Value(node) >= 0)
            {
                (id, end) = (trie.Value(node), at);
            }
        }
        return end;
    }

    private static bool IsWord(int c) => CodePoint.IsWord(c) || c is 0x200C or 0x200D;
}
