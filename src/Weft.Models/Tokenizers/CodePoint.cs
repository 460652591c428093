using System.Buffers;
using System.Globalization;
using System.Text;

namespace Weft.Models.Tokenizers;

/// <summary>Code points of UTF-8 text and their classes, as Unicode defines them and the Rust and Oniguruma libraries of the reference use them.</summary>
internal static class CodePoint
{
    /// <summary>What stands for bytes that are no UTF-8.</summary>
    public const int Replacement = 0xFFFD;

    public const uint Letters = 1u << (int)UnicodeCategory.UppercaseLetter | 1u << (int)UnicodeCategory.LowercaseLetter
        | 1u << (int)UnicodeCategory.TitlecaseLetter | 1u << (int)UnicodeCategory.ModifierLetter | 1u << (int)UnicodeCategory.OtherLetter;

    public const uint Marks = 1u << (int)UnicodeCategory.NonSpacingMark | 1u << (int)UnicodeCategory.SpacingCombiningMark
        | 1u << (int)UnicodeCategory.EnclosingMark;

    public const uint Numbers = 1u << (int)UnicodeCategory.DecimalDigitNumber | 1u << (int)UnicodeCategory.LetterNumber
        | 1u << (int)UnicodeCategory.OtherNumber;

    public const uint Punctuation = 1u << (int)UnicodeCategory.ConnectorPunctuation | 1u << (int)UnicodeCategory.DashPunctuation
        | 1u << (int)UnicodeCategory.OpenPunctuation | 1u << (int)UnicodeCategory.ClosePunctuation
        | 1u << (int)UnicodeCategory.InitialQuotePunctuation | 1u << (int)UnicodeCategory.FinalQuotePunctuation
        | 1u << (int)UnicodeCategory.OtherPunctuation;

    public const uint Symbols = 1u << (int)UnicodeCategory.MathSymbol | 1u << (int)UnicodeCategory.CurrencySymbol
        | 1u << (int)UnicodeCategory.ModifierSymbol | 1u << (int)UnicodeCategory.OtherSymbol;

    public const uint Separators = 1u << (int)UnicodeCategory.SpaceSeparator | 1u << (int)UnicodeCategory.LineSeparator
        | 1u << (int)UnicodeCategory.ParagraphSeparator;

    public const uint Others = 1u << (int)UnicodeCategory.Control | 1u << (int)UnicodeCategory.Format | 1u << (int)UnicodeCategory.Surrogate
        | 1u << (int)UnicodeCategory.PrivateUse | 1u << (int)UnicodeCategory.OtherNotAssigned;

    private const uint WordParts = Letters | Marks | 1u << (int)UnicodeCategory.DecimalDigitNumber
        | 1u << (int)UnicodeCategory.LetterNumber | 1u << (int)UnicodeCategory.ConnectorPunctuation;

    /// <summary>The code point at a byte and its length; U+FFFD and the length of the maximal invalid part where the bytes are no UTF-8.</summary>
    public static int At(ReadOnlySpan<byte> text, int at, out int length)
    {
        if (text[at] < 0x80)
        {
            length = 1;
            return text[at];
        }
        return Rune.DecodeFromUtf8(text[at..], out Rune rune, out length) == OperationStatus.Done ? rune.Value : Replacement;
    }

    /// <summary>The code point that ends at a byte and its length.</summary>
    public static int Before(ReadOnlySpan<byte> text, int end, out int length) =>
        Rune.DecodeLastFromUtf8(text[..end], out Rune rune, out length) == OperationStatus.Done ? rune.Value : Replacement;

    public static void Append(Store<byte> to, int codePoint)
    {
        if (codePoint < 0x80)
        {
            to.Add((byte)codePoint);
            return;
        }
        Span<byte> bytes = stackalloc byte[4];
        to.Add(bytes[..new Rune(codePoint).EncodeToUtf8(bytes)]);
    }

    public static uint Category(int c) => 1u << (int)CharUnicodeInfo.GetUnicodeCategory(c);

    public static bool IsWhiteSpace(int c) => c < 0x10000 && char.IsWhiteSpace((char)c);

    public static bool IsNumeric(int c) => (Category(c) & Numbers) != 0;

    public static bool IsPunctuation(int c) => c < 0x80
        ? c > 0x20 && c != 0x7F && !char.IsAsciiLetterOrDigit((char)c)
        : (Category(c) & Punctuation) != 0;

    /// <summary>Alphabetic, a mark, a decimal digit or a connector: <c>\w</c>.</summary>
    public static bool IsWord(int c) => (Category(c) & WordParts) != 0 || IsCircledLetter(c);

    public static bool IsCircledLetter(int c) => c is >= 0x24B6 and <= 0x24E9 or >= 0x1F130 and <= 0x1F149
        or >= 0x1F150 and <= 0x1F169 or >= 0x1F170 and <= 0x1F189;

    public static int Lower(int c) => Rune.ToLowerInvariant(new Rune(c)).Value;

    public static int Upper(int c) => Rune.ToUpperInvariant(new Rune(c)).Value;

    /// <summary>Simple case folding: code points that differ only in case have the same.</summary>
    public static int Fold(int c) => c switch
    {
        0x17F => 's',
        0x212A => 'k',
        0x212B => 0xE5,
        _ => Lower(Upper(c)),
    };

    /// <summary>Copies text with each part that is no UTF-8 as U+FFFD; false, and nothing written, where all of it is.</summary>
    public static bool Repair(ReadOnlySpan<byte> text, Store<byte> to)
    {
        if (System.Text.Unicode.Utf8.IsValid(text))
        {
            return false;
        }
        for (int at = 0; at < text.Length; at += LengthAt(text, at))
        {
            Append(to, At(text, at, out _));
        }
        return true;
    }

    private static int LengthAt(ReadOnlySpan<byte> text, int at)
    {
        At(text, at, out int length);
        return length;
    }
}
