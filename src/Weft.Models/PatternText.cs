namespace Weft.Models;

/// <summary>The characters that names and values are made of, and how untrusted text is shown in a one-line message.</summary>
internal static class PatternText
{
    /// <summary>Longest block name, option name or option value.</summary>
    public const int MaxWord = 64;

    private const int MaxShown = 72;

    public static bool IsNameStart(char c) => char.IsAsciiLetter(c);

    public static bool IsNamePart(char c) => char.IsAsciiLetterOrDigit(c) || c is '-' or '_';

    public static bool IsValuePart(char c) => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or '+';

    public static bool IsName(string text)
    {
        return text.Length is > 0 and <= MaxWord && IsNameStart(text[0]) && text.All(IsNamePart);
    }

    public static bool IsValue(string text) => text.Length is > 0 and <= MaxWord && text.All(IsValuePart);

    /// <summary>The text between quotes, on one line, cut to the part around <paramref name="at"/> (from 0) where it is long.</summary>
    public static string Quote(string text, int at = 0)
    {
        int first = 0, end = text.Length;
        if (text.Length > MaxShown)
        {
            first = Math.Clamp(at - (MaxShown / 2), 0, text.Length - MaxShown);
            end = first + MaxShown;
        }
        return $"'{(first > 0 ? "..." : "")}{OneLine(text[first..end])}{(end < text.Length ? "..." : "")}'";
    }

    /// <summary>The text on one line: what cannot be shown becomes a space or a question mark.</summary>
    public static string OneLine(string text)
    {
        return string.Create(text.Length, text, static (shown, from) =>
        {
            for (int i = 0; i < shown.Length; i++)
            {
                shown[i] = IsShowable(from[i]) ? from[i] : char.IsWhiteSpace(from[i]) ? ' ' : '?';
            }
        });
    }

    /// <summary>A character between quotes, by its code point number where it cannot be shown.</summary>
    public static string Quote(char c) => IsShowable(c) ? $"'{c}'" : $"U+{(int)c:X4}";

    // A lone half of a surrogate pair, a control or a direction mark would spoil the line it is printed on.
    private static bool IsShowable(char c) => c == ' ' || char.IsLetterOrDigit(c) || char.IsPunctuation(c) || char.IsSymbol(c);
}
