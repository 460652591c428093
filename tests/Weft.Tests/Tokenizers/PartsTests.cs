using System.Text;
using System.Text.Json.Nodes;
using Weft.Models.Tokenizers;

namespace Weft.Tests.Tokenizers;

/// <summary>The parts of the format one by one, as the reference's sources define them.</summary>
public sealed class PartsTests
{
    private const string ByteLevel = """{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}""";

    [Theory]
    [InlineData("Removed", "a-b--c", "a b c")]
    [InlineData("Isolated", "a-b--c", "a - b - - c")]
    [InlineData("MergedWithPrevious", "a-b--c-", "a- b- - c-")]
    [InlineData("MergedWithNext", "-a-b--c", "-a -b - -c")]
    [InlineData("Contiguous", "a-b--c", "a - b -- c")]
    public void SplitsKeepTheirMatchesAsTold(string behavior, string text, string words)
    {
        string[] expected = words.Split(' ');
        foreach (string pattern in new[] { """{"String":"-"}""", """{"Regex":"-"}""" })
        {
            Assert.Equal(expected, TokenizerFiles.Split(text, expected, $$"""{"type":"Split","pattern":{{pattern}},"behavior":"{{behavior}}","invert":false}"""));
        }
        Assert.Equal(expected, TokenizerFiles.Split(text, expected, $$"""{"type":"Punctuation","behavior":"{{behavior}}"}"""));
        if (behavior is "Removed" or "Contiguous")
        {
            Assert.Equal(expected, TokenizerFiles.Split(text, expected, $$"""{"type":"Split","pattern":{"Regex":"[^-]"},"behavior":"{{behavior}}","invert":true}"""));
        }
    }

    [Theory]
    [InlineData("""{"type":"Digits","individual_digits":true}""", "ab12½c", "ab|1|2|½|c")]
    [InlineData("""{"type":"Digits","individual_digits":false}""", "ab12½c", "ab|12½|c")]
    [InlineData("""{"type":"Punctuation"}""", "Hey, you!? $5", "Hey|,| you|!|?| |$|5")]
    [InlineData("""{"type":"Whitespace"}""", "Hey man!  How_a're-", "Hey|man|!|How_a|'|re|-")]
    [InlineData("""{"type":"WhitespaceSplit"}""", " Hey  man!\n", "Hey|man!")]
    [InlineData("""{"type":"CharDelimiterSplit","delimiter":"é"}""", "aébé", "a|b")]
    [InlineData("""{"type":"FixedLength","length":2}""", "aébé!", "aé|bé|!")]
    [InlineData("""{"type":"BertPreTokenizer"}""", "Hey friend!  How", "Hey|friend|!|How")]
    [InlineData("""{"type":"Split","pattern":{"String":""},"behavior":"Isolated","invert":false}""", "aéb", "a|é|b")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}""", "Hey   f", "▁Hey|▁|▁|▁f")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":true}""", "Hey f", "Hey|▁f")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":false}""", "Hey f", "▁Hey▁f")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","add_prefix_space":false}""", "Hey f", "Hey|▁f")]
    [InlineData("""{"type":"ByteLevel","add_prefix_space":true,"use_regex":true}""", "Hey é", "ĠHey|ĠÃ©")]
    [InlineData("""{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}""", "Hey é", "HeyĠÃ©")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Digits","individual_digits":false}]}""", "a1 b", "a|1|b")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},{"type":"Digits","individual_digits":true}]}""", "a 12²", "a|Ġ|1|2|Â|²")]
    public void SplitsAreTheReferences(string preTokenizer, string text, string words) =>
        Assert.Equal(words.Split('|'), TokenizerFiles.Split(text, words.Split('|'), preTokenizer));

    [Theory]
    [InlineData("""{"type":"Lowercase"}""", "ÀΣİ", "àσi\u0307")]
    [InlineData("""{"type":"Sequence","normalizers":[{"type":"NFD"},{"type":"StripAccents"}]}""", "Ünïcödé", "Unicode")]
    [InlineData("""{"type":"Strip","strip_left":true,"strip_right":false}""", " \u2003a ", "a ")]
    [InlineData("""{"type":"Strip","strip_left":true,"strip_right":true}""", " \u2003a ", "a")]
    [InlineData("""{"type":"Prepend","prepend":"▁"}""", "a", "▁a")]
    [InlineData("""{"type":"Replace","pattern":{"Regex":"\\s+"},"content":"_"}""", "a  b c", "a_b_c")]
    [InlineData("""{"type":"Replace","pattern":{"String":"''"},"content":"\""}""", "a''b", "a\"b")]
    [InlineData("""{"type":"Nmt"}""", "a\u0001\tb\u200b▁c", "a b  c")]
    [InlineData("""{"type":"NFKC"}""", "ﬁ ½ ｗ", "fi 1⁄2 w")]
    [InlineData("""{"type":"NFKD"}""", "é\u00a0", "e\u0301 ")]
    [InlineData("""{"type":"NFC"}""", "e\u0301\u0327 각", "\u0229\u0301 각")]
    [InlineData("""{"type":"ByteLevel"}""", "é ", "Ã©Ġ")]
    [InlineData("""{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}""", "Hé\u0000\t東", "he  東 ")]
    public void NormalizersAreTheReferences(string normalizer, string text, string expected) =>
        Assert.Equal([expected], TokenizerFiles.Split(text, [expected], normalizer: normalizer));

    // A trie by hand: "a" becomes "xy" and "é" becomes nothing; the cluster e + acute has no rule.
    [Fact]
    public void CompiledMapsReplaceClustersAndCharacters()
    {
        var units = new uint[512];
        void Set(int at, byte label, bool leaf, int offset) => units[at] = label | (leaf ? 1u << 8 : 0) | ((uint)offset << 10);
        // Offsets are exclusive-or: the root's children lie at 256 ^ label, a leaf's value at its node ^ its offset.
        Set(0, 0, false, 256);
        Set(256 ^ 'a', (byte)'a', true, 1);
        units[256 ^ 'a' ^ 1] = 0x80000000 | 0;
        Set(256 ^ 0xC3, 0xC3, false, 2);
        int second = 256 ^ 0xC3 ^ 2 ^ 0xA9;
        Set(second, 0xA9, true, 4);
        units[second ^ 4] = 0x80000000 | 3;
        byte[] map = [.. BitConverter.GetBytes(units.Length * 4), .. units.SelectMany(BitConverter.GetBytes), .. "xy\0\0"u8];
        string normalizer = new JsonObject { ["type"] = "Precompiled", ["precompiled_charsmap"] = Convert.ToBase64String(map) }.ToJsonString();
        Assert.Equal(["xyb-e\u0301-xy"], TokenizerFiles.Split("abé-e\u0301-a\u0301", ["xyb-e\u0301-xy"], normalizer: normalizer));
    }

    [Theory]
    [InlineData("lstrip", "a <m>b", "a|<m>|b")]
    [InlineData("rstrip", "a<m> \nb", "a|<m>|b")]
    [InlineData("single_word", "a<m> <m> _<m>", "a<m> |<m>| _<m>")]
    [InlineData("normalized", "A<M>b", "a|<m>|b")]
    public void AddedTokensAreFoundAsTold(string option, string text, string words)
    {
        string added = new JsonArray(new JsonObject { ["id"] = 99, ["content"] = "<m>", ["special"] = false, ["normalized"] = option == "normalized", [option] = true }).ToJsonString();
        Assert.Equal(words.Split('|'), TokenizerFiles.Split(text, words.Split('|'), normalizer: option == "normalized" ? """{"type":"Lowercase"}""" : null, added: added));
    }

    [Fact]
    public void OfAddedTokensTheLongestIsFoundAndNewOnesTakeTheNextIds()
    {
        Tokenizer tokenizer = TokenizerFiles.Words(["a"], added: """[{"id":7,"content":"<m>","special":true,"normalized":false},{"id":8,"content":"<m><n>","special":false,"normalized":false}]""");
        Assert.Equal([1, 3, 2, 2], tokenizer.Encode("a<m><n><m><m>"));
        Assert.Equal(4, tokenizer.VocabularySize);
        Assert.Equal([2], tokenizer.SpecialIds);
        Assert.True(tokenizer.IsSpecial(2));
        Assert.False(tokenizer.IsSpecial(3));
        Assert.Equal("a <m><n>", tokenizer.Decode([1, 3, 2, 77], skipSpecial: true));
        Assert.Equal("a <m>", tokenizer.Decode([1, 2]));
        Assert.Null(tokenizer.TokenOf(4));
        Assert.Null(tokenizer.IdOf("b"));
    }

    // Only the first text of all has a mark with the scheme "first".
    [Fact]
    public void MarksComeBeforeTheFirstTextOnly()
    {
        string[] words = ["▁a", "b", "<m>"];
        string added = """[{"id":0,"content":"<m>","special":true,"normalized":false}]""";
        Assert.Equal(["▁a", "<m>", "b"], TokenizerFiles.Split("a<m>b", words, """{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true}""", added: added));
    }

    [Theory]
    [InlineData("""{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"a","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"b","type_id":0}}],"pair":[],"special_tokens":{"a":{"id":"a","ids":[1,2],"tokens":["a","b"]},"b":{"id":"b","ids":[2],"tokens":["b"]}}}""", "1 2 3 2")]
    [InlineData("""{"type":"BertProcessing","sep":["b",2],"cls":["a",1]}""", "1 3 2")]
    [InlineData("""{"type":"RobertaProcessing","sep":["b",2],"cls":["a",1],"trim_offsets":true,"add_prefix_space":true}""", "1 3 2")]
    [InlineData("""{"type":"Sequence","processors":[{"type":"ByteLevel"},{"type":"BertProcessing","sep":["b",2],"cls":["a",1]}]}""", "1 3 2")]
    [InlineData("""{"type":"ByteLevel","trim_offsets":false}""", "3")]
    public void SpecialTokensStandAroundTheText(string around, string ids)
    {
        Tokenizer tokenizer = TokenizerFiles.Words(["a", "b", "c"], around: around);
        Assert.Equal(ids.Split(' ').Select(int.Parse), tokenizer.Encode("c"));
        Assert.Equal([3], tokenizer.Encode("c", addSpecial: false));
    }

    [Theory]
    [InlineData("""{"type":"Fuse"}""", "▁a|b|▁c", "▁ab▁c")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}""", "▁a▁|▁b", "a b")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":true}""", "▁a|▁b", " a b")]
    [InlineData("""{"type":"WordPiece","prefix":"##","cleanup":true}""", "he|##llo|,|do|##n't|.", "hello, don't.")]
    [InlineData("""{"type":"WordPiece","prefix":"##","cleanup":false}""", "he|##llo|,", "hello ,")]
    [InlineData("""{"type":"BPEDecoder","suffix":"</w>"}""", "he|llo</w>|you</w>", "hello you")]
    [InlineData("""{"type":"Replace","pattern":{"Regex":"[xy]+"},"content":"-"}""", "axy|yb", "a--b")]
    [InlineData("""{"type":"Strip","content":"_","start":1,"stop":2}""", "__a___|_b", "_a_b")]
    [InlineData("""{"type":"ByteFallback"}""", "<0xE4>|<0xB8>|<0xAD>|a|<0xE4>|b|<0x41>|<0xFF>|<0xZZ>", "中a\uFFFDb\uFFFD\uFFFD<0xZZ>")]
    [InlineData("""{"type":"ByteLevel"}""", "Ġa|Ã|©|Ã|x|日|ÿ", " aé\uFFFDx日\uFFFD")]
    [InlineData("""{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":" ","start":2,"stop":1}]}""", " | | a | ", " a ")]
    [InlineData("""{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Replace","pattern":{"String":"ab"},"content":"c"},{"type":"ByteLevel"}]}""", "a|bĠ", "c ")]
    [InlineData(null, "a|b", "a b")]
    public void DecodersAreTheReferences(string? decoder, string tokens, string expected)
    {
        Tokenizer tokenizer = TokenizerFiles.Words(tokens.Split('|'), decoder: decoder);
        int[] ids = [.. tokens.Split('|').Select(t => tokenizer.IdOf(t)!.Value)];
        Assert.Equal(expected, tokenizer.Decode(ids));
        TokenDecoder stream = tokenizer.NewDecoder();
        Assert.Equal(expected, string.Concat(ids.Select(stream.AddText)) + stream.FinishText());
    }

    [Fact]
    public void TextComesOutAsSoonAsItIsCertain()
    {
        Tokenizer tokenizer = TokenizerFiles.Load("llama2-byte-fallback");
        TokenDecoder decoder = tokenizer.NewDecoder();
        string[] tokens = ["▁the", "<0xE4>", "<0xB8>", "<0xAD>", "▁of", "<0xFF>", "<0x41>"];
        Assert.Equal(["the", "", "", "", "中 of", "\uFFFD", "\uFFFD"], tokens.Select(t => decoder.AddText(tokenizer.IdOf(t)!.Value)));
        Assert.Equal("", decoder.FinishText());
    }

    [Theory]
    [InlineData("true", "3 0 4")]
    [InlineData("false", "3 0 0 4")]
    public void UnknownCharactersFuseOrNot(string fuse, string ids)
    {
        Tokenizer tokenizer = TokenizerFiles.Of($$$"""{"model":{"type":"BPE","unk_token":"<unk>","fuse_unk":{{{fuse}}},"vocab":{"<unk>":0,"a":1,"b":2,"ab":3,"c":4},"merges":["a b"]}}""");
        Assert.Equal(ids.Split(' ').Select(int.Parse), tokenizer.Encode("ab東京c"));
        // In a word too long to be looked through at once, parted where no token reaches across.
        Assert.Equal(Enumerable.Repeat(ids.Split(' ').Select(int.Parse), 40).SelectMany(i => i), tokenizer.Encode(string.Concat(Enumerable.Repeat("ab東京c", 40))));
    }

    // The order of the reference: an unknown token is written when the next known character comes.
    [Fact]
    public void UnknownTokensComeAfterTheBytesThatFollowThem()
    {
        Tokenizer tokenizer = TokenizerFiles.Of("""{"model":{"type":"BPE","unk_token":"<unk>","byte_fallback":true,"vocab":{"<unk>":0,"a":1,"<0xC3>":2,"<0xA9>":3},"merges":[]}}""");
        Assert.Equal([2, 3, 0, 1, 0], tokenizer.Encode("東éa東"));
    }

    [Fact]
    public void WordsThatAreTokensNeedNoMergesWhereTold()
    {
        string Json(string ignore) => $$$"""{"pre_tokenizer":{{{ByteLevel}}},"model":{"type":"BPE","ignore_merges":{{{ignore}}},"vocab":{"a":0,"b":1,"c":2,"bc":3,"abc":4,"Ġ":5},"merges":[["b","c"]]}}""";
        Assert.Equal([4], TokenizerFiles.Of(Json("true")).Encode("abc"));
        Assert.Equal([0, 3], TokenizerFiles.Of(Json("false")).Encode("abc"));
        Assert.Equal([0, 3, 5], TokenizerFiles.Of(Json("true")).Encode("abc "));
    }

    [Fact]
    public void AffixesMarkPlacesInWords()
    {
        Tokenizer tokenizer = TokenizerFiles.Of("""
            {"pre_tokenizer":{"type":"WhitespaceSplit"},"model":{"type":"BPE","continuing_subword_prefix":"##","end_of_word_suffix":"</w>",
             "vocab":{"a":0,"##b":1,"##c</w>":2,"ab":3,"a</w>":4,"abc</w>":5},"merges":[["a","##b"],["ab","##c</w>"]]}}
            """);
        Assert.Equal([5, 4], tokenizer.Encode("abc a"));
    }

    [Fact]
    public void WordPieceTakesTheLongestPieces()
    {
        Tokenizer tokenizer = TokenizerFiles.Of("""
            {"pre_tokenizer":{"type":"BertPreTokenizer"},"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":7,
             "vocab":{"[UNK]":0,"un":1,"##aff":2,"##able":3,"u":4,"##é":5}}}
            """);
        Assert.Equal([1, 2, 0, 0, 1, 5], tokenizer.Encode("unaff unaffx unaffable uné"));
    }

    [Fact]
    public void UnigramFallsBackToBytes()
    {
        string bytes = string.Concat(Enumerable.Range(0, 256).Select(b => $",[\"<0x{b:X2}>\",-9]"));
        Tokenizer tokenizer = TokenizerFiles.Of($$$"""{"model":{"type":"Unigram","unk_id":0,"byte_fallback":true,"vocab":[["<unk>",0],["a",-1],["ab",-1.5],["b",-1]{{{bytes}}}]}}""");
        Assert.Equal([2, 1, 4 + 0xC3, 4 + 0xA9], tokenizer.Encode("abaé"));
    }

    [Fact]
    public void ByteTokenizersAreTheirBytes()
    {
        using var file = new MemoryStream();
        Tokenizer.WriteBytes(file);
        Tokenizer tokenizer = Tokenizer.Read(file.ToArray(), "tokenizer.json");
        byte[] all = [.. Enumerable.Range(0, 256).Select(b => (byte)b), .. Encoding.UTF8.GetBytes("東京 and so on"), 0xE6, 0x9D];
        Assert.Equal(all.Select(b => (int)b), tokenizer.Encode(all));
        Assert.Equal(256, tokenizer.VocabularySize);
        Assert.Equal("東 a\n", tokenizer.Decode(tokenizer.Encode("東 a\n")));
        Assert.Equal(Encoding.UTF8.GetString(all), tokenizer.Decode(tokenizer.Encode(all)));
    }
}
