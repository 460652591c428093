namespace Weft.Models.Tokenizers;

/// <summary>A set of code points, as a class of a regular expression gives it.</summary>
internal sealed class CharSet
{
    private readonly List<(int From, int To)> ranges = [];
    private readonly List<CharSet> parts = [];
    private uint categories;
    private CharSet? intersected;
    private ulong ascii0, ascii1;

    /// <summary>Whether the set is everything else.</summary>
    public bool Negated { get; set; }

    /// <summary>Whether code points that differ only in case count as the same.</summary>
    public bool IgnoreCase { get; set; }

    /// <summary>One code point.</summary>
    public static CharSet Of(int c, bool ignoreCase)
    {
        var set = new CharSet { IgnoreCase = ignoreCase };
        set.Add(c, c);
        return set.Sealed();
    }

    /// <summary>The code points of general categories, or all others.</summary>
    public static CharSet OfCategories(uint categories, bool negated = false) => new CharSet { categories = categories, Negated = negated }.Sealed();

    public void Add(int from, int to) => ranges.Add((from, to));

    public void Add(CharSet part) => parts.Add(part);

    /// <summary>Keeps only what the other set holds too, before any negation.</summary>
    public void Intersect(CharSet other) => intersected = other;

    /// <summary>The set, ready to be asked: nothing is added any more.</summary>
    public CharSet Sealed()
    {
        for (int c = 0; c < 64; c++)
        {
            ascii0 |= Find(c) ? 1UL << c : 0;
            ascii1 |= Find(c + 64) ? 1UL << c : 0;
        }
        return this;
    }

    public bool Contains(int c) => c < 64 ? (ascii0 >> c & 1) != 0 : c < 128 ? (ascii1 >> (c - 64) & 1) != 0 : Find(c);

    private bool Find(int c)
    {
        bool found = Holds(c);
        if (!found && IgnoreCase)
        {
            found = Holds(CodePoint.Fold(c)) || Holds(CodePoint.Lower(c)) || Holds(CodePoint.Upper(c))
                || (CodePoint.Fold(c) is var folded && folded is 's' or 'k' or 0xE5 && Holds(folded switch { 's' => 0x17F, 'k' => 0x212A, _ => 0x212B }));
        }
        return found != Negated;
    }

    private bool Holds(int c)
    {
        return (HoldsRange(c) || (categories & CodePoint.Category(c)) != 0 || HoldsPart(c)) && (intersected is null || intersected.Find(c));
    }

    private bool HoldsRange(int c)
    {
        foreach ((int from, int to) in ranges)
        {
            if (c >= from && c <= to)
            {
                return true;
            }
        }
        return false;
    }

    private bool HoldsPart(int c)
    {
        foreach (CharSet part in parts)
        {
            if (part.Find(c))
            {
                return true;
            }
        }
        return false;
    }
}
