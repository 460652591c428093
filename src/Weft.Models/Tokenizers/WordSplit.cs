namespace Weft.Models.Tokenizers;

/// <summary>
/// The splits of text into words that most byte-level tokenizers use, as scanners: GPT-2's, and the family of Llama-3, Qwen and others, which
/// differs in how many digits stay together and whether marks belong to words. Each does what its regular expression says, in one pass.
/// </summary>
internal sealed class WordSplit
{
    /// <summary>GPT-2's expression.</summary>
    public const string Gpt2Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    /// <summary>Llama-3's expression: up to three digits together.</summary>
    public const string Llama3Pattern = ModernStart + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + ModernEnd;

    /// <summary>Qwen-2's expression: each digit alone.</summary>
    public const string Qwen2Pattern = ModernStart + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + ModernEnd;

    /// <summary>Qwen-3.5's expression: each digit alone, marks are parts of words.</summary>
    public const string Qwen35Pattern =
        ModernStart + @"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private const string ModernStart = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
    private const string ModernEnd = @"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private static readonly Dictionary<string, WordSplit> Known = new(StringComparer.Ordinal)
    {
        [Gpt2Pattern] = new(false, int.MaxValue, false),
        [Llama3Pattern] = new(true, 3, false),
        [Qwen2Pattern] = new(true, 1, false),
        [Qwen35Pattern] = new(true, 1, true),
    };

    private static readonly byte[] AsciiKinds = [.. Enumerable.Range(0, 128).Select(c => (byte)KindOf(c))];

    private readonly bool modern;
    private readonly int digits;
    private readonly uint word;

    private enum Kind : byte
    {
        Other, Letter, Number, Space, LineEnd, Mark,
    }

    private WordSplit(bool modern, int digits, bool marks)
    {
        (this.modern, this.digits) = (modern, digits);
        word = 1u << (int)Kind.Letter | (marks ? 1u << (int)Kind.Mark : 0);
    }

    /// <summary>The patterns that have a scanner.</summary>
    public static IReadOnlyCollection<string> Patterns => Known.Keys;

    /// <summary>GPT-2's scanner.</summary>
    public static WordSplit Gpt2 => Known[Gpt2Pattern];

    /// <summary>The scanner of an expression; null where there is none.</summary>
    public static WordSplit? Of(string pattern) => Known.GetValueOrDefault(pattern);

    /// <summary>The end of the match at a place; there is always one.</summary>
    public int Next(ReadOnlySpan<byte> text, int at)
    {
        Kind first = At(text, at, out int length);
        if (text[at] == '\'' && Contraction(text[(at + 1)..]) is var more and > 0)
        {
            return at + 1 + more;
        }
        int second = at + length;
        Kind next = second < text.Length ? At(text, second, out _) : Kind.LineEnd;
        if (IsWord(first))
        {
            return Words(text, second);
        }
        if (modern && (first is Kind.Other or Kind.Space or Kind.Mark) && IsWord(next))
        {
            return Words(text, second);
        }
        bool space = text[at] == ' ';
        if (!modern && space && IsWord(next))
        {
            return Words(text, second);
        }
        if (first == Kind.Number || (!modern && space && next == Kind.Number))
        {
            return Digits(text, first == Kind.Number ? at : second);
        }
        if (IsOther(first) || (space && IsOther(next)))
        {
            return Others(text, second);
        }
        return Spaces(text, at);
    }

    private bool IsWord(Kind kind) => (word >> (int)kind & 1) != 0;

    // Neither white, nor a number, nor a part of a word.
    private bool IsOther(Kind kind) => kind is Kind.Other or Kind.Mark && !IsWord(kind);

    // 's 't 're 've 'm 'll 'd after the apostrophe: its length, 0 where it is none.
    private int Contraction(ReadOnlySpan<byte> text)
    {
        if (text.Length == 0)
        {
            return 0;
        }
        if (modern && text.StartsWith("ſ"u8))
        {
            return 2; // the long s is an s to a comparison without case
        }
        byte a = Letter(text[0]), b = text.Length > 1 ? Letter(text[1]) : (byte)0;
        return a is (byte)'s' or (byte)'t' or (byte)'m' or (byte)'d' ? 1
            : (a is (byte)'r' or (byte)'v' && b == 'e') || (a == 'l' && b == 'l') ? 2
            : 0;
    }

    private byte Letter(byte b) => modern && b is >= (byte)'A' and <= (byte)'Z' ? (byte)(b | 0x20) : b;

    private int Words(ReadOnlySpan<byte> text, int at)
    {
        while (at < text.Length && IsWord(At(text, at, out int length)))
        {
            at += length;
        }
        return at;
    }

    private int Digits(ReadOnlySpan<byte> text, int at)
    {
        for (int count = 0; count < digits && at < text.Length && At(text, at, out int length) == Kind.Number; count++)
        {
            at += length;
        }
        return at;
    }

    private int Others(ReadOnlySpan<byte> text, int at)
    {
        while (at < text.Length && IsOther(At(text, at, out int length)))
        {
            at += length;
        }
        while (modern && at < text.Length && text[at] is (byte)'\r' or (byte)'\n')
        {
            at++;
        }
        return at;
    }

    // Up to the last end of line, or all, but for the last white space before a word.
    private int Spaces(ReadOnlySpan<byte> text, int start)
    {
        int at = start, last = start, lineEnd = -1;
        while (at < text.Length && At(text, at, out int length) is var kind and (Kind.Space or Kind.LineEnd))
        {
            last = at;
            at += length;
            lineEnd = kind == Kind.LineEnd ? at : lineEnd;
        }
        return modern && lineEnd > 0 ? lineEnd : at == text.Length || last == start ? at : last;
    }

    private static Kind At(ReadOnlySpan<byte> text, int at, out int length)
    {
        byte b = text[at];
        if (b < 0x80)
        {
            length = 1;
            return (Kind)AsciiKinds[b];
        }
        return KindOf(CodePoint.At(text, at, out length));
    }

    private static Kind KindOf(int c)
    {
        if (c is '\r' or '\n')
        {
            return Kind.LineEnd;
        }
        if (CodePoint.IsWhiteSpace(c))
        {
            return Kind.Space;
        }
        uint category = CodePoint.Category(c);
        return (category & CodePoint.Letters) != 0 ? Kind.Letter
            : (category & CodePoint.Numbers) != 0 ? Kind.Number
            : (category & CodePoint.Marks) != 0 ? Kind.Mark
            : Kind.Other;
    }
}
