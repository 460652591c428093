namespace Weft.Models.Tokenizers;

/// <summary>A part of a text: a match of a pattern, or what lies between matches.</summary>
internal record struct Piece(int Start, int Length, bool IsMatch);

/// <summary>Finds a pattern in a text.</summary>
internal abstract class Matcher
{
    /// <summary>Appends the parts of the whole text in order, with <paramref name="offset"/> added to their starts.</summary>
    public abstract void Split(ReadOnlySpan<byte> text, int offset, Scratch scratch, Store<Piece> into);

    /// <summary>Appends the text with every match replaced; false, and nothing appended, where there is none.</summary>
    public virtual bool Replace(ReadOnlySpan<byte> text, ReadOnlySpan<byte> content, Scratch scratch, Store<byte> to)
    {
        Store<Piece> parts = scratch.Matches;
        parts.Clear();
        Split(text, 0, scratch, parts);
        bool any = false;
        foreach (Piece part in parts.Span)
        {
            any |= part.IsMatch;
        }
        if (any)
        {
            foreach (Piece part in parts.Span)
            {
                to.Add(part.IsMatch ? content : text.Slice(part.Start, part.Length));
            }
        }
        return any;
    }
}

/// <summary>Every character of a kind is a match.</summary>
internal sealed class CharacterMatcher(Func<int, bool> matches) : Matcher
{
    public override void Split(ReadOnlySpan<byte> text, int offset, Scratch scratch, Store<Piece> into)
    {
        int before = 0;
        for (int at = 0; at < text.Length;)
        {
            bool match = matches(CodePoint.At(text, at, out int length));
            if (match)
            {
                if (at > before)
                {
                    into.Add(new Piece(offset + before, at - before, false));
                }
                into.Add(new Piece(offset + at, length, true));
                before = at + length;
            }
            at += length;
        }
        if (text.Length > before)
        {
            into.Add(new Piece(offset + before, text.Length - before, false));
        }
    }
}

/// <summary>Every occurrence of a text, which is not empty, is a match.</summary>
internal sealed class TextMatcher(byte[] wanted) : Matcher
{
    public override void Split(ReadOnlySpan<byte> text, int offset, Scratch scratch, Store<Piece> into)
    {
        while (text.Length > 0)
        {
            int at = text.IndexOf(wanted);
            if (at != 0)
            {
                into.Add(new Piece(offset, at < 0 ? text.Length : at, false));
            }
            if (at < 0)
            {
                return;
            }
            into.Add(new Piece(offset + at, wanted.Length, true));
            text = text[(at + wanted.Length)..];
            offset += at + wanted.Length;
        }
    }

    public override bool Replace(ReadOnlySpan<byte> text, ReadOnlySpan<byte> content, Scratch scratch, Store<byte> to)
    {
        int at = text.IndexOf(wanted);
        if (at < 0)
        {
            return false;
        }
        for (; at >= 0; at = text.IndexOf(wanted))
        {
            to.Add(text[..at]);
            to.Add(content);
            text = text[(at + wanted.Length)..];
        }
        to.Add(text);
        return true;
    }
}

/// <summary>Every match of a regular expression.</summary>
internal sealed class RegexMatcher(TextRegex regex) : Matcher
{
    public override void Split(ReadOnlySpan<byte> text, int offset, Scratch scratch, Store<Piece> into) => regex.Split(text, offset, scratch.Regex, into);
}

/// <summary>The matches of an expression that is known by its text, found without it.</summary>
internal sealed class KnownMatcher(WordSplit split) : Matcher
{
    public override void Split(ReadOnlySpan<byte> text, int offset, Scratch scratch, Store<Piece> into)
    {
        for (int at = 0; at < text.Length;)
        {
            int end = split.Next(text, at);
            into.Add(new Piece(offset + at, end - at, true));
            at = end;
        }
    }
}
