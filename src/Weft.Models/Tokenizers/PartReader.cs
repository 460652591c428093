using Weft.Tensors;

namespace Weft.Models.Tokenizers;

/// <summary>Makes normalisers, splits, decoders and what surrounds ids from the parts of a tokenizer's file.</summary>
internal static class PartReader
{
    private const int MaxParts = 64, MaxSpecial = 4096;

    private static readonly PatternSplit WhiteRemoved = new(new CharacterMatcher(CodePoint.IsWhiteSpace), SplitBehavior.Removed, false);

    private static readonly Dictionary<string, Func<JsonPart, Normalizer>> Normalizers = new(StringComparer.Ordinal)
    {
        ["NFC"] = _ => new UnicodeForm(true, false),
        ["NFD"] = _ => new UnicodeForm(false, false),
        ["NFKC"] = _ => new UnicodeForm(true, true),
        ["NFKD"] = _ => new UnicodeForm(false, true),
        ["Nmt"] = _ => CharacterNormalizer.Nmt,
        ["Lowercase"] = _ => CharacterNormalizer.Lowercase,
        ["StripAccents"] = _ => CharacterNormalizer.StripAccents,
        ["ByteLevel"] = _ => new ByteLevelNormalizer(),
        ["Prepend"] = p => new Prepend(p.Need("prepend").Utf8()),
        ["Replace"] = p => new ReplaceNormalizer(Pattern(p.Need("pattern")), p.Need("content").Utf8()),
        ["Strip"] = p => new StripNormalizer(p.Need("strip_left").Flag(), p.Need("strip_right").Flag()),
        ["Precompiled"] = CharsMap,
        ["BertNormalizer"] = Bert,
        ["Bert"] = Bert,
        ["Sequence"] = p => new NormalizerSequence([.. Parts(p.Need("normalizers")).Select(Normalizer)]),
    };

    private static readonly Dictionary<string, Func<JsonPart, bool, PreTokenizer>> PreTokenizers = new(StringComparer.Ordinal)
    {
        ["ByteLevel"] = (p, writes) => new ByteLevelSplit(p.Flag("add_prefix_space", true), p.Flag("use_regex", true), writes),
        ["Split"] = (p, _) => new PatternSplit(Pattern(p.Need("pattern")), Behavior(p.Need("behavior")), p.Flag("invert", false)),
        ["Metaspace"] = (p, _) => new MetaspaceSplit(p.Need("replacement").Character(), Scheme(p), p.Flag("split", true)),
        ["Digits"] = (p, _) => new PatternSplit(
            new CharacterMatcher(CodePoint.IsNumeric), p.Flag("individual_digits", false) ? SplitBehavior.Isolated : SplitBehavior.Contiguous, false),
        ["Punctuation"] = (p, _) => new PatternSplit(
            new CharacterMatcher(CodePoint.IsPunctuation), p.Get("behavior") is { } behavior ? Behavior(behavior) : SplitBehavior.Isolated, false),
        ["Whitespace"] = (_, _) => new WhitespaceSplit(),
        ["WhitespaceSplit"] = (_, _) => WhiteRemoved,
        ["CharDelimiterSplit"] = (p, _) => new PatternSplit(new TextMatcher(p.Need("delimiter").Character()), SplitBehavior.Removed, false),
        ["FixedLength"] = (p, _) => new FixedLengthSplit(Math.Max(1, p.Get("length")?.Number() ?? 5)),
        ["BertPreTokenizer"] = (_, _) => new PreTokenizerSequence(
            [WhiteRemoved, new PatternSplit(new CharacterMatcher(CodePoint.IsPunctuation), SplitBehavior.Isolated, false)]),
        ["Sequence"] = (p, writes) => Sequence(p, writes),
    };

    private static readonly Dictionary<string, Func<JsonPart, TokenDecoding[]>> Decoders = new(StringComparer.Ordinal)
    {
        ["ByteLevel"] = _ => [new ByteLevelDecoding(), new TextDecoding()],
        ["ByteFallback"] = _ => [new ByteFallbackDecoding()],
        ["Fuse"] = _ => [new FuseDecoding()],
        ["Replace"] = p => [new ReplaceDecoding(Pattern(p.Need("pattern")), p.Need("content").Utf8())],
        ["Strip"] = p => [new StripDecoding(p.Need("content").Character(), p.Need("start").Number(), p.Need("stop").Number())],
        ["Metaspace"] = p => [new MetaspaceDecoding(p.Need("replacement").Character(), Scheme(p) != PrependScheme.Never)],
        ["WordPiece"] = p => [new WordPieceDecoding(p.Need("prefix").Utf8(), p.Need("cleanup").Flag())],
        ["BPEDecoder"] = p => [new SuffixDecoding(p.Need("suffix").Utf8() is { Length: > 0 } suffix ? suffix : throw p.Need("suffix").Wrong("a text"))],
        ["Sequence"] = p => [.. Parts(p.Need("decoders")).SelectMany(Decoder)],
    };

    private static readonly string[] PostProcessors = ["TemplateProcessing", "ByteLevel", "BertProcessing", "RobertaProcessing", "Sequence"];

    public static Normalizer Normalizer(JsonPart part) => Make(part, "normalizer", Normalizers)(part);

    /// <summary>A split; with <paramref name="writes"/> a byte-level one writes bytes as characters.</summary>
    public static PreTokenizer PreTokenizer(JsonPart part, bool writes) => Make(part, "pre-tokenizer", PreTokenizers)(part, writes);

    public static TokenDecoding[] Decoder(JsonPart part) => Make(part, "decoder", Decoders)(part);

    /// <summary>Whether the last split is byte level and the only one that is, so that a model may take bytes as they are.</summary>
    public static bool EndsInBytes(JsonPart part)
    {
        string[] kinds = [.. Kinds(part)];
        return kinds.Length > 0 && kinds[^1] == "ByteLevel" && kinds.Count(k => k == "ByteLevel") == 1;
    }

    /// <summary>What is put around ids.</summary>
    public static PostProcessor PostProcessor(JsonPart part)
    {
        List<int[]?>[] makers = [.. Around(part).Where(a => a is not null)!];
        return makers.Length switch
        {
            0 => Tokenizers.PostProcessor.None,
            1 => new PostProcessor([.. makers[0]]),
            _ => throw part.Fail("puts special tokens around the text more than once"),
        };
    }

    private static IEnumerable<string> Kinds(JsonPart part)
    {
        string kind = part.Need("type").Text();
        return kind == "Sequence" ? Parts(part.Need("pretokenizers")).SelectMany(Kinds) : [kind];
    }

    private static T Make<T>(JsonPart part, string what, Dictionary<string, T> known)
    {
        JsonPart type = part.Need("type");
        return known.TryGetValue(type.Text(), out T? make) ? make : throw type.Unknown(what, known.Keys.Order(StringComparer.Ordinal));
    }

    private static JsonPart[] Parts(JsonPart list)
    {
        JsonPart[] parts = [.. list.Items()];
        return parts.Length <= MaxParts ? parts : throw list.Fail($"has {parts.Length} parts; at most {MaxParts} are taken");
    }

    private static PreTokenizerSequence Sequence(JsonPart part, bool writes) =>
        new([.. Parts(part.Need("pretokenizers")).Select(p => PreTokenizer(p, writes))]);

    private static Matcher Pattern(JsonPart part)
    {
        if (part.Get("String") is { } text)
        {
            byte[] wanted = text.Utf8();
            return wanted.Length > 0 ? new TextMatcher(wanted) : new RegexMatcher(new TextRegex(""));
        }
        JsonPart regex = part.Get("Regex") ?? throw part.Fail("has neither 'String' nor 'Regex'");
        return WordSplit.Of(regex.Text()) is { } known ? new KnownMatcher(known) : new RegexMatcher(regex.Read(() => new TextRegex(regex.Text())));
    }

    private static SplitBehavior Behavior(JsonPart part) =>
        !int.TryParse(part.Text(), out _) && Enum.TryParse(part.Text(), out SplitBehavior behavior) && Enum.IsDefined(behavior) ? behavior
            : throw part.Unknown("behavior", Enum.GetNames<SplitBehavior>());

    private static PrependScheme Scheme(JsonPart part)
    {
        if (part.Get("prepend_scheme") is { } scheme)
        {
            return scheme.Text() switch
            {
                "always" => PrependScheme.Always,
                "first" => PrependScheme.First,
                "never" => PrependScheme.Never,
                _ => throw scheme.Unknown("scheme", ["always", "first", "never"]),
            };
        }
        return part.Flag("add_prefix_space", true) ? PrependScheme.Always : PrependScheme.Never;
    }

    private static CharsMap CharsMap(JsonPart part)
    {
        JsonPart map = part.Need("precompiled_charsmap");
        var bytes = new byte[map.Text().Length];
        return Convert.TryFromBase64String(map.Text(), bytes, out int count) ? map.Read(() => new CharsMap(bytes.AsSpan(0, count))) : throw map.Wrong("Base64");
    }

    private static NormalizerSequence Bert(JsonPart part)
    {
        bool lower = part.Flag("lowercase", true);
        var parts = new List<Normalizer>();
        if (part.Flag("clean_text", true))
        {
            parts.Add(CharacterNormalizer.BertClean);
        }
        if (part.Flag("handle_chinese_chars", true))
        {
            parts.Add(CharacterNormalizer.SpaceChinese);
        }
        if (part.Flag("strip_accents", lower))
        {
            parts.Add(new UnicodeForm(false, false));
            parts.Add(CharacterNormalizer.StripNonSpacing);
        }
        if (lower)
        {
            parts.Add(CharacterNormalizer.Lowercase);
        }
        return new NormalizerSequence([.. parts]);
    }

    private static List<List<int[]?>?> Around(JsonPart part)
    {
        JsonPart type = part.Need("type");
        return type.Text() switch
        {
            "ByteLevel" => [null], // moves offsets, which Weft does not give
            "TemplateProcessing" => [Template(part)],
            "BertProcessing" or "RobertaProcessing" => [[Pair(part.Need("cls")), null, Pair(part.Need("sep"))]],
            "Sequence" => [.. Parts(part.Need("processors")).SelectMany(Around)],
            _ => throw type.Unknown("post-processor", PostProcessors),
        };
    }

    private static int[] Pair(JsonPart part)
    {
        JsonPart[] items = [.. part.Items().Take(3)];
        return items.Length == 2 ? [items[1].Number(Vocabulary.MaxIds - 1)] : throw part.Wrong("a token and its id");
    }

    private static List<int[]?> Template(JsonPart part)
    {
        var parts = new List<int[]?>();
        int sequences = 0, special = 0;
        foreach (JsonPart piece in Parts(part.Need("single")))
        {
            if (piece.Get("Sequence") is { } sequence)
            {
                JsonPart id = sequence.Need("id");
                parts.Add(id.Text() == "A" ? null : throw id.Wrong("'A', the only text there is"));
                sequences++;
                continue;
            }
            string name = piece.Need("SpecialToken").Need("id").Text();
            JsonPart token = part.Need("special_tokens").Get(name) ?? throw part.Need("special_tokens").Fail($"has no {PatternText.Quote(name)}, which 'single' names");
            int[] ids = [.. token.Need("ids").Items().Take(MaxSpecial + 1).Select(i => i.Number(Vocabulary.MaxIds - 1))];
            special += ids.Length;
            parts.Add(ids);
        }
        return sequences <= 1 && special <= MaxSpecial ? parts
            : throw part.Need("single").Fail($"holds the text more than once, or more than {MaxSpecial} special tokens");
    }
}
