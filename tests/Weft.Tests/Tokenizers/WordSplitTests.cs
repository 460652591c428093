using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Weft.Models.Tokenizers;

namespace Weft.Tests.Tokenizers;

/// <summary>The scanners of well-known expressions against the project's own engine and against .NET's.</summary>
public sealed class WordSplitTests
{
    // What the expressions tell apart, close to each other so that random texts meet every case.
    private static readonly string[] Pieces =
    [
        "a", "B", "é", "東", "Ж", "s", "t", "re", "ve", "m", "ll", "d", "'", "'s", "'S", "'LL", "'Re", "1", "23", "Ⅷ", "½", "४", " ", "  ", "\t", "\n", "\r\n",
        "\u00A0", "\u2003", "\u0085", "\v", ".", ",", "!?", "_", "-", "—", "€", "\u0301", "\u0e48", "\u200d", "\u0000", "'ve", "x'", "()",
    ];

    // Past U+FFFF .NET's engine sees halves of pairs, and it takes the long s for no s.
    private static readonly string[] OnlyOurs = ["𝐀", "😀", "𝟘", "𐐀", "'ſ", "ſ", "\U000E0100"];

    public static TheoryData<string> Patterns => [.. WordSplit.Patterns];

    [Theory]
    [MemberData(nameof(Patterns))]
    public void ScannersFindWhatTheExpressionsDo(string pattern)
    {
        var regex = new TextRegex(pattern);
        var other = new Regex(pattern, RegexOptions.CultureInvariant);
        var random = new Random(1);
        for (int round = 0; round < 6000; round++)
        {
            bool ours = round % 3 == 0;
            string[] pieces = ours ? [.. Pieces, .. OnlyOurs, .. OnlyOurs] : Pieces;
            string text = string.Concat(Enumerable.Range(0, random.Next(1, 24)).Select(_ => pieces[random.Next(pieces.Length)]));
            string[] scanned = Parts(text, new KnownMatcher(WordSplit.Of(pattern)!));
            Assert.Equal(Parts(text, new RegexMatcher(regex)), scanned);
            if (!ours)
            {
                Assert.Equal(other.Matches(text).Select(m => m.Value), scanned);
            }
        }
    }

    [Theory]
    [InlineData(@"\p{N}{1,3}")]
    [InlineData(@"[一-龥぀-ゟ゠-ヿ]+")]
    [InlineData("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")]
    [InlineData(@"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s+(?!\S)|\s+")]
    [InlineData(@"(?<=\s)\p{L}+|(?<!a)b|\d+(?=\.)|[^\S\n]{2,}?|x*?y")]
    [InlineData(@"(?>\p{L}+)s|[a-d\d&&[^b]]|^\s|.$")]
    public void ExpressionsMatchAsDotNets(string pattern)
    {
        var regex = new TextRegex(pattern);
        // Oniguruma's ^ and $ are of lines, and it intersects classes.
        var other = new Regex(pattern.Replace("[a-d\\d&&[^b]]", "[acd\\d]", StringComparison.Ordinal), RegexOptions.CultureInvariant | RegexOptions.Multiline);
        var random = new Random(2);
        for (int round = 0; round < 3000; round++)
        {
            string text = string.Concat(Enumerable.Range(0, random.Next(1, 24)).Select(_ => Pieces[random.Next(Pieces.Length)]));
            Assert.Equal(other.Matches(text).Select(m => m.Value), Matches(text, regex));
        }
    }

    /// <summary>A pattern, and for each text the starts and ends of its matches in bytes, found by Oniguruma 6.9.8.</summary>
    public sealed record Searched(string Pattern, JsonElement[][] Cases);

    [Fact]
    public void ExpressionsMatchAsOnigurumas()
    {
        byte[] file = File.ReadAllBytes(FixtureFiles.At("tokenizers", "oniguruma.json"));
        foreach (Searched searched in JsonSerializer.Deserialize<Searched[]>(file, JsonSerializerOptions.Web)!)
        {
            var regex = new TextRegex(searched.Pattern);
            foreach (JsonElement[] c in searched.Cases)
            {
                var parts = new Store<Piece>();
                regex.Split(Encoding.UTF8.GetBytes(c[0].GetString()!), 0, new RegexState(), parts);
                Assert.Equal(
                    (searched.Pattern, string.Join(' ', c[1..])),
                    (searched.Pattern, string.Join(' ', parts.Span.ToArray().Where(p => p.IsMatch).Select(p => $"{p.Start} {p.Start + p.Length}"))));
            }
        }
    }

    // Possessive quantifiers, which .NET has not, are atomic groups.
    [Fact]
    public void PossessiveQuantifiersAreAtomicGroups()
    {
        var possessive = new TextRegex(@"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+");
        var atomic = new Regex(@"'(?i:[sdmt]|ll|ve|re)|(?>[^\r\n\p{L}\p{N}]?)\p{L}+|\p{N}{1,3}| ?(?>[^\s\p{L}\p{N}]+)[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+", RegexOptions.CultureInvariant);
        var random = new Random(3);
        for (int round = 0; round < 3000; round++)
        {
            string text = string.Concat(Enumerable.Range(0, random.Next(1, 24)).Select(_ => Pieces[random.Next(Pieces.Length)]));
            Assert.Equal(atomic.Matches(text).Select(m => m.Value), Matches(text, possessive));
        }
    }

    [Theory]
    [InlineData("(", "a group is not closed")]
    [InlineData("[a", "a class [ is not closed")]
    [InlineData("a)", "')' closes nothing")]
    [InlineData(@"(a)\1", @"'\1' is not taken")]
    [InlineData("(?<n>a)", "named groups are not taken")]
    [InlineData(@"\p{Klingon}", "the property 'Klingon' is unknown")]
    [InlineData("(a*)*", "what may be empty is repeated without end")]
    [InlineData("*a", "a quantifier has nothing to repeat")]
    [InlineData("[[:alpha:]]", "[:name:]")]
    [InlineData("(?<=a+)b", "no fixed length")]
    [InlineData("a{3,1}", "an interval")]
    [InlineData("(((a{900}){900}){900}){900}", "steps")]
    [InlineData(@"a\", "it ends with")]
    [InlineData("(?m)a", "only (?i)")]
    public void ExpressionsThatAreNotTakenAreRefused(string pattern, string says) => Refused.With(() => new TextRegex(pattern), says);

    [Fact]
    public void DeepGroupsAreRefused() => Refused.With(() => new TextRegex(new string('(', 5000)), "deep");

    // Backtracking alone would take years for the first two, and hours for the third.
    [Theory]
    [InlineData("(a+)+b")]
    [InlineData("(a|a)*c|(a|aa)+$b")]
    [InlineData(@"a*[\r\n]|a*b")]
    [InlineData(@"(?=a+b)a|(?!a+c)b")]
    public void ExpressionsThatBacktrackEndSoon(string pattern)
    {
        var state = new RegexState();
        var parts = new Store<Piece>();
        byte[] text = Encoding.UTF8.GetBytes(new string('a', 100_000));
        new TextRegex(pattern).Split(text, 0, state, parts);
        Assert.Equal(text.Length, parts.Span.ToArray().Sum(p => p.Length));
        Assert.InRange(state.Steps, 0, 100L * text.Length);
    }

    // An assertion that succeeds far away each time is work that no memory of failures saves.
    [Fact]
    public void AssertionsThatReachFarAgainAndAgainAreRefused()
    {
        byte[] text = Encoding.UTF8.GetBytes(new string('a', 100_000) + "b");
        Refused.With(() => new TextRegex("a(?=a*b)").Split(text, 0, new RegexState(), new Store<Piece>()), "too many steps");
    }

    private static string[] Parts(string text, Matcher matcher)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        var parts = new Store<Piece>();
        matcher.Split(utf8, 0, new Scratch(), parts);
        return [.. parts.Span.ToArray().Select(p => Encoding.UTF8.GetString(utf8, p.Start, p.Length))];
    }

    private static string[] Matches(string text, TextRegex regex)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        var parts = new Store<Piece>();
        regex.Split(utf8, 0, new RegexState(), parts);
        return [.. parts.Span.ToArray().Where(p => p.IsMatch).Select(p => Encoding.UTF8.GetString(utf8, p.Start, p.Length))];
    }
}
