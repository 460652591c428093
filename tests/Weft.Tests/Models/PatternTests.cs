using System.Text;
using System.Text.Json;
using Weft.Models;
using Weft.Tensors;

namespace Weft.Tests.Models;

public class PatternTests
{
    private static readonly string[] Known = ["attention", "mamba2", "gated-deltanet", "swiglu"];

    /// <summary>Text, the blocks it means (one a space), and the text written for them.</summary>
    public static TheoryData<string, string, string> Texts => new()
    {
        { "a", "a", "a" },
        { " \t a\n b ", "a b", "a b" },
        { "mamba2*3", "mamba2 mamba2 mamba2", "mamba2*3" },
        { "3*mamba2", "mamba2 mamba2 mamba2", "mamba2*3" },
        { "3 * mamba2 x", "mamba2 mamba2 mamba2 x", "3*mamba2 x" },
        { "aa * 2 3 * bb", "aa aa bb bb bb", "2*aa 3*bb" },
        { "2*(aa bb)*2", "aa bb aa bb aa bb aa bb", "(aa bb)*4" },
        { "(3*mm at)*2", "mm mm mm at mm mm mm at", "(3*mm at)*2" },
        { "3*(mm)at(mm)mm*2 at", "mm mm mm at mm mm mm at", "(3*mm at)*2" },
        { "((aa))", "aa", "aa" },
        { "aa aa bb aa bb aa bb", "aa aa bb aa bb aa bb", "aa (aa bb)*3" },
        { "mm at 2*mm at 2*mm at mm", "mm at mm mm at mm mm at mm", "(mm at mm)*3" },
        { "((aa*2 bb)*2 cc)*2", "aa aa bb aa aa bb cc aa aa bb aa aa bb cc", "((2*aa bb)*2 cc)*2" },
        { "a[ x = 1 ,flag ]", "a[flag,x=1]", "a[flag, x=1]" },
        { "a[x=-1.5e+3]b", "a[x=-1.5e+3] b", "a[x=-1.5e+3] b" },
        { "a[on=true] a[on] a[on=false]", "a[on] a[on] a[on=false]", "2*a[on] a[on=false]" },
        { "2*(attention[window=256, heads=8] swiglu)",
            "attention[heads=8,window=256] swiglu attention[heads=8,window=256] swiglu",
            "(attention[heads=8, window=256] swiglu)*2" },
    };

    [Theory]
    [MemberData(nameof(Texts))]
    public void ReadsAndFolds(string text, string blocks, string folded)
    {
        Pattern pattern = Pattern.Parse(text);
        Assert.Equal(blocks.Split(' '), pattern.Select(b => b.ToString().Replace(", ", ",", StringComparison.Ordinal)));
        Assert.Equal(folded, pattern.ToString());
        Assert.Equal(pattern, Pattern.Parse(pattern.ToString()));
    }

    /// <summary>Text, and what the message says after "pattern 'text': ".</summary>
    public static TheoryData<string, string> Refused => new()
    {
        { "", "holds no block; write for example (3*mamba2 attention)*4" },
        { "  ", "holds no block; write for example (3*mamba2 attention)*4" },
        { "(3*mamba2 attention*4", "'(' at 1 is never closed; add ')'" },
        { "mamba2 (attention (swiglu)", "'(' at 8 is never closed; add ')'" },
        { "mamba2)*4", "')' at 7 closes nothing; remove it or add '('" },
        { "mamba2 ()", "'(' at 8 holds no block; put a block's name in it" },
        { "3 mamba2", "count 3 at 1 repeats nothing; write 3*name or name*3" },
        { "mamba2 3", "count 3 at 8 repeats nothing; write 3*name or name*3" },
        { "3mamba2", "count 3 at 1 runs into 'm'; put '*' or a space between" },
        { "mamba2*3x", "count 3 at 8 runs into 'x'; put '*' or a space between" },
        { "mamba2*", "'*' at 7 needs a count after it, such as *4" },
        { "mamba2*attention", "'*' at 7 needs a count after it, such as *4" },
        { "mamba2*-1", "'*' at 7 needs a count after it, such as *4" },
        { "mamba2*2*3", "'*' at 9 stands where a block must; write 3*name or name*3" },
        { "2*3*mamba2", "'3' at 3 cannot begin a block; write a name, a count or '('" },
        { "3*", "ends where a block must follow; add a block's name" },
        { "(3*)", "')' at 4 stands where a block must; put a block's name before it" },
        { "mamba2*0", "the count at 8 must be from 1 to 4096" },
        { "99999999999999999999*mamba2", "the count at 1 must be from 1 to 4096" },
        { "4096*mamba2*4096", "16777216 blocks by the item at 1; at most 4096" },
        { "swiglu mamba2*4096", "4097 blocks by the item at 8; at most 4096" },
        { "((mamba2*64)*64)*2", "8192 blocks by the item at 1; at most 4096" },
        { "mamba2, attention", "',' at 7 does not separate blocks; use a space" },
        { "mamba2+attention", "'+' at 7 would join parallel branches, which are not supported; write the blocks one after another" },
        { "mamba2 é", "'é' at 8 cannot begin a block; write a name, a count or '('" },
        { "mamba2 \0", "U+0000 at 8 cannot begin a block; write a name, a count or '('" },
        { "[heads=8]", "'[' at 1 follows no block's name; write name[key=value]" },
        { "(mamba2)[heads=8]", "'[' at 9 follows no block's name; write name[key=value]" },
        { "mamba2]", "']' at 7 closes nothing; remove it or add '['" },
        { "attention[heads=8", "'[' at 10 is never closed; add ']'" },
        { "attention[", "'[' at 10 is never closed; add ']'" },
        { "attention[]", "']' at 11 is not part of an option; write [key=value, key]" },
        { "attention[heads=8,]", "']' at 19 is not part of an option; write [key=value, key]" },
        { "attention[=8]", "'=' at 11 is not part of an option; write [key=value, key]" },
        { "attention[heads 8]", "'8' at 17 is not part of an option; write [key=value, key]" },
        { "attention[heads=]", "option 'heads' at 11 has no value after '='; write heads=value" },
        { "attention[heads=8, heads=4]", "option 'heads' at 20 is given twice; keep one" },
        { "attention[8=heads]", "'8' at 11 cannot name an option; start with a letter, and not 'block'" },
        { "attention[block=1]", "'block' at 11 cannot name an option; start with a letter, and not 'block'" },
        { "attention mambo2", "unknown block 'mambo2' at 11; nearest: mamba2" },
        { "2*deltanet", "unknown block 'deltanet' at 3; nearest: gated-deltanet" },
        { "zzz", "unknown block 'zzz' at 1; known: attention, gated-deltanet, mamba2, swiglu" },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public void SaysWhatIsWrongAndWhere(string text, string message)
    {
        var error = Assert.Throws<InputException>(() => Pattern.Parse(text, Known));
        Assert.Equal($"pattern '{text.Replace('\0', '?')}': {message}", error.Message);
    }

    [Fact]
    public void LimitsDepth()
    {
        string Nested(int depth) => new string('(', depth) + "a" + new string(')', depth);
        Assert.Single(Pattern.Parse(Nested(Pattern.MaxDepth)));
        var error = Assert.Throws<InputException>(() => Pattern.Parse(Nested(100_000)));
        Assert.Contains("'(' at 33 is nested deeper than 32; write it flatter", error.Message, StringComparison.Ordinal);
        Assert.True(error.Message.Length < 200);
    }

    [Fact]
    public void LimitsWordsAndOptions()
    {
        string word = new('a', 64);
        Assert.Equal(word, Pattern.Parse(word)[0].Name);
        Assert.Throws<InputException>(() => Pattern.Parse(word + "a"));
        Assert.Throws<InputException>(() => Pattern.Parse($"a[{word}a]"));
        string Options(int n) => $"a[{string.Join(',', Enumerable.Range(0, n).Select(i => $"o{i}"))}]";
        Assert.Equal(BlockSpec.MaxOptions, Pattern.Parse(Options(BlockSpec.MaxOptions))[0].Options.Count);
        Assert.Throws<InputException>(() => Pattern.Parse(Options(BlockSpec.MaxOptions + 1)));
    }

    /// <summary>A long pattern and the text written for it, past the size that is searched exactly.</summary>
    [Theory]
    [InlineData("aa*4096", "aa*4096")]
    [InlineData("(aa bb)*2048", "(aa bb)*2048")]
    [InlineData("(3*aa bb)*1000 cc", "(3*aa bb)*1000 cc")]
    [InlineData("cc ((3*aa bb)*2 dd)*400 2*cc", "cc ((3*aa bb)*2 dd)*400 2*cc")]
    [InlineData("((3*aa bb 4*aa)*4 dd)*100", "(3*aa (bb 7*aa)*3 bb 4*aa dd)*100")]
    [InlineData("(3*aa bb 4*aa)*4 dd", "(3*aa bb 4*aa)*4 dd")]
    public void FoldsLongPatterns(string text, string folded)
    {
        Pattern pattern = Pattern.Parse(text);
        Assert.Equal(folded, pattern.ToString());
    }

    [Fact]
    public void RandomPatternsReadBack()
    {
        var random = new Random(20);
        for (int round = 0; round < 400; round++)
        {
            Pattern pattern = Pattern.Parse(RandomPattern(random, depth: 3));
            string text = pattern.ToString();
            Assert.Equal(pattern, Pattern.Parse(text));
            Assert.True(text.Length <= string.Join(' ', pattern).Length);
        }
    }

    [Theory]
    [InlineData(257)]
    [InlineData(2000)]
    [InlineData(4096)]
    public void LongRandomListsReadBack(int count)
    {
        var random = new Random(count);
        var pattern = new Pattern(Enumerable.Range(0, count).Select(_ => new BlockSpec(random.Next(2) == 0 ? "aa" : "bb")));
        Assert.Equal(pattern, Pattern.Parse(pattern.ToString()));
    }

    [Fact]
    public void NoTextDoesWorseThanARefusal()
    {
        const string Letters = "((()))[[]],,==**  ab19-_.+é\n\0\ud800";
        var random = new Random(7);
        for (int round = 0; round < 30_000; round++)
        {
            var text = new StringBuilder();
            for (int n = random.Next(24); n >= 0; n--)
            {
                text.Append(random.Next(8) == 0 ? "4096" : Letters[random.Next(Letters.Length)].ToString());
            }
            Check(text.ToString());
        }
        for (int round = 0; round < 3_000; round++)
        {
            var text = new StringBuilder(RandomPattern(random, depth: 2));
            text[random.Next(text.Length)] = Letters[random.Next(Letters.Length)];
            Check(text.ToString());
        }

        static void Check(string text)
        {
            try
            {
                Pattern pattern = Pattern.Parse(text);
                Assert.InRange(pattern.Count, 1, Pattern.MaxBlocks);
            }
            catch (InputException e)
            {
                Assert.DoesNotContain(e.Message, char.IsControl);
                Assert.InRange(e.Message.Length, 1, 300);
            }
        }
    }

    [Fact]
    public void BlocksReadBackFromJson()
    {
        var random = new Random(3);
        for (int round = 0; round < 200; round++)
        {
            foreach (BlockSpec block in Pattern.Parse(RandomPattern(random, depth: 1)))
            {
                using var stream = new MemoryStream();
                using (var writer = new Utf8JsonWriter(stream))
                {
                    block.WriteTo(writer);
                }
                using JsonDocument json = JsonDocument.Parse(stream.ToArray());
                Assert.Equal(block, BlockSpec.Read(json.RootElement));
            }
        }
    }

    /// <summary>JSON, and the block's text or (from '!') the message.</summary>
    [Theory]
    [InlineData("\"mamba2\"", "mamba2")]
    [InlineData("\"attention[heads=8]\"", "attention[heads=8]")]
    [InlineData("""{"window": 256, "block": "attention", "heads": 8}""", "attention[heads=8, window=256]")]
    [InlineData("""{"block": "a", "on": true, "off": false, "rate": 1e-5, "kind": "x"}""", "a[kind=x, off=false, on, rate=1e-5]")]
    [InlineData("\"a b\"", "!'a b' is 2 blocks; give one, or use \"pattern\"")]
    [InlineData("7", "!a block is a name or an object such as {\"block\": \"attention\", \"heads\": 8}")]
    [InlineData("""{"heads": 8}""", "!key \"block\" is missing; it holds the block's name")]
    [InlineData("""{"block": 8}""", "!\"block\" must be given once, as a string: the block's name")]
    [InlineData("""{"block": "a", "block": "b"}""", "!\"block\" must be given once, as a string: the block's name")]
    [InlineData("""{"block": "a", "x": null}""", "!option 'x' must be a number, a string, true or false")]
    [InlineData("""{"block": "a", "x": 1, "x": 2}""", "!block 'a': option 'x' is given twice; keep one")]
    [InlineData("""{"block": "a", "x": "1 2"}""", "!block 'a': x='1 2' is no value; use up to 64 letters, digits, '.', '-', '+', '_'")]
    [InlineData("""{"block": "a", "x y": 1}""", "!block 'a': 'x y' cannot name an option; use letters, digits, '-' and '_'")]
    [InlineData("""{"block": "2a"}""", "!block name '2a' is not a name; use letters, digits, '-' and '_', a letter first")]
    public void ReadsBlocksFromJson(string json, string expected)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        if (expected[0] == '!')
        {
            Assert.Equal(expected[1..], Assert.Throws<InputException>(() => BlockSpec.Read(document.RootElement)).Message);
            return;
        }
        Assert.Equal(expected, BlockSpec.Read(document.RootElement).ToString());
    }

    [Fact]
    public void BlocksCompareByValue()
    {
        var one = new BlockSpec("a", new BlockOption("x", "1"), new BlockOption("y", "2"));
        var same = new BlockSpec("a", new BlockOption("y", "2"), new BlockOption("x", "1"));
        Assert.Equal(one, same);
        Assert.Equal(one.GetHashCode(), same.GetHashCode());
        Assert.NotEqual(one, new BlockSpec("a", new BlockOption("x", "1")));
        Assert.NotEqual(one, new BlockSpec("b", one.Options));
        Assert.Equal("2", one.Find("y"));
        Assert.Null(one.Find("z"));
        Assert.Equal(new Pattern(one, one).GetHashCode(), new Pattern(same, same).GetHashCode());
    }

    [Fact]
    public void OptionsAreReadOnce()
    {
        BlockSpec spec = Pattern.Parse("attention[heads=4, scale=0.5, causal, kind=full]")[0];
        var options = new BlockOptions(spec, 3);
        Assert.Equal(4, options.Int("heads", 8, 1, 64));
        Assert.Equal(64, options.Int("window", 64, 1, 4096));
        Assert.Equal(0.5, options.Real("scale", 1, 0, 1));
        Assert.Equal(1e-5, options.Real("epsilon", 1e-5, 0, 1));
        Assert.True(options.Flag("causal", false));
        Assert.True(options.Flag("rope", true));
        Assert.Equal("full", options.Choice("kind", "full", "full", "sparse"));
        Assert.True(options.IsGiven("heads"));
        Assert.False(options.IsGiven("window"));
        BlockSpec whole = options.Done();
        Assert.Equal("attention[causal, epsilon=1E-05, heads=4, kind=full, rope, scale=0.5, window=64]", whole.ToString());
        Assert.Equal(whole, Pattern.Parse(whole.ToString())[0]);
    }

    /// <summary>An option given to block 3, and the message.</summary>
    [Theory]
    [InlineData("heads=0", "heads=0 is not a whole number from 1 to 64")]
    [InlineData("heads=65", "heads=65 is not a whole number from 1 to 64")]
    [InlineData("heads=99999999999", "heads=99999999999 is not a whole number from 1 to 64")]
    [InlineData("heads=8.0", "heads=8.0 is not a whole number from 1 to 64")]
    [InlineData("heads", "heads=true is not a whole number from 1 to 64")]
    [InlineData("scale=nan", "scale=nan is not a number from 0 to 1.5")]
    [InlineData("scale=1e999", "scale=1e999 is not a number from 0 to 1.5")]
    [InlineData("scale=2", "scale=2 is not a number from 0 to 1.5")]
    [InlineData("rope=1", "rope=1 is neither true nor false")]
    [InlineData("kind=ful", "kind=ful is not one of full, sparse")]
    [InlineData("head=8", "unknown option 'head'; nearest: heads")]
    [InlineData("zzzz=8", "unknown option 'zzzz'; known: heads, kind, rope, scale")]
    [InlineData("heads=7", "heads=7 does not divide width 256; heads that do: 1, 2, 4, 8")]
    [InlineData("scale=1", "heads=8 (the default) goes with scale below 1")]
    public void RefusesOptions(string option, string message)
    {
        var error = Assert.Throws<InputException>(() =>
        {
            var options = new BlockOptions(Pattern.Parse($"attention[{option}]")[0], 3);
            int heads = options.Int("heads", 8, 1, 64);
            double scale = options.Real("scale", 0.5, 0, 1.5);
            options.Flag("rope", true);
            options.Choice("kind", "full", "full", "sparse");
            options.Done();
            if (256 % heads != 0)
            {
                throw options.Refuse("heads", "does not divide width 256; heads that do: 1, 2, 4, 8");
            }
            if (scale >= 1)
            {
                throw options.Refuse("heads", "goes with scale below 1");
            }
        });
        Assert.Equal($"block 3 'attention': {message}", error.Message);
    }

    [Fact]
    public void ABlockWithoutOptionsSaysSo()
    {
        var options = new BlockOptions(Pattern.Parse("swiglu[x]")[0], 0);
        Assert.Equal("block 0 'swiglu': unknown option 'x'; this block takes none", Assert.Throws<InputException>(options.Done).Message);
    }

    [Theory]
    [InlineData("mambo2", "mamba2")]
    [InlineData("Mamba2", "mamba2")]
    [InlineData("mamab2", "mamba2")]
    [InlineData("mam", "mamba2")]
    [InlineData("attentoin", "attention")]
    [InlineData("deltanet", "gated-deltanet")]
    [InlineData("gated", "gated-deltanet")]
    [InlineData("xyz", "")]
    [InlineData("", "")]
    public void FindsNearNames(string text, string expected)
    {
        Assert.Equal(expected, string.Join(' ', NearestNames.Of(text, Known)));
    }

    [Fact]
    public void NearNamesAreOrderedAndFew()
    {
        string[] names = ["abcde", "abcd", "abxd", "abcdefghij"];
        Assert.Equal(["abcd", "abcde", "abcdefghij"], NearestNames.Of("abcd", names));
        Assert.Equal(["abcd"], NearestNames.Of("abcd", names, 1));
        Assert.Empty(NearestNames.Of(new string('z', 1_000_000), names));
    }

    private static string RandomPattern(Random random, int depth)
    {
        var text = new StringBuilder();
        for (int n = random.Next(1, 4); n > 0; n--)
        {
            text.Append(text.Length > 0 ? " " : "");
            text.Append(random.Next(4) == 0 ? $"{random.Next(1, 4)}*" : "");
            text.Append(depth > 0 && random.Next(3) == 0 ? $"({RandomPattern(random, depth - 1)})" : RandomBlock(random));
            text.Append(random.Next(4) == 0 ? $" * {random.Next(1, 5)}" : "");
        }
        return text.ToString();
    }

    private static string RandomBlock(Random random)
    {
        string[] options = ["heads=8", "window=256", "on", "off=false", "rate=1e-5", "low=-.5", "code=007", "name=x+y"];
        string name = Known[random.Next(Known.Length)];
        return random.Next(3) > 0 ? name : $"{name}[{string.Join(", ", random.GetItems(options, 3).Distinct())}]";
    }
}
