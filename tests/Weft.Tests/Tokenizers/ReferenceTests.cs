using System.Buffers;
using System.Text;
using System.Text.Json;
using Weft.Models.Tokenizers;

namespace Weft.Tests.Tokenizers;

/// <summary>What the reference library makes of texts, on every case of every kind.</summary>
public sealed class ReferenceTests
{
    public static TheoryData<string> Kinds => [.. TokenizerFiles.Kinds];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void IdsTokensAndDecodedTextsAreTheReferences(string kind)
    {
        Tokenizer tokenizer = TokenizerFiles.Load(kind);
        foreach (TokenizerFiles.Case c in TokenizerFiles.Cases(kind))
        {
            int[] ids = tokenizer.Encode(c.Text);
            Assert.Equal(c.Ids, ids);
            if (kind != "unigram-metaspace")
            {
                Assert.Equal(c.Tokens, ids.Select(tokenizer.TokenOf));
            }
            Assert.All(c.Ids, id => Assert.Equal(id, tokenizer.IdOf(tokenizer.TokenOf(id)!)));
            Assert.Equal(c.Decoded, tokenizer.Decode(ids));
            Assert.Equal(c.Decoded, Streamed(tokenizer, ids));
        }
    }

    // A unigram's unknown token shows the text that it stands for in the reference's cases.
    [Fact]
    public void UnigramTokensAreTheReferences()
    {
        Tokenizer tokenizer = TokenizerFiles.Load("unigram-metaspace");
        foreach (TokenizerFiles.Case c in TokenizerFiles.Cases("unigram-metaspace"))
        {
            Assert.Equal(c.Tokens.Select(t => tokenizer.IdOf(t) ?? 2), c.Ids);
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void EveryWayToEncodeIsTheSame(string kind)
    {
        Tokenizer tokenizer = TokenizerFiles.Load(kind);
        foreach (TokenizerFiles.Case c in TokenizerFiles.Cases(kind))
        {
            byte[] utf8 = Encoding.UTF8.GetBytes(c.Text);
            var written = new ArrayBufferWriter<int>();
            tokenizer.Encode(utf8, true, written);
            Assert.Equal(c.Ids, written.WrittenSpan.ToArray());
            Assert.Equal(c.Ids, tokenizer.Encode(utf8));
            int[] plain = tokenizer.Encode(utf8, addSpecial: false);
            Assert.Equal(kind == "llama2-byte-fallback" ? c.Ids[1..] : c.Ids, plain);
        }
    }

    // The cache of words, the merges by queue and those by search must not show.
    [Theory]
    [MemberData(nameof(Kinds))]
    public void WholeTextsAreEncodedAsTheirPartsAre(string kind)
    {
        Tokenizer tokenizer = TokenizerFiles.Load(kind);
        byte[] corpus = TokenizerFiles.Corpus(200_000);
        int[] ids = tokenizer.Encode(corpus, addSpecial: false);
        Assert.Equal(ids, tokenizer.Encode(corpus, addSpecial: false));
        Assert.All(ids, id => Assert.InRange(id, 0, tokenizer.VocabularySize - 1));
        string text = Encoding.UTF8.GetString(corpus), decoded = tokenizer.Decode(ids);
        if (kind is "gpt2-bytelevel" or "llama3-split" or "qwen2-split-nfc" or "llama2-byte-fallback")
        {
            Assert.Equal(text, decoded);
        }
        Assert.Equal(decoded, Streamed(tokenizer, ids));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void ManyThreadsShareATokenizer(string kind)
    {
        Tokenizer tokenizer = TokenizerFiles.Load(kind);
        TokenizerFiles.Case[] cases = TokenizerFiles.Cases(kind);
        Parallel.For(0, 200, i => Assert.Equal(cases[i % cases.Length].Ids, tokenizer.Encode(cases[i % cases.Length].Text)));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void EncodingAllocatesNothingOnceWarm(string kind)
    {
        Tokenizer tokenizer = TokenizerFiles.Load(kind);
        byte[] text = TokenizerFiles.Corpus(20_000);
        var ids = new ArrayBufferWriter<int>(100_000);
        Assert.Equal(0, Allocations.Least(() =>
        {
            ids.ResetWrittenCount();
            tokenizer.Encode(text, true, ids);
        }));
    }

    [Fact]
    public void NormalFormsAreUnicodes()
    {
        string[][] cases = JsonSerializer.Deserialize<string[][]>(File.ReadAllBytes(FixtureFiles.At("tokenizers", "normalization.json")))!;
        (bool Compose, bool Compatibility)[] forms = [(true, false), (false, false), (true, true), (false, true)];
        var to = new Store<byte>();
        var state = new NormalizationState();
        foreach (string[] c in cases)
        {
            for (int form = 0; form < forms.Length; form++)
            {
                to.Clear();
                byte[] text = Encoding.UTF8.GetBytes("plain " + c[0] + " plain");
                bool changed = UnicodeNormalization.Table.Normalize(text, forms[form].Compose, forms[form].Compatibility, to, state);
                Assert.Equal("plain " + c[form + 1] + " plain", Encoding.UTF8.GetString(changed ? to.Span : text));
            }
        }
    }

    private static string Streamed(Tokenizer tokenizer, int[] ids)
    {
        TokenDecoder decoder = tokenizer.NewDecoder();
        var text = new StringBuilder();
        foreach (int id in ids)
        {
            ReadOnlySpan<byte> part = decoder.Add(id);
            Assert.True(System.Text.Unicode.Utf8.IsValid(part));
            text.Append(Encoding.UTF8.GetString(part));
        }
        return text.Append(decoder.FinishText()).ToString();
    }
}
