using System.Text;
using System.Text.Json.Nodes;
using Weft.Models.Tokenizers;
using Weft.Tensors;

namespace Weft.Tests.Tokenizers;

/// <summary>Files and texts from anyone: refused in one line or taken, never worse.</summary>
public sealed class UntrustedTests
{
    public static TheoryData<string> Kinds => [.. TokenizerFiles.Kinds];

    [Theory]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"UnicodeScripts"}]}}""", "tokenizer.json: pre_tokenizer.pretokenizers[0].type is '\"UnicodeScripts\"'", "known: BertPreTokenizer, ByteLevel")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"normalizer":{"type":"Magic"}}""", "normalizer.type", "known: Bert, BertNormalizer, ByteLevel, Lowercase, NFC")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"decoder":{"type":"CTC"}}""", "decoder.type", "known: BPEDecoder, ByteFallback")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"post_processor":{"type":"Magic"}}""", "post_processor.type", "known: TemplateProcessing")]
    [InlineData("""{"model":{"type":"Magic","vocab":{}}}""", "model.type", "known: BPE, Unigram, WordLevel, WordPiece")]
    [InlineData("""{"model":{"type":"BPE","dropout":0.1,"vocab":{"a":0},"merges":[]}}""", "model.dropout is '0.1'")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}}""", "model.vocab gives the tokens 'a' and 'b' the same id 0")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a","b"]]}}""", "model.merges[0] needs the token 'b'")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}}""", "model.merges[0] needs the token 'ab'")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a"]]}}""", "model.merges[0] is not a pair")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}""", "the token 'a'", "ids are from 0")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":99999999},"merges":[]}}""", "ids are from 0 to 16777215")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0.5},"merges":[]}}""", "no whole number")]
    [InlineData("""{"model":{"type":"Unigram","unk_id":5,"vocab":[["a",0]]}}""", "model.unk_id is not the place")]
    [InlineData("""{"model":{"type":"Unigram","vocab":[["a"]]}}""", "model.vocab[0] is not a token and its score")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0}}}""", "no 'merges'")]
    [InlineData("""{"version":"2.0","model":{"type":"BPE","vocab":{"a":0},"merges":[]}}""", "version is '\"2.0\"'")]
    [InlineData("""{"added_tokens":[]}""", "has no 'model'")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"}}""", "pre_tokenizer.pattern.Regex is the regular expression '('", "not closed")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"Split","pattern":{"String":"a"},"behavior":"Burned"}}""", "behavior", "known: Removed, Isolated")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"normalizer":{"type":"Precompiled","precompiled_charsmap":"AAAA"}}""", "normalizer.precompiled_charsmap holds no compiled character map")]
    [InlineData("[]", "holds no object")]
    [InlineData("", "not valid JSON")]
    [InlineData("{\"a\":", "not valid JSON at line 1")]
    [InlineData("{} {}", "not valid JSON")]
    [InlineData("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\\ud800\":0},\"merges\":[]}}", "not valid Unicode")]
    public void FilesThatAreNotTakenAreRefusedByTheirPath(string json, params string[] says) =>
        Refused.With(() => TokenizerFiles.Of(json), ["tokenizer.json: ", .. says]);

    [Fact]
    public void MissingFilesFoldersAndDeepFilesAreRefused()
    {
        Refused.With(() => Tokenizer.Load("none/tokenizer.json"), "none/tokenizer.json: no such file");
        Refused.With(() => Tokenizer.Load(AppContext.BaseDirectory), "is a directory");
        Refused.With(() => TokenizerFiles.Of("{\"model\":" + new string('[', 100_000)), "not valid JSON");
        string open = string.Concat(Enumerable.Repeat("{\"type\":\"Sequence\",\"normalizers\":[", 40)), close = string.Concat(Enumerable.Repeat("]}", 40));
        Refused.With(() => TokenizerFiles.Of("{\"normalizer\":" + open + close + ",\"model\":{}}"), "not valid JSON");
    }

    [Fact]
    public void UnknownTextWithoutAnUnknownTokenIsRefused()
    {
        Refused.With(() => TokenizerFiles.Of("""{"model":{"type":"Unigram","vocab":[["a",0]]}}""").Encode("ab"), "no token for 'b'");
        Refused.With(() => TokenizerFiles.Of("""{"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"u"}}""").Encode("b"), "no token for 'b'");
        Refused.With(() => TokenizerFiles.Of("""{"model":{"type":"BPE","unk_token":"u","vocab":{"a":0},"merges":[]}}""").Encode("b"), "model.vocab");
        Assert.Equal([0], TokenizerFiles.Of("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}""").Encode("ba"));
    }

    [Fact]
    public void ReplacementsThatGrowWithoutEndAreRefused()
    {
        string doubling = string.Join(',', Enumerable.Repeat("""{"type":"Replace","pattern":{"String":"a"},"content":"aa"}""", 60));
        Tokenizer tokenizer = TokenizerFiles.Words(["a"], normalizer: $$"""{"type":"Sequence","normalizers":[{{doubling}}]}""");
        Refused.With(() => tokenizer.Encode("a"), "replacement");
    }

    // One character a million times, the worst that each part can meet: all of it is one word, or one cluster, or one run.
    [Theory]
    [MemberData(nameof(Kinds))]
    public void LongRunsEndSoon(string kind)
    {
        Tokenizer tokenizer = TokenizerFiles.Load(kind);
        foreach (string unit in new[] { "a", " ", "\n", "e ", "1", "'", "é", "\u0301", "東", "<", "<|im_start|", "\n ", "\U0001F469\u200D" })
        {
            string text = string.Concat(Enumerable.Repeat(unit, 1_000_000 / unit.Length));
            int[] ids = tokenizer.Encode(text, addSpecial: false);
            string decoded = tokenizer.Decode(ids);
            Assert.True(kind == "unigram-metaspace" || (kind == "qwen2-split-nfc" && unit == "\u0301") || decoded == text, unit);
        }
    }

    // Of each file some thousand mutations: bytes changed, taken out and put in, and parts of the JSON dropped, moved and changed.
    [Theory]
    [MemberData(nameof(Kinds))]
    public void MutatedFilesAreTakenOrRefused(string kind)
    {
        var random = new Random(kind.Length);
        byte[] small = Encoding.UTF8.GetBytes(Smaller(kind).ToJsonString());
        int taken = 0;
        for (int round = 0; round < 1500; round++)
        {
            byte[] bytes = round % 2 == 0 ? Changed(small, random) : Encoding.UTF8.GetBytes(Mutated(JsonNode.Parse(small)!, random)?.ToJsonString() ?? "null");
            try
            {
                Tokenizer tokenizer = Tokenizer.Read(bytes, "tokenizer.json");
                taken++;
                int[] ids = tokenizer.Encode("Hello <|im_start|> wörld 東京 12\n  <s>e\u0301 \U0001F642");
                tokenizer.Encode([0xFF, 0x61, 0xE6, 0x9D]);
                string whole = tokenizer.Decode(ids);
                TokenDecoder decoder = tokenizer.NewDecoder();
                Assert.Equal(whole, string.Concat(ids.Select(decoder.AddText)) + decoder.FinishText());
                tokenizer.Decode([.. Enumerable.Range(-1, 80)], skipSpecial: true);
            }
            catch (InputException e)
            {
                Assert.DoesNotContain('\n', e.Message);
                Assert.StartsWith("t", e.Message, StringComparison.Ordinal);
            }
        }
        Assert.InRange(taken, 100, 1400);
    }

    // The file with few tokens, so that mutations meet its parts and not its vocabulary.
    private static JsonNode Smaller(string kind)
    {
        JsonNode root = JsonNode.Parse(File.ReadAllBytes(TokenizerFiles.PathOf(kind)))!;
        JsonNode model = root["model"]!;
        if (model["vocab"] is JsonArray list)
        {
            model["vocab"] = new JsonArray([.. list.Take(60).Select(n => n!.DeepClone())]);
            return root;
        }
        int special = kind.StartsWith("llama2", StringComparison.Ordinal) ? 259 : 3;
        var kept = model["vocab"]!.AsObject().Where(t => (int)t.Value! < special || new Rune(t.Key[0]).Utf16SequenceLength == t.Key.Length).ToList();
        var vocab = new JsonObject(kept.Where((t, i) => i < 3 || i % 3 == 0 || t.Key.Length == 1).Select(t => KeyValuePair.Create(t.Key, (JsonNode?)t.Value!.DeepClone())));
        var merges = new JsonArray();
        foreach (JsonNode? merge in model["merges"]!.AsArray())
        {
            string left = (string)merge![0]!, right = (string)merge[1]!;
            if (merges.Count < 12 && vocab.ContainsKey(left) && vocab.ContainsKey(right))
            {
                vocab.TryAdd(left + right, 1000 + merges.Count);
                merges.Add(merge.DeepClone());
            }
        }
        (model["vocab"], model["merges"]) = (vocab, merges);
        var added = root["added_tokens"]!.AsArray();
        root["added_tokens"] = new JsonArray([.. added.Take(4).Select(n => n!.DeepClone())]);
        return root;
    }

    private static byte[] Changed(byte[] bytes, Random random)
    {
        var changed = bytes.ToList();
        // Most of a file is tokens: half of the changes are near its other parts.
        for (int change = random.Next(1, 4); change > 0; change--)
        {
            int at = random.Next(2) == 0 ? random.Next(changed.Count) : Math.Min(random.Next(1600), changed.Count - 1);
            switch (random.Next(4))
            {
                case 0:
                    changed[at] = (byte)random.Next(256);
                    break;
                case 1:
                    changed.RemoveRange(at, Math.Min(random.Next(1, 8), changed.Count - at));
                    break;
                case 2:
                    changed.Insert(at, "0123456789\"{}[],:-eE.\\uatf "u8[random.Next(27)]);
                    break;
                default:
                    changed[at] ^= (byte)(1 << random.Next(8));
                    break;
            }
        }
        return [.. changed];
    }

    private static JsonNode? Mutated(JsonNode root, Random random)
    {
        // Down to a part, less likely into the model, whose tokens are many.
        JsonNode node = root;
        while (random.Next(5) > 0)
        {
            JsonNode?[] children = node switch
            {
                JsonObject o => [.. o.Where(c => c.Value is JsonObject or JsonArray && (c.Key != "vocab" || random.Next(4) == 0)).Select(c => c.Value)],
                JsonArray a => [.. a.Where(c => c is JsonObject or JsonArray)],
                _ => [],
            };
            if (children.Length == 0)
            {
                break;
            }
            node = children[random.Next(children.Length)]!;
        }
        switch (node)
        {
            case JsonObject { Count: > 0 } parts:
                string key = parts.ElementAt(random.Next(parts.Count)).Key;
                if (random.Next(3) == 0)
                {
                    parts.Remove(key);
                }
                else
                {
                    parts[key] = Other(parts[key], random);
                }
                break;
            case JsonArray { Count: > 0 } items:
                int at = random.Next(items.Count);
                if (random.Next(3) == 0)
                {
                    items.RemoveAt(at);
                }
                else
                {
                    items[at] = Other(items[at], random);
                }
                break;
        }
        return root;
    }

    private static JsonNode? Other(JsonNode? node, Random random) => random.Next(12) switch
    {
        0 => null,
        1 => random.Next(-3, 70),
        2 => 1e300,
        3 => random.Next(2) == 0,
        4 => "",
        5 => new JsonArray(),
        6 => new JsonObject(),
        7 => new JsonArray(node?.DeepClone(), node?.DeepClone()),
        8 => new[] { "ByteLevel", "Sequence", "Fuse", "NFKC", "Metaspace", "Split", "Replace", "Strip", "Unigram", "WordLevel", "WordPiece", "BPE", "Digits", "ByteFallback" }[random.Next(14)],
        9 => new[] { "(a+)+b|\\s", "[^\\w]*?", "", "\u2581", "a", "(?i)\u00df|k", "\\p{L}{2,3}", "^|$" }[random.Next(8)],
        10 => long.MaxValue,
        _ => node is JsonValue v && v.TryGetValue(out string? text) ? text + text : 2147483647,
    };
}
