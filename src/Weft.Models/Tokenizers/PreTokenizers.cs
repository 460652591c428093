namespace Weft.Models.Tokenizers;

/// <summary>A text and the words that it is split into so far.</summary>
internal ref struct SplitText(ReadOnlySpan<byte> text, bool isFirst, Scratch scratch)
{
    /// <summary>The text; pieces lie in it.</summary>
    public ReadOnlySpan<byte> Text { get; private set; } = text;

    /// <summary>Whether the text is the beginning of what is encoded.</summary>
    public bool IsFirst { get; } = isFirst;

    public Scratch Scratch { get; } = scratch;

    /// <summary>The words, in order.</summary>
    public Store<Piece> Pieces { get; private set; } = Whole(text, scratch.Pieces);

    private Store<byte>? owned;

    /// <summary>Where the next words are written, empty.</summary>
    public readonly Store<Piece> NextPieces()
    {
        Store<Piece> next = Pieces == Scratch.Pieces ? Scratch.OtherPieces : Scratch.Pieces;
        next.Clear();
        return next;
    }

    /// <summary>Takes words in the place of those so far.</summary>
    public void Take(Store<Piece> pieces) => Pieces = pieces;

    /// <summary>Takes another text, rented from the scratch, and its words.</summary>
    public void Take(Store<byte> text, Store<Piece> pieces)
    {
        Release();
        owned = text;
        Text = text.Span;
        Pieces = pieces;
    }

    /// <summary>Gives back what was rented.</summary>
    public void Release()
    {
        if (owned is not null)
        {
            Scratch.Return(owned);
            owned = null;
        }
    }

    private static Store<Piece> Whole(ReadOnlySpan<byte> text, Store<Piece> pieces)
    {
        pieces.Clear();
        pieces.Add(new Piece(0, text.Length, false));
        return pieces;
    }
}

/// <summary>Splits text into words.</summary>
internal abstract class PreTokenizer
{
    public abstract void Split(ref SplitText text);
}

/// <summary>What becomes of the matches that text is split at.</summary>
internal enum SplitBehavior
{
    Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous,
}

/// <summary>One after the other, each splitting the words of those before.</summary>
internal sealed class PreTokenizerSequence(PreTokenizer[] parts) : PreTokenizer
{
    public override void Split(ref SplitText text)
    {
        foreach (PreTokenizer part in parts)
        {
            part.Split(ref text);
        }
    }
}

/// <summary>Splits at the matches of a pattern, or with <paramref name="invert"/> at what lies between them.</summary>
internal sealed class PatternSplit(Matcher matcher, SplitBehavior behavior, bool invert) : PreTokenizer
{
    public override void Split(ref SplitText text)
    {
        Store<Piece> next = text.NextPieces();
        foreach (Piece piece in text.Pieces.Span)
        {
            Append(text.Text.Slice(piece.Start, piece.Length), piece.Start, text.Scratch, next);
        }
        text.Take(next);
    }

    /// <summary>Appends the words of a text.</summary>
    public void Append(ReadOnlySpan<byte> text, int offset, Scratch scratch, Store<Piece> to)
    {
        int first = to.Count;
        matcher.Split(text, offset, scratch, to);
        if (behavior != SplitBehavior.Isolated)
        {
            Merge(to.Span[first..], first, to);
        }
        if (matcher is RegexMatcher)
        {
            DropEmpty(first, to);
        }
    }

    // An expression may match nothing, which parts what is around it but is no word.
    private static void DropEmpty(int first, Store<Piece> to)
    {
        int kept = first;
        for (int i = first; i < to.Count; i++)
        {
            to[kept] = to[i];
            kept += to[i].Length > 0 ? 1 : 0;
        }
        to.Resize(kept);
    }

    // The words that parts make, written over them: there are never more.
    private void Merge(Span<Piece> parts, int first, Store<Piece> to)
    {
        int kept = 0;
        bool previous = false;
        if (behavior == SplitBehavior.MergedWithNext)
        {
            parts.Reverse();
        }
        for (int i = 0; i < parts.Length; i++)
        {
            Piece part = parts[i];
            bool match = part.IsMatch != invert;
            bool joins = behavior switch
            {
                SplitBehavior.Contiguous => match == previous,
                SplitBehavior.Removed => false,
                _ => match && !previous,
            };
            previous = match;
            if (behavior == SplitBehavior.Removed && match)
            {
                continue;
            }
            if (joins && kept > 0)
            {
                Piece before = parts[kept - 1];
                parts[kept - 1] = new Piece(Math.Min(before.Start, part.Start), before.Length + part.Length, false);
            }
            else
            {
                parts[kept++] = part;
            }
        }
        if (behavior == SplitBehavior.MergedWithNext)
        {
            parts[..kept].Reverse();
        }
        to.Resize(first + kept);
    }
}

/// <summary>Words and runs of other characters, without the white space between them.</summary>
internal sealed class WhitespaceSplit : PreTokenizer
{
    public override void Split(ref SplitText text)
    {
        Store<Piece> next = text.NextPieces();
        foreach (Piece piece in text.Pieces.Span)
        {
            ReadOnlySpan<byte> part = text.Text.Slice(piece.Start, piece.Length);
            int start = 0, kind = 0;
            for (int at = 0; at < part.Length;)
            {
                int here = KindOf(CodePoint.At(part, at, out int length));
                if (here != kind)
                {
                    Add(piece.Start + start, at - start, kind, next);
                    (start, kind) = (at, here);
                }
                at += length;
            }
            Add(piece.Start + start, part.Length - start, kind, next);
        }
        text.Take(next);
    }

    private static void Add(int start, int length, int kind, Store<Piece> to)
    {
        if (kind != 0 && length > 0)
        {
            to.Add(new Piece(start, length, false));
        }
    }

    // The joiners U+200C and U+200D belong to words in the library that the reference uses here.
    private static int KindOf(int c) => CodePoint.IsWord(c) || c is 0x200C or 0x200D ? 1 : CodePoint.IsWhiteSpace(c) ? 0 : 2;
}

/// <summary>Pieces of so many characters.</summary>
internal sealed class FixedLengthSplit(int characters) : PreTokenizer
{
    public override void Split(ref SplitText text)
    {
        Store<Piece> next = text.NextPieces();
        foreach (Piece piece in text.Pieces.Span)
        {
            int start = piece.Start, end = piece.Start + piece.Length, count = 0;
            for (int at = start; at < end;)
            {
                CodePoint.At(text.Text, at, out int length);
                at += length;
                if (++count == characters || at == end)
                {
                    next.Add(new Piece(start, at - start, false));
                    (start, count) = (at, 0);
                }
            }
        }
        text.Take(next);
    }
}

/// <summary>
/// Byte level: a space before text that has none, GPT-2's words, and each byte written as its character. The last is left out where the
/// model takes bytes.
/// </summary>
internal sealed class ByteLevelSplit(bool prefixSpace, bool words, bool writes) : PreTokenizer
{
    private readonly PatternSplit split = new(new KnownMatcher(WordSplit.Gpt2), SplitBehavior.Isolated, false);

    public override void Split(ref SplitText text)
    {
        if (prefixSpace)
        {
            Store<byte> longer = text.Scratch.RentText();
            Store<Piece> pieces = text.NextPieces();
            foreach (Piece piece in text.Pieces.Span)
            {
                ReadOnlySpan<byte> part = text.Text.Slice(piece.Start, piece.Length);
                int start = longer.Count;
                if (!part.StartsWith((byte)' '))
                {
                    longer.Add((byte)' ');
                }
                longer.Add(part);
                pieces.Add(new Piece(start, longer.Count - start, false));
            }
            text.Take(longer, pieces);
        }
        if (words)
        {
            split.Split(ref text);
        }
        if (writes)
        {
            Store<byte> written = text.Scratch.RentText();
            Store<Piece> pieces = text.NextPieces();
            foreach (Piece piece in text.Pieces.Span)
            {
                int start = written.Count;
                ByteAlphabet.Write(text.Text.Slice(piece.Start, piece.Length), written);
                pieces.Add(new Piece(start, written.Count - start, false));
            }
            text.Take(written, pieces);
        }
    }
}

/// <summary>Where <see cref="MetaspaceSplit"/> puts a mark before text that does not begin with one.</summary>
internal enum PrependScheme
{
    Always, First, Never,
}

/// <summary>Spaces become marks, and words begin with theirs.</summary>
internal sealed class MetaspaceSplit(byte[] mark, PrependScheme scheme, bool splits) : PreTokenizer
{
    private readonly PatternSplit split = new(new TextMatcher(mark), SplitBehavior.MergedWithNext, false);

    public override void Split(ref SplitText text)
    {
        Store<byte> marked = text.Scratch.RentText();
        Store<Piece> pieces = text.NextPieces();
        foreach (Piece piece in text.Pieces.Span)
        {
            int start = marked.Count;
            ReadOnlySpan<byte> part = text.Text.Slice(piece.Start, piece.Length);
            bool begins = part.StartsWith((byte)' ') || part.StartsWith(mark);
            if (!begins && (scheme == PrependScheme.Always || (scheme == PrependScheme.First && text.IsFirst && piece.Start == 0)))
            {
                marked.Add(mark);
            }
            for (int space; (space = part.IndexOf((byte)' ')) >= 0; part = part[(space + 1)..])
            {
                marked.Add(part[..space]);
                marked.Add(mark);
            }
            marked.Add(part);
            if (splits)
            {
                split.Append(marked.Span[start..], start, text.Scratch, pieces);
            }
            else
            {
                pieces.Add(new Piece(start, marked.Count - start, false));
            }
        }
        text.Take(marked, pieces);
    }
}
