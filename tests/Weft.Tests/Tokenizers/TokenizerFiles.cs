using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Weft.Models.Tokenizers;

namespace Weft.Tests.Tokenizers;

/// <summary>The reference's tokenizers and cases, and small tokenizers made for a test.</summary>
internal static class TokenizerFiles
{
    /// <summary>A text and what the reference makes of it.</summary>
    public sealed record Case(string Text, int[] Ids, string[] Tokens, string Decoded);

    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web);

    public static string[] Kinds { get; } = ["gpt2-bytelevel", "llama2-byte-fallback", "llama3-split", "qwen2-split-nfc", "unigram-metaspace"];

    public static string PathOf(string kind) => FixtureFiles.At("tokenizers", kind, "tokenizer.json");

    public static Tokenizer Load(string kind) => Tokenizer.Load(PathOf(kind));

    public static Case[] Cases(string kind) => JsonSerializer.Deserialize<Case[]>(File.ReadAllBytes(FixtureFiles.At("tokenizers", kind, "cases.json")), Json)!;

    /// <summary>The built-in English corpus, or its beginning.</summary>
    public static byte[] Corpus(int bytes = int.MaxValue)
    {
        byte[] all = File.ReadAllBytes(Path.Combine(Repository.Root, "data", "sotu.txt"));
        return all[..Math.Min(bytes, all.Length)];
    }

    /// <summary>A tokenizer from JSON.</summary>
    public static Tokenizer Of(string json) => Tokenizer.Read(Encoding.UTF8.GetBytes(json), "tokenizer.json");

    /// <summary>A tokenizer of whole words: each is its own token, so that ids show the split. Parts as JSON, null for none.</summary>
    public static Tokenizer Words(IEnumerable<string> words, string? preTokenizer = null, string? normalizer = null, string? decoder = null, string? added = null, string? around = null)
    {
        var vocab = new JsonObject();
        foreach (string word in words.Prepend("<unk>").Distinct())
        {
            vocab[word] = vocab.Count;
        }
        return Of($$$"""
            {"version":"1.0","added_tokens":{{{added ?? "[]"}}},"normalizer":{{{normalizer ?? "null"}}},"pre_tokenizer":{{{preTokenizer ?? "null"}}},
             "post_processor":{{{around ?? "null"}}},"decoder":{{{decoder ?? "null"}}},
             "model":{"type":"WordLevel","vocab":{{{vocab.ToJsonString()}}},"unk_token":"<unk>"}}
            """);
    }

    /// <summary>The tokens of a text, which a tokenizer of whole words shows; the words must be those expected or they are unknown.</summary>
    public static string[] Split(string text, string[] expected, string? preTokenizer = null, string? normalizer = null, string? added = null)
    {
        Tokenizer tokenizer = Words(expected, preTokenizer, normalizer, added: added);
        return [.. tokenizer.Encode(text).Select(id => tokenizer.TokenOf(id)!)];
    }
}
