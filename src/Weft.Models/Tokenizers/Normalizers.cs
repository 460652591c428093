using System.Globalization;

namespace Weft.Models.Tokenizers;

/// <summary>Rewrites text before it is split.</summary>
internal abstract class Normalizer
{
    /// <summary>Writes the text rewritten into an empty store; false, and nothing written, where it stays as it is.</summary>
    public abstract bool Normalize(ReadOnlySpan<byte> text, Store<byte> to, Scratch scratch);
}

/// <summary>One after the other.</summary>
internal sealed class NormalizerSequence(Normalizer[] parts) : Normalizer
{
    public override bool Normalize(ReadOnlySpan<byte> text, Store<byte> to, Scratch scratch)
    {
        ReadOnlySpan<byte> now = text;
        bool changed = false;
        foreach (Normalizer part in parts)
        {
            Store<byte> into = scratch.RentText();
            if (part.Normalize(now, into, scratch))
            {
                to.Clear();
                to.Add(into.Span);
                now = to.Span;
                changed = true;
            }
            scratch.Return(into);
        }
        return changed;
    }
}

/// <summary>NFC, NFD, NFKC and NFKD.</summary>
internal sealed class UnicodeForm(bool compose, bool compatibility) : Normalizer
{
    public override bool Normalize(ReadOnlySpan<byte> text, Store<byte> to, Scratch scratch) =>
        UnicodeNormalization.Table.Normalize(text, compose, compatibility, to, scratch.Normalization);
}

/// <summary>Puts a text before every text that is not empty.</summary>
internal sealed class Prepend(byte[] prefix) : Normalizer
{
    public override bool Normalize(ReadOnlySpan<byte> text, Store<byte> to, Scratch scratch)
    {
        if (text.Length > 0)
        {
            to.Add(prefix);
            to.Add(text);
        }
        return text.Length > 0;
    }
}

/// <summary>Puts a text in the place of every match.</summary>
internal sealed class ReplaceNormalizer(Matcher matcher, byte[] content) : Normalizer
{
    public override bool Normalize(ReadOnlySpan<byte> text, Store<byte> to, Scratch scratch) => matcher.Replace(text, content, scratch, to);
}

/// <summary>Puts one or more characters in the place of each, or none.</summary>
internal sealed class CharacterNormalizer(Action<int, Store<byte>> map) : Normalizer
{
    /// <summary>Lower case, by Unicode's full mapping: of those that lengthen there is one.</summary>
    public static CharacterNormalizer Lowercase { get; } = new((c, to) =>
    {
        if (c == 0x130)
        {
            to.Add("i\u0307"u8);
        }
        else
        {
            CodePoint.Append(to, CodePoint.Lower(c));
        }
    });

    /// <summary>No marks.</summary>
    public static CharacterNormalizer StripAccents { get; } = Without(c => (CodePoint.Category(c) & CodePoint.Marks) != 0);

    /// <summary>No marks but those that take space, which is what Bert's does after NFD.</summary>
    public static CharacterNormalizer StripNonSpacing { get; } = Without(c => CodePoint.Category(c) == 1u << (int)UnicodeCategory.NonSpacingMark);

    /// <summary>The cleaning of SentencePiece's nmt_nfkc before NFKC: controls go, what is nearly a space becomes one.</summary>
    public static CharacterNormalizer Nmt { get; } = new((c, to) =>
    {
        if (c is >= 1 and <= 8 or 0xB or >= 0xE and <= 0x1F or 0x7F or 0x8F or 0x9F)
        {
            return;
        }
        bool space = c is 9 or 0xA or 0xC or 0xD or 0x1680 or >= 0x200B and <= 0x200F or 0x2028 or 0x2029 or 0x2581 or 0xFEFF or 0xFFFD;
        CodePoint.Append(to, space ? ' ' : c);
    });

    /// <summary>Bert's cleaning: controls go, white space becomes a space.</summary>
    public static CharacterNormalizer BertClean { get; } = new((c, to) =>
    {
        bool white = c is 9 or 0xA or 0xD || CodePoint.IsWhiteSpace(c);
        if (white)
        {
            to.Add((byte)' ');
        }
        else if (c is not (0 or 0xFFFD) && (CodePoint.Category(c) & CodePoint.Others) == 0)
        {
            CodePoint.Append(to, c);
        }
    });

    /// <summary>Spaces around Chinese characters.</summary>
    public static CharacterNormalizer SpaceChinese { get; } = new((c, to) =>
    {
        bool chinese = c is >= 0x4E00 and <= 0x9FFF or >= 0x3400 and <= 0x4DBF or >= 0x20000 and <= 0x2A6DF or >= 0x2A700 and <= 0x2B73F
            or >= 0x2B740 and <= 0x2B81F or >= 0x2B920 and <= 0x2CEAF or >= 0xF900 and <= 0xFAFF or >= 0x2F800 and <= 0x2FA1F;
        if (chinese)
        {
            to.Add((byte)' ');
        }
        CodePoint.Append(to, c);
        if (chinese)
        {
            to.Add((byte)' ');
        }
    });

    private static CharacterNormalizer Without(Func<int, bool> dropped) => new((c, to) =>
    {
        if (!dropped(c))
        {
            CodePoint.Append(to, c);
        }
    });

    public override bool Normalize(ReadOnlySpan<byte> text, Store<byte> to, Scratch scratch)
    {
        for (int at = 0; at < text.Length;)
        {
            map(CodePoint.At(text, at, out int length), to);
            at += length;
        }
        return text.Length > 0;
    }
}

/// <summary>Writes every byte as the character that stands for it.</summary>
internal sealed class ByteLevelNormalizer : Normalizer
{
    public override bool Normalize(ReadOnlySpan<byte> text, Store<byte> to, Scratch scratch)
    {
        ByteAlphabet.Write(text, to);
        return text.Length > 0;
    }
}

/// <summary>No white space at the ends.</summary>
internal sealed class StripNormalizer(bool left, bool right) : Normalizer
{
    public override bool Normalize(ReadOnlySpan<byte> text, Store<byte> to, Scratch scratch)
    {
        int start = 0, end = text.Length, length;
        while (left && start < end && CodePoint.IsWhiteSpace(CodePoint.At(text, start, out length)))
        {
            start += length;
        }
        while (right && end > start && CodePoint.IsWhiteSpace(CodePoint.Before(text, end, out length)))
        {
            end -= length;
        }
        to.Add(text[start..end]);
        return true;
    }
}

/// <summary>GPT-2's alphabet: a printable character for every byte, so that byte-level tokens can be written as text.</summary>
internal static class ByteAlphabet
{
    private static readonly int[] Characters = Make();

    private static readonly Dictionary<int, byte> Bytes = Enumerable.Range(0, 256).ToDictionary(b => Characters[b], b => (byte)b);

    /// <summary>The character of a byte.</summary>
    public static int Of(byte b) => Characters[b];

    public static void Write(ReadOnlySpan<byte> bytes, Store<byte> to)
    {
        foreach (byte b in bytes)
        {
            CodePoint.Append(to, Characters[b]);
        }
    }

    /// <summary>Appends the bytes that a text stands for; false, and nothing appended, where a character stands for none.</summary>
    public static bool Read(ReadOnlySpan<byte> text, Store<byte> to)
    {
        int before = to.Count;
        for (int at = 0; at < text.Length;)
        {
            if (!Bytes.TryGetValue(CodePoint.At(text, at, out int length), out byte b))
            {
                to.Resize(before);
                return false;
            }
            to.Add(b);
            at += length;
        }
        return true;
    }

    private static int[] Make()
    {
        var characters = new int[256];
        int next = 256;
        for (int b = 0; b < 256; b++)
        {
            characters[b] = b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or >= 0xAE ? b : next++;
        }
        return characters;
    }
}
