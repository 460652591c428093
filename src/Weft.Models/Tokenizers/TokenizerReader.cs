using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using Weft.Tensors;

namespace Weft.Models.Tokenizers;

/// <summary>The parts of a tokenizer, as its file gives them.</summary>
internal sealed record TokenizerParts(
    TokenModel Model, bool TakesBytes, AddedToken[] Added, Normalizer? Normalizer, PreTokenizer? PreTokenizer, PostProcessor PostProcessor, TokenDecoding[] Decoders);

/// <summary>
/// Reads tokenizer.json. What it reads may come from anyone: size, depth and counts are bounded, tokens and merges are read as they come.
/// </summary>
internal static class TokenizerReader
{
    /// <summary>Largest file.</summary>
    public const int MaxFileBytes = 256 << 20;

    private const int MaxPartBytes = 32 << 20, MaxMerges = 1 << 23, MaxAffix = 256;

    private static readonly string[] Models = ["BPE", "Unigram", "WordLevel", "WordPiece"];

    public static TokenizerParts Read(ReadOnlyMemory<byte> utf8, string source)
    {
        try
        {
            return utf8.Length <= MaxFileBytes ? Read(utf8.Span.StartsWith(Encoding.UTF8.Preamble) ? utf8[3..] : utf8)
                : throw new InputException($"is larger than {MaxFileBytes >> 20} MB, so it is no tokenizer");
        }
        catch (JsonException e)
        {
            throw new InputException($"{source}: is not valid JSON at line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1}", e);
        }
        catch (InvalidOperationException e)
        {
            // Half a surrogate pair or bytes that are no UTF-8 pass the parser and fail where the string is taken.
            throw new InputException($"{source}: a string is not valid Unicode text", e);
        }
        catch (InputException e)
        {
            throw new InputException($"{source}: {e.Message}", e);
        }
    }

    private static TokenizerParts Read(ReadOnlyMemory<byte> utf8)
    {
        Dictionary<string, Range> keys = Keys(utf8.Span, "");
        if (Part(utf8, keys, "version", "") is { } version && version.Text() != "1.0")
        {
            throw version.Wrong("\"1.0\", the only version there is");
        }
        JsonPart? normalizer = Part(utf8, keys, "normalizer", ""), preTokenizer = Part(utf8, keys, "pre_tokenizer", "");
        if (!keys.TryGetValue("model", out Range modelRange))
        {
            throw new InputException("has no 'model', which a tokenizer needs");
        }
        ReadOnlyMemory<byte> modelJson = utf8[modelRange];
        Dictionary<string, Range> modelKeys = Keys(modelJson.Span, "model");
        JsonPart? given = Part(modelJson, modelKeys, "type", "model.");
        string type = given?.Text() ?? Guess(modelKeys, modelJson);
        JsonPart? Option(string key) => Part(modelJson, modelKeys, key, "model.");
        bool bytes = type == "BPE" && preTokenizer is { } split && PartReader.EndsInBytes(split)
            && !(Option("byte_fallback")?.Flag() ?? false) && Affix(Option("continuing_subword_prefix")).Length == 0 && Affix(Option("end_of_word_suffix")).Length == 0;
        TokenModel model = type switch
        {
            "BPE" => Bpe(modelJson, modelKeys, bytes),
            "Unigram" => Unigram(modelJson, modelKeys),
            "WordLevel" => new WordLevelModel(Tokens(modelJson, modelKeys), Option("unk_token")?.Text() ?? "<unk>"),
            "WordPiece" => WordPiece(modelJson, modelKeys),
            _ => throw given!.Value.Unknown("model", Models),
        };
        Normalizer? rewriting = normalizer is { } n ? PartReader.Normalizer(n) : null;
        return new TokenizerParts(
            model,
            bytes,
            Part(utf8, keys, "added_tokens", "") is { } added ? Added(added, model.Vocabulary, rewriting) : [],
            rewriting,
            preTokenizer is { } p ? PartReader.PreTokenizer(p, !bytes) : null,
            Part(utf8, keys, "post_processor", "") is { } around ? PartReader.PostProcessor(around) : PostProcessor.None,
            Part(utf8, keys, "decoder", "") is { } decoder ? PartReader.Decoder(decoder) : [new JoinDecoding()]);
    }

    // The keys of an object and where their values lie; the last of those given twice.
    private static Dictionary<string, Range> Keys(ReadOnlySpan<byte> json, string path)
    {
        var keys = new Dictionary<string, Range>(StringComparer.Ordinal);
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = JsonPart.MaxDepth });
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
        {
            throw new InputException(path.Length == 0 ? "holds no object" : $"{path} is no object");
        }
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            int start = (int)reader.TokenStartIndex;
            reader.Skip();
            keys[key] = start..(int)reader.BytesConsumed;
        }
        reader.Read(); // what follows the object is an error
        return keys;
    }

    private static JsonPart? Part(ReadOnlyMemory<byte> json, Dictionary<string, Range> keys, string key, string path)
    {
        if (!keys.TryGetValue(key, out Range range))
        {
            return null;
        }
        ReadOnlyMemory<byte> part = json[range];
        if (part.Length > MaxPartBytes)
        {
            throw new InputException($"{path}{key} is larger than {MaxPartBytes >> 20} MB, so it is no part of a tokenizer");
        }
        using JsonDocument document = JsonDocument.Parse(part, new JsonDocumentOptions { MaxDepth = JsonPart.MaxDepth });
        var found = new JsonPart(document.RootElement.Clone(), path + key);
        return found.IsNull ? null : found;
    }

    // Files of before the type was written.
    private static string Guess(Dictionary<string, Range> keys, ReadOnlyMemory<byte> json) =>
        keys.ContainsKey("merges") ? "BPE"
        : keys.TryGetValue("vocab", out Range vocab) && json.Span[vocab][0] == '[' ? "Unigram"
        : keys.ContainsKey("continuing_subword_prefix") || keys.ContainsKey("max_input_chars_per_word") ? "WordPiece"
        : "WordLevel";

    private static byte[] Affix(JsonPart? part) =>
        part is not { } affix ? [] : affix.Utf8() is { Length: <= MaxAffix } bytes ? bytes : throw affix.Fail($"is longer than {MaxAffix} bytes");

    private static BpeModel Bpe(ReadOnlyMemory<byte> json, Dictionary<string, Range> keys, bool bytes)
    {
        JsonPart? Option(string key) => Part(json, keys, key, "model.");
        if (Option("dropout") is { } dropout && dropout.Real() != 0)
        {
            throw dropout.Wrong("0 or null: with dropout a text has no one form");
        }
        Vocabulary vocabulary = Tokens(json, keys);
        byte[] prefix = Affix(Option("continuing_subword_prefix"));
        var pairs = new List<(int Left, int Right)>();
        PairTable merges = keys.TryGetValue("merges", out Range range) ? Merges(json.Span[range], vocabulary, prefix.Length, pairs)
            : throw new InputException("model has no 'merges', which BPE needs");
        return new BpeModel(vocabulary, merges, pairs, new BpeOptions
        {
            Bytes = bytes,
            Unknown = Option("unk_token")?.Text(),
            FuseUnknown = Option("fuse_unk")?.Flag() ?? false,
            ByteFallback = Option("byte_fallback")?.Flag() ?? false,
            IgnoreMerges = Option("ignore_merges")?.Flag() ?? false,
            Prefix = prefix,
            Suffix = Affix(Option("end_of_word_suffix")),
        });
    }

    private static WordPieceModel WordPiece(ReadOnlyMemory<byte> json, Dictionary<string, Range> keys)
    {
        JsonPart? Option(string key) => Part(json, keys, key, "model.");
        Vocabulary vocabulary = Tokens(json, keys);
        CheckLongest(vocabulary);
        byte[] prefix = Option("continuing_subword_prefix") is { } given ? Affix(given) : "##"u8.ToArray();
        return new WordPieceModel(vocabulary, Option("unk_token")?.Text() ?? "[UNK]", prefix, Option("max_input_chars_per_word")?.Number() ?? 100);
    }

    private static UnigramModel Unigram(ReadOnlyMemory<byte> json, Dictionary<string, Range> keys)
    {
        if (!keys.TryGetValue("vocab", out Range range))
        {
            throw new InputException("model has no 'vocab', which it needs");
        }
        var reader = new Utf8JsonReader(json.Span[range]);
        var vocabulary = new Vocabulary();
        var scores = new Store<double>();
        var texts = new Store<int>();
        var token = new Store<byte>();
        Expect(ref reader, JsonTokenType.StartArray, "model.vocab", "a list of tokens and scores");
        while (reader.Read() && reader.TokenType == JsonTokenType.StartArray)
        {
            string path = string.Create(CultureInfo.InvariantCulture, $"model.vocab[{scores.Count}]");
            Expect(ref reader, JsonTokenType.String, path, "a token and its score");
            Copy(ref reader, token);
            Expect(ref reader, JsonTokenType.Number, path, "a token and its score");
            texts.Add(vocabulary.Add(token.Span, scores.Count));
            scores.Add(reader.GetDouble());
            Expect(ref reader, JsonTokenType.EndArray, path, "a token and its score");
        }
        Check(reader.TokenType == JsonTokenType.EndArray, "model.vocab", "a list of tokens and scores");
        vocabulary.Seal(texts.Span);
        CheckLongest(vocabulary);
        int unknown = Part(json, keys, "unk_id", "model.") is not { } id ? -1
            : id.Number() is var place && place < scores.Count ? place : throw id.Fail($"is not the place of one of the {scores.Count} tokens");
        return new UnigramModel(vocabulary, scores.Span.ToArray(), unknown, Part(json, keys, "byte_fallback", "model.")?.Flag() ?? false);
    }

    private static void CheckLongest(Vocabulary vocabulary)
    {
        if (vocabulary.Longest > ByteTrie.MaxKey)
        {
            throw new InputException($"model.vocab holds a token of {vocabulary.Longest} bytes; a model of this kind takes at most {ByteTrie.MaxKey}");
        }
    }

    private static Vocabulary Tokens(ReadOnlyMemory<byte> json, Dictionary<string, Range> keys)
    {
        if (!keys.TryGetValue("vocab", out Range range))
        {
            throw new InputException("model has no 'vocab', which it needs");
        }
        var reader = new Utf8JsonReader(json.Span[range]);
        var vocabulary = new Vocabulary();
        var token = new Store<byte>();
        Expect(ref reader, JsonTokenType.StartObject, "model.vocab", "an object of tokens and their ids");
        try
        {
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                Copy(ref reader, token);
                reader.Read();
                vocabulary.Add(token.Span, reader.TokenType == JsonTokenType.Number && reader.TryGetInt32(out int id) ? id
                    : throw new InputException($"gives the token {Vocabulary.Show(token.Span)} no whole number as its id"));
            }
            vocabulary.Seal();
        }
        catch (InputException e)
        {
            throw new InputException($"model.vocab {e.Message}", e);
        }
        return vocabulary;
    }

    private static PairTable Merges(ReadOnlySpan<byte> json, Vocabulary vocabulary, int prefix, List<(int Left, int Right)> pairs)
    {
        var reader = new Utf8JsonReader(json);
        var left = new Store<byte>();
        var right = new Store<byte>();
        var made = new List<int>();
        Expect(ref reader, JsonTokenType.StartArray, "model.merges", "a list of pairs of tokens");
        for (int rank = 0; reader.Read() && reader.TokenType != JsonTokenType.EndArray; rank++)
        {
            string Path() => string.Create(CultureInfo.InvariantCulture, $"model.merges[{rank}]");
            if (reader.TokenType == JsonTokenType.StartArray)
            {
                Check(reader.Read() && reader.TokenType == JsonTokenType.String, Path, "a pair of tokens");
                Copy(ref reader, left);
                Check(reader.Read() && reader.TokenType == JsonTokenType.String, Path, "a pair of tokens");
                Copy(ref reader, right);
                Check(reader.Read() && reader.TokenType == JsonTokenType.EndArray, Path, "a pair of tokens");
            }
            else
            {
                // Files of before: the two tokens with a space between, and a first line that names the version.
                Check(reader.TokenType == JsonTokenType.String, Path, "a pair of tokens");
                Copy(ref reader, left);
                if (left.Span.StartsWith("#version"u8))
                {
                    rank--;
                    continue;
                }
                int space = left.Span.IndexOf((byte)' ');
                Check(space >= 0 && left.Span[(space + 1)..].IndexOf((byte)' ') < 0, Path, "two tokens with a space between");
                right.Clear();
                right.Add(left.Span[(space + 1)..]);
                left.Resize(space);
            }
            Check(rank < MaxMerges, Path, $"one of at most {MaxMerges} merges");
            int a = Known(left.Span, vocabulary, Path), b = Known(right.Span, vocabulary, Path);
            Check(right.Count > prefix || prefix == 0, Path, "a pair whose second token is longer than continuing_subword_prefix");
            left.Add(right.Span[prefix..]);
            pairs.Add((a, b));
            made.Add(Known(left.Span, vocabulary, Path));
        }
        var table = new PairTable(pairs.Count);
        for (int rank = 0; rank < made.Count; rank++)
        {
            table.Set(pairs[rank].Left, pairs[rank].Right, rank, made[rank]);
        }
        return table;
    }

    private static int Known(ReadOnlySpan<byte> token, Vocabulary vocabulary, Func<string> path) =>
        vocabulary.TryGet(token, out int id) ? id : throw new InputException($"{path()} needs the token {Vocabulary.Show(token)}, which is not in model.vocab");

    // Ids are the model's where it has the token, and the next free ones where it has not: what the file says is not asked, as in the reference.
    private static AddedToken[] Added(JsonPart part, Vocabulary vocabulary, Normalizer? normalizer)
    {
        var byContent = new Dictionary<string, int>(StringComparer.Ordinal);
        var byId = new SortedDictionary<int, AddedToken>();
        int next = vocabulary.Count;
        var scratch = new Scratch();
        foreach (JsonPart item in part.Items())
        {
            item.Need("id").Number(Vocabulary.MaxIds - 1);
            string content = item.Need("content").Text();
            if (content.Length == 0)
            {
                continue;
            }
            byte[] text = Encoding.UTF8.GetBytes(content);
            if (text.Length > ByteTrie.MaxKey)
            {
                throw item.Fail($"is a token of {text.Length} bytes; at most {ByteTrie.MaxKey} are taken");
            }
            if (!byContent.TryGetValue(content, out int id))
            {
                id = vocabulary.TryGet(text, out int known) ? known : next++;
                byContent[content] = id;
            }
            bool normalized = item.Flag("normalized", true);
            scratch.Begin(text.Length);
            Store<byte> rewritten = scratch.RentText();
            if (normalized && normalizer?.Normalize(text, rewritten, scratch) == true)
            {
                text = rewritten.Span.ToArray();
            }
            scratch.Return(rewritten);
            if (text.Length > ByteTrie.MaxKey)
            {
                throw item.Fail($"is a token whose normal form has {text.Length} bytes; at most {ByteTrie.MaxKey} are taken");
            }
            byId[id] = new AddedToken(id, content)
            {
                Text = text,
                Normalized = normalized,
                Special = item.Flag("special", false),
                SingleWord = item.Flag("single_word", false),
                StripLeft = item.Flag("lstrip", false),
                StripRight = item.Flag("rstrip", false),
            };
        }
        return [.. byId.Values];
    }

    private static void Expect(ref Utf8JsonReader reader, JsonTokenType type, string path, string wanted) => Check(reader.Read() && reader.TokenType == type, path, wanted);

    private static void Check(bool holds, string path, string wanted)
    {
        if (!holds)
        {
            throw new InputException($"{path} is not {wanted}");
        }
    }

    private static void Check(bool holds, Func<string> path, string wanted)
    {
        if (!holds)
        {
            throw new InputException($"{path()} is not {wanted}");
        }
    }

    // The string or name that the reader stands on, without its escapes.
    private static void Copy(ref Utf8JsonReader reader, Store<byte> to)
    {
        to.Resize(reader.ValueSpan.Length);
        to.Resize(reader.CopyString(to.Span));
        if (!Utf8.IsValid(to.Span))
        {
            throw new InvalidOperationException("not UTF-8");
        }
    }
}
