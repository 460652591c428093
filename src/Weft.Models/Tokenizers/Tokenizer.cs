using System.Buffers;
using System.Text;
using Weft.Tensors;

namespace Weft.Models.Tokenizers;

/// <summary>
/// A tokenizer of Hugging Face's tokenizer.json: text to ids and back, equal to what the tokenizers library gives. One tokenizer serves any
/// number of threads. docs/tokenizers.md says which parts of the format it takes.
/// </summary>
public sealed class Tokenizer
{
    private readonly TokenizerParts parts;
    private readonly AddedTokenFinder plainTokens;
    private readonly AddedTokenFinder normalizedTokens;
    private readonly Dictionary<int, AddedToken> addedById;
    private readonly Dictionary<string, int> addedByContent;
    private readonly TokenDecoding[] decoders;
    private readonly Lazy<DecodedTokens> decoded;
    private Scratch? spare;

    private Tokenizer(TokenizerParts parts)
    {
        this.parts = parts;
        plainTokens = new AddedTokenFinder(parts.Added.Where(t => !t.Normalized));
        normalizedTokens = new AddedTokenFinder(parts.Added.Where(t => t.Normalized));
        addedById = parts.Added.ToDictionary(t => t.Id);
        addedByContent = parts.Added.ToDictionary(t => t.Content, t => t.Id, StringComparer.Ordinal);
        VocabularySize = Math.Max(parts.Model.Vocabulary.Ids, parts.Added.Length > 0 ? parts.Added[^1].Id + 1 : 0);
        SpecialIds = [.. parts.Added.Where(t => t.Special).Select(t => t.Id)];
        TokenDecoding[] pure = [.. parts.Decoders.TakeWhile(d => d.IsPure)];
        decoders = parts.Decoders[pure.Length..];
        decoded = new Lazy<DecodedTokens>(() => new DecodedTokens(this, pure));
    }

    /// <summary>One more than the highest id: what a model's embedding must have at least.</summary>
    public int VocabularySize { get; }

    /// <summary>The ids of the special tokens, in order.</summary>
    public IReadOnlyList<int> SpecialIds { get; }

    internal DecodedTokens Decoded => decoded.Value;

    /// <summary>Reads a tokenizer.json file; refuses, by the path within the file, what it does not know.</summary>
    public static Tokenizer Load(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        string source = PatternText.OneLine(path);
        try
        {
            using FileStream file = File.OpenRead(path);
            // A declared length may lie (a device, a pipe), so the file is read until it ends or is too long.
            using var bytes = new MemoryStream((int)Math.Min(file.Length, TokenizerReader.MaxFileBytes));
            var block = new byte[1 << 16];
            for (int read; bytes.Length <= TokenizerReader.MaxFileBytes && (read = file.Read(block)) > 0;)
            {
                bytes.Write(block, 0, read);
            }
            return Read(bytes.GetBuffer().AsMemory(0, (int)bytes.Length), source);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            string reason = e is FileNotFoundException or DirectoryNotFoundException ? "no such file"
                : Directory.Exists(path) ? "is a directory"
                : "cannot be read";
            throw new InputException($"{source}: {reason}; give the path of a tokenizer.json file", e);
        }
    }

    /// <summary>Reads the bytes of a tokenizer.json file; messages name the source.</summary>
    public static Tokenizer Read(ReadOnlyMemory<byte> utf8, string source)
    {
        ArgumentNullException.ThrowIfNull(source);
        return new Tokenizer(TokenizerReader.Read(utf8, PatternText.OneLine(source)));
    }

    /// <summary>Writes the tokenizer.json of plain bytes: ids 0 to 255 are the bytes, and any text is its bytes.</summary>
    public static void WriteBytes(Stream stream) => ByteLevelFile.Write(stream, ByteLevelFile.Bytes(), []);

    /// <summary>The ids of a text, with the special tokens that belong around it unless told otherwise.</summary>
    public int[] Encode(string text, bool addSpecial = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        byte[] utf8 = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(text.Length));
        int[] ids = Encode(utf8.AsSpan(0, Encoding.UTF8.GetBytes(text, utf8)), addSpecial);
        ArrayPool<byte>.Shared.Return(utf8);
        return ids;
    }

    /// <summary>
    /// The ids of UTF-8 text. Bytes that are no UTF-8 are kept where the tokenizer takes bytes and rewrites nothing; otherwise each becomes U+FFFD.
    /// </summary>
    public int[] Encode(ReadOnlySpan<byte> utf8, bool addSpecial = true)
    {
        var ids = new ArrayBufferWriter<int>();
        Encode(utf8, addSpecial, ids);
        return ids.WrittenSpan.ToArray();
    }

    /// <summary>Appends the ids of UTF-8 text; allocates nothing once texts of the length have been seen, but for what the writer needs.</summary>
    public void Encode(ReadOnlySpan<byte> utf8, bool addSpecial, IBufferWriter<int> ids)
    {
        ArgumentNullException.ThrowIfNull(ids);
        Scratch scratch = Interlocked.Exchange(ref spare, null) ?? new Scratch();
        scratch.Begin(utf8.Length);
        Store<byte> repaired = scratch.RentText();
        bool keepsBytes = parts.TakesBytes && parts.Normalizer is null;
        Encode(!keepsBytes && CodePoint.Repair(utf8, repaired) ? repaired.Span : utf8, scratch);
        scratch.Return(repaired);
        parts.PostProcessor.Write(scratch.Ids.Span, addSpecial, ids);
        spare = scratch;
    }

    /// <summary>The text of ids; with <paramref name="skipSpecial"/> without special tokens. Ids that have no token are passed over.</summary>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecial = false) => Encoding.UTF8.GetString(NewDecoder(skipSpecial).All(ids));

    /// <summary>A decoder that takes ids one by one.</summary>
    public TokenDecoder NewDecoder(bool skipSpecial = false) => new(this, decoders, skipSpecial);

    /// <summary>The token of an id, as the file writes it; null where there is none.</summary>
    public string? TokenOf(int id) => addedById.TryGetValue(id, out AddedToken? added) ? added.Content
        : parts.Model.Vocabulary.TryGetToken(id, out ReadOnlySpan<byte> token) ? Encoding.UTF8.GetString(token)
        : null;

    /// <summary>The id of a token, as the file writes it; null where there is none.</summary>
    public int? IdOf(string token)
    {
        ArgumentNullException.ThrowIfNull(token);
        return addedByContent.TryGetValue(token, out int added) ? added
            : parts.Model.Vocabulary.TryGet(Encoding.UTF8.GetBytes(token), out int id) ? id
            : null;
    }

    /// <summary>Whether an id is a special token's.</summary>
    public bool IsSpecial(int id) => addedById.TryGetValue(id, out AddedToken? added) && added.Special;

    // The text that an id decodes to before any decoder: an added token's as the normaliser writes it.
    internal bool TryGetText(int id, out ReadOnlySpan<byte> text)
    {
        if (addedById.TryGetValue(id, out AddedToken? added))
        {
            text = added.Text;
            return true;
        }
        return parts.Model.Vocabulary.TryGetToken(id, out text);
    }

    private void Encode(ReadOnlySpan<byte> text, Scratch scratch)
    {
        scratch.Segments.Clear();
        plainTokens.Split(text, scratch.Segments);
        foreach ((int start, int length, int id) in scratch.Segments.Span)
        {
            if (id >= 0)
            {
                scratch.Ids.Add(id);
                continue;
            }
            Store<byte> rewritten = scratch.RentText();
            ReadOnlySpan<byte> segment = text.Slice(start, length);
            if (parts.Normalizer?.Normalize(segment, rewritten, scratch) == true)
            {
                segment = rewritten.Span;
            }
            EncodeSegment(segment, start == 0, scratch);
            scratch.Return(rewritten);
        }
    }

    private void EncodeSegment(ReadOnlySpan<byte> text, bool isFirst, Scratch scratch)
    {
        scratch.InnerSegments.Clear();
        normalizedTokens.Split(text, scratch.InnerSegments);
        foreach ((int start, int length, int id) in scratch.InnerSegments.Span)
        {
            if (id >= 0)
            {
                scratch.Ids.Add(id);
                continue;
            }
            var words = new SplitText(text.Slice(start, length), isFirst && start == 0, scratch);
            parts.PreTokenizer?.Split(ref words);
            foreach (Piece word in words.Pieces.Span)
            {
                parts.Model.Encode(words.Text.Slice(word.Start, word.Length), scratch);
            }
            words.Release();
        }
    }
}
