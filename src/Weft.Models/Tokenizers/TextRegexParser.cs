using System.Globalization;
using System.Text;
using Weft.Tensors;

namespace Weft.Models.Tokenizers;

/// <summary>What a part of a regular expression matches.</summary>
internal abstract record RegexNode
{
    public sealed record Set(CharSet Chars) : RegexNode;

    public sealed record Sequence(List<RegexNode> Parts) : RegexNode;

    public sealed record Choice(List<RegexNode> Parts) : RegexNode;

    /// <summary>From <paramref name="Min"/> to <paramref name="Max"/> times; -1: any number.</summary>
    public sealed record Repeat(RegexNode Body, int Min, int Max, bool Lazy) : RegexNode;

    /// <summary>Once matched, never tried again in another way.</summary>
    public sealed record Atomic(RegexNode Body) : RegexNode;

    public sealed record Look(RegexNode Body, bool Behind, bool Negative) : RegexNode;

    public sealed record Assertion(RegexAssertion Kind) : RegexNode;
}

/// <summary>Places in a text.</summary>
internal enum RegexAssertion
{
    LineStart, LineEnd, TextStart, TextEnd, TextEndOrLastLine, WordEdge, NoWordEdge,
}

/// <summary>
/// Reads a regular expression in Oniguruma's syntax, which the reference uses, as far as splits of text need it: no captures are kept, and
/// back references, conditionals and recursion are refused.
/// </summary>
internal sealed class TextRegexParser
{
    private const int MaxPattern = 10_000, MaxDepth = 50, MaxRepeat = 1000;

    // Han as a script, by ranges: the runtime knows categories only.
    private static readonly (int From, int To)[] Han =
    [
        (0x2E80, 0x2E99), (0x2E9B, 0x2EF3), (0x2F00, 0x2FD5), (0x3005, 0x3005), (0x3007, 0x3007), (0x3021, 0x3029), (0x3038, 0x303B),
        (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFA6D), (0xFA70, 0xFAD9), (0x16FE2, 0x16FE3), (0x16FF0, 0x16FF1),
        (0x20000, 0x2A6DF), (0x2A700, 0x2B738), (0x2B740, 0x2B81D), (0x2B820, 0x2CEA1), (0x2CEB0, 0x2EBE0), (0x2F800, 0x2FA1D),
        (0x30000, 0x3134A),
    ];

    private readonly int[] pattern;
    private int at, depth;
    private bool ignoreCase;

    private TextRegexParser(string text) => pattern = [.. text.EnumerateRunes().Select(r => r.Value)];

    private bool AtEnd => at == pattern.Length;

    public static RegexNode Parse(string text)
    {
        if (text.Length > MaxPattern)
        {
            throw new InputException($"is a regular expression of {text.Length} characters; at most {MaxPattern} are taken");
        }
        var parser = new TextRegexParser(text);
        RegexNode node = parser.Choice();
        return parser.AtEnd ? node : throw parser.Wrong("')' closes nothing");
    }

    private RegexNode Choice()
    {
        if (++depth > MaxDepth)
        {
            throw Wrong($"its groups are more than {MaxDepth} deep");
        }
        bool outer = ignoreCase;
        List<RegexNode> parts = [Sequence()];
        while (Take('|'))
        {
            parts.Add(Sequence());
        }
        ignoreCase = outer;
        depth--;
        return parts.Count == 1 ? parts[0] : new RegexNode.Choice(parts);
    }

    private RegexNode.Sequence Sequence()
    {
        var parts = new List<RegexNode>();
        while (!AtEnd && !Next('|') && !Next(')'))
        {
            RegexNode atom = Atom();
            parts.Add(Quantified(atom));
        }
        return new RegexNode.Sequence(parts);
    }

    private RegexNode Quantified(RegexNode atom)
    {
        for (int quantifiers = 0; !AtEnd; quantifiers++)
        {
            (int min, int max) = (0, 0);
            bool interval = false;
            if (Take('*'))
            {
                (min, max) = (0, -1);
            }
            else if (Take('+'))
            {
                (min, max) = (1, -1);
            }
            else if (Take('?'))
            {
                (min, max) = (0, 1);
            }
            else if (Interval(ref min, ref max))
            {
                interval = true;
            }
            else
            {
                break;
            }
            if (quantifiers == 2)
            {
                throw Wrong("more than two quantifiers follow each other");
            }
            if (atom is RegexNode.Look or RegexNode.Assertion)
            {
                throw Wrong("an assertion is repeated");
            }
            if (interval && (Next('+') || (min == max && Next('?'))))
            {
                throw Wrong("'+' follows an interval {n,m}, or '?' one {n}, which libraries read in different ways");
            }
            bool possessive = Take('+'), lazy = !possessive && Take('?');
            if (max < 0 && IsNullable(atom))
            {
                throw Wrong("what may be empty is repeated without end");
            }
            atom = new RegexNode.Repeat(atom, min, max, lazy);
            if (possessive)
            {
                atom = new RegexNode.Atomic(atom);
            }
        }
        return atom;
    }

    // {n}, {n,}, {n,m} or {,m}; anything else is a literal brace.
    private bool Interval(ref int min, ref int max)
    {
        int start = at;
        if (Take('{'))
        {
            int? from = Number(), to = from;
            bool open = Take(',');
            if (open)
            {
                to = Number();
            }
            if (Take('}') && (from is not null || to is not null))
            {
                (min, max) = (from ?? 0, to ?? -1);
                return min <= MaxRepeat && max <= MaxRepeat && (max < 0 || min <= max) ? true
                    : throw Wrong($"an interval is not from 0 to at most {MaxRepeat}");
            }
        }
        at = start;
        return false;
    }

    private int? Number()
    {
        int start = at, value = 0;
        while (!AtEnd && pattern[at] is >= '0' and <= '9')
        {
            value = Math.Min((value * 10) + pattern[at++] - '0', MaxRepeat + 1);
        }
        return at > start ? value : null;
    }

    private RegexNode Atom()
    {
        int c = pattern[at++];
        switch (c)
        {
            case '(':
                return Group();
            case '[':
                return new RegexNode.Set(Class());
            case '.':
                CharSet line = new() { Negated = true };
                line.Add('\n', '\n');
                return new RegexNode.Set(line.Sealed());
            case '^':
                return new RegexNode.Assertion(RegexAssertion.LineStart);
            case '$':
                return new RegexNode.Assertion(RegexAssertion.LineEnd);
            case '*' or '+' or '?':
                throw Wrong("a quantifier has nothing to repeat");
            case '\\':
                return Escape();
            default:
                return new RegexNode.Set(CharSet.Of(c, ignoreCase));
        }
    }

    private RegexNode Escape()
    {
        if (AtEnd)
        {
            throw Wrong("it ends with '\\'");
        }
        RegexAssertion? place = pattern[at] switch
        {
            'A' => RegexAssertion.TextStart,
            'z' => RegexAssertion.TextEnd,
            'Z' => RegexAssertion.TextEndOrLastLine,
            'b' => RegexAssertion.WordEdge,
            'B' => RegexAssertion.NoWordEdge,
            _ => null,
        };
        if (place is { } kind)
        {
            at++;
            return new RegexNode.Assertion(kind);
        }
        return new RegexNode.Set(EscapedSet(false, out int c) ?? CharSet.Of(c, ignoreCase));
    }

    private RegexNode Group()
    {
        bool outer = ignoreCase;
        RegexNode node;
        if (!Take('?'))
        {
            node = Choice();
        }
        else if (Take(':'))
        {
            node = Choice();
        }
        else if (Take('='))
        {
            node = new RegexNode.Look(Choice(), false, false);
        }
        else if (Take('!'))
        {
            node = new RegexNode.Look(Choice(), false, true);
        }
        else if (Take('>'))
        {
            node = new RegexNode.Atomic(Choice());
        }
        else if (Take('<'))
        {
            bool negative = Take('!');
            if (!negative && !Take('='))
            {
                throw Wrong("named groups are not taken");
            }
            node = new RegexNode.Look(Choice(), true, negative);
        }
        else
        {
            bool on = !Take('-');
            if (!Take('i'))
            {
                throw Wrong("of the group options only (?i) is taken");
            }
            ignoreCase = on;
            if (Take(')'))
            {
                // The option holds to the end of the group around it, alternatives included.
                return Choice();
            }
            node = Take(':') ? Choice() : throw Wrong("of the group options only (?i) is taken");
        }
        ignoreCase = outer;
        return Take(')') ? node : throw Wrong("a group is not closed");
    }

    private CharSet Class()
    {
        if (++depth > MaxDepth)
        {
            throw Wrong($"its classes are more than {MaxDepth} deep");
        }
        bool negated = Take('^');
        var set = new CharSet { IgnoreCase = ignoreCase };
        CharSet? left = null;
        for (bool first = true; ; first = false)
        {
            if (AtEnd)
            {
                throw Wrong("a class [ is not closed");
            }
            if (!first && Take(']'))
            {
                break;
            }
            if (Next('&') && at + 1 < pattern.Length && pattern[at + 1] == '&')
            {
                at += 2;
                left = Joined(left, set);
                set = new CharSet { IgnoreCase = ignoreCase };
                continue;
            }
            ClassItem(set);
        }
        depth--;
        CharSet all = Joined(left, set);
        if (!negated)
        {
            return all;
        }
        var rest = new CharSet { Negated = true };
        rest.Add(all);
        return rest.Sealed();
    }

    private static CharSet Joined(CharSet? left, CharSet right)
    {
        if (left is not null)
        {
            right.Intersect(left);
        }
        return right.Sealed();
    }

    private void ClassItem(CharSet set)
    {
        if (Take('['))
        {
            set.Add(Next(':') ? throw Wrong("classes [:name:] are not taken; write \\p{...}") : Class());
            return;
        }
        CharSet? part = ClassChar(out int from);
        if (part is not null)
        {
            set.Add(part);
            return;
        }
        int to = from;
        if (Next('-') && at + 1 < pattern.Length && pattern[at + 1] != ']')
        {
            at++;
            if (Next('[') || ClassChar(out to) is not null || to < from)
            {
                throw Wrong("a range of a class has no end after its start");
            }
        }
        set.Add(from, to);
    }

    private CharSet? ClassChar(out int c)
    {
        c = pattern[at++];
        if (c != '\\')
        {
            return null;
        }
        return AtEnd ? throw Wrong("it ends with '\\'") : EscapedSet(true, out c);
    }

    // What follows a backslash: a set of characters, or null and one character.
    private CharSet? EscapedSet(bool inClass, out int c)
    {
        c = pattern[at++];
        switch (c)
        {
            case 's' or 'S':
                return White(c == 'S');
            case 'd' or 'D':
                return CharSet.OfCategories(1u << (int)UnicodeCategory.DecimalDigitNumber, c == 'D');
            case 'w' or 'W':
                return Word(c == 'W', inClass);
            case 'h' or 'H':
                var hex = new CharSet { Negated = c == 'H' };
                hex.Add('0', '9');
                hex.Add('a', 'f');
                hex.Add('A', 'F');
                return hex.Sealed();
            case 'p' or 'P':
                return Property(c == 'P');
            case 'x' or 'u':
                c = Hex(c == 'u' ? 4 : 2);
                return null;
        }
        c = c switch
        {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'f' => '\f',
            'v' => '\v',
            'a' => '\a',
            'e' => 0x1B,
            _ when c < 0x80 && char.IsAsciiLetterOrDigit((char)c) => throw Wrong($"'\\{(char)c}' is not taken"),
            _ => c,
        };
        return null;
    }

    private static CharSet White(bool negated)
    {
        var set = new CharSet { Negated = negated };
        set.Add(9, 13);
        set.Add(0x85, 0x85);
        set.Add(CharSet.OfCategories(CodePoint.Separators));
        return set.Sealed();
    }

    /// <summary>The characters of words.</summary>
    public static CharSet WordCharacters { get; } = Word(false, false);

    // Outside of classes Oniguruma counts superscripts and fractions of Latin-1 among the word's characters, within them not.
    private static CharSet Word(bool negated, bool inClass)
    {
        var set = new CharSet { Negated = negated };
        set.Add(CharSet.OfCategories(CodePoint.Letters | CodePoint.Marks | 1u << (int)UnicodeCategory.DecimalDigitNumber
            | 1u << (int)UnicodeCategory.LetterNumber | 1u << (int)UnicodeCategory.ConnectorPunctuation));
        foreach ((int from, int to) in new[] { (0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189) })
        {
            set.Add(from, to);
        }
        foreach (int c in inClass ? "" : "²³¹¼½¾")
        {
            set.Add(c, c);
        }
        return set.Sealed();
    }

    private CharSet Property(bool negated)
    {
        int end = Array.IndexOf(pattern, '}', at);
        if (!Take('{') || end < 0)
        {
            throw Wrong("\\p is not followed by {name}");
        }
        string name = string.Concat(pattern[at..end].Select(c => new Rune(c)));
        at = end + 1;
        if (name.StartsWith('^'))
        {
            (name, negated) = (name[1..], !negated);
        }
        if (string.Equals(name, "Han", StringComparison.OrdinalIgnoreCase))
        {
            var set = new CharSet { Negated = negated };
            foreach ((int from, int to) in Han)
            {
                set.Add(from, to);
            }
            return set.Sealed();
        }
        return Categories(name) is var categories and not 0 ? CharSet.OfCategories(categories, negated)
            : throw Wrong($"the property {PatternText.Quote(name)} is unknown; known are general categories (L, Lu, ... or Letter, ...) and Han");
    }

    private static uint Categories(string name) => name.ToUpperInvariant() switch
    {
        "L" or "LETTER" => CodePoint.Letters,
        "M" or "MARK" => CodePoint.Marks,
        "N" or "NUMBER" => CodePoint.Numbers,
        "P" or "PUNCTUATION" => CodePoint.Punctuation,
        "S" or "SYMBOL" => CodePoint.Symbols,
        "Z" or "SEPARATOR" => CodePoint.Separators,
        "C" or "OTHER" => CodePoint.Others,
        string two => Array.IndexOf(TwoLetters, two) is var i and >= 0 ? 1u << i : 0,
    };

    // In the order of UnicodeCategory.
    private static readonly string[] TwoLetters =
    [
        "LU", "LL", "LT", "LM", "LO", "MN", "MC", "ME", "ND", "NL", "NO", "ZS", "ZL", "ZP", "CC", "CF", "CS", "CO", "PC", "PD", "PS", "PE", "PI",
        "PF", "PO", "SM", "SC", "SK", "SO", "CN",
    ];

    private int Hex(int digits)
    {
        bool braces = digits == 2 && Take('{');
        int start = at, value = 0;
        while (!AtEnd && at - start < (braces ? 6 : digits) && pattern[at] < 0x80 && char.IsAsciiHexDigit((char)pattern[at]))
        {
            value = (value << 4) | Convert.ToInt32(((char)pattern[at++]).ToString(), 16);
        }
        // \xHH past 7F is a byte of UTF-8 to Oniguruma, not a character.
        return at > start && (!braces || Take('}')) && Rune.IsValid(value) && (braces || digits == 4 || value < 0x80) ? value
            : throw Wrong("the number of a character is not taken");
    }

    private static bool IsNullable(RegexNode node) => node switch
    {
        RegexNode.Set => false,
        RegexNode.Sequence sequence => sequence.Parts.TrueForAll(IsNullable),
        RegexNode.Choice choice => choice.Parts.Exists(IsNullable),
        RegexNode.Repeat repeat => repeat.Min == 0 || IsNullable(repeat.Body),
        RegexNode.Atomic atomic => IsNullable(atomic.Body),
        _ => true,
    };

    private bool Next(char c) => !AtEnd && pattern[at] == c;

    private bool Take(char c)
    {
        if (!Next(c))
        {
            return false;
        }
        at++;
        return true;
    }

    private InputException Wrong(string why)
    {
        string text = string.Concat(pattern.Select(c => new Rune(c)));
        return new InputException($"is the regular expression {PatternText.Quote(text, at)}: {why}");
    }
}
