using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using Weft.Models.Checkpoints;
using Weft.Models.Tokenizers;
using Weft.Tensors;

namespace Weft.Training;

/// <summary>
/// A text as a tokenizer sees it, tokenised once and held in memory: 4 bytes a token. Training part and held-out part are divided where
/// <see cref="Corpus"/> divides the bytes, and tokenised apart, so that every tokenizer is judged on the same held-out text.
/// <para>
/// Texts of any length are tokenised in pieces of up to 1 MiB that end where tokenizers do not join what stands on either side: after a line,
/// or before a word. A tokenizer that marks where a text begins marks these places too. Special tokens are not added.
/// </para>
/// </summary>
public sealed class TokenCorpus : TokenSource
{
    /// <summary>The bytes of a piece, at most.</summary>
    internal const int PieceBytes = 1 << 20;

    // A token is held with the bytes of text that it stands for: those of all tokens of a part add up to the part's. What is more than 12 bits
    // can say counts for the next token.
    private const int IdBits = 20, ChunkTokens = 1 << 18;
    private const uint IdMask = (1u << IdBits) - 1;
    private const long MostBytes = (1 << (32 - IdBits)) - 1;

    private readonly List<uint[]> chunks = [];
    private readonly byte[] tokenizerJson;
    private long length, heldOutLength;
    private int highest;

    private TokenCorpus(Corpus text, byte[] tokenizerJson)
    {
        (Name, this.tokenizerJson) = (text.Name, tokenizerJson);
        Fingerprint = $"{text.Fingerprint}-{Convert.ToHexStringLower(SHA256.HashData(tokenizerJson).AsSpan(0, 16))}";
    }

    /// <summary>Tokenises a corpus, which is needed no longer then.</summary>
    /// <param name="text">The text.</param>
    /// <param name="tokenizer">The tokenizer.</param>
    /// <param name="tokenizerFile">Its tokenizer.json, which goes with the models that learn from the tokens.</param>
    /// <param name="progress">Called after each piece with the bytes done.</param>
    /// <param name="cancel">Gives up after a piece.</param>
    /// <exception cref="InputException">The text or the tokenizer cannot be read, or there is too little memory.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static TokenCorpus Encode(Corpus text, Tokenizer tokenizer, string tokenizerFile, Action<long>? progress = null, CancellationToken cancel = default) =>
        Encode(text, tokenizer, tokenizerFile, PieceBytes, progress, cancel);

    /// <summary>The same with a tokenizer that is no file yet, such as <see cref="BpeTrainer"/> gives.</summary>
    /// <exception cref="InputException">The text or the tokenizer cannot be read, or there is too little memory.</exception>
    public static TokenCorpus Encode(Corpus text, byte[] tokenizerJson, string tokenizerName, CancellationToken cancel = default) =>
        Encode(text, Tokenizer.Read(tokenizerJson, tokenizerName), tokenizerJson, PieceBytes, null, cancel);

    /// <summary>The same in pieces of other lengths.</summary>
    internal static TokenCorpus Encode(Corpus text, Tokenizer tokenizer, string tokenizerFile, int pieceBytes, Action<long>? progress, CancellationToken cancel) =>
        Encode(text, tokenizer, ReadAll(tokenizerFile), pieceBytes, progress, cancel);

    private static TokenCorpus Encode(Corpus text, Tokenizer tokenizer, byte[] tokenizerJson, int pieceBytes, Action<long>? progress, CancellationToken cancel)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(tokenizer);
        var tokens = new TokenCorpus(text, tokenizerJson);
        try
        {
            var encoding = new PieceEncoder(text, tokenizer, pieceBytes, progress, cancel);
            encoding.Append(tokens, 0, text.TrainLength);
            long trained = tokens.length;
            encoding.Append(tokens, text.TrainLength, text.Length);
            tokens.heldOutLength = tokens.length - trained;
        }
        catch (OutOfMemoryException e)
        {
            throw new InputException($"the tokens of {AtomicFile.Quote(text.Name)} do not fit into memory, 4 bytes each; give less text", e);
        }

        return tokens;
    }

    /// <inheritdoc/>
    public override string Name { get; }

    /// <inheritdoc/>
    public override long Length => length;

    /// <inheritdoc/>
    public override long HeldOutLength => heldOutLength;

    /// <summary>That of the bytes, with a hash of the tokenizer's file.</summary>
    public override string Fingerprint { get; }

    /// <summary>One more than the highest token that occurs.</summary>
    public override int Vocabulary => highest + 1;

    /// <summary>The memory that the tokens take.</summary>
    public long MemoryBytes => (long)chunks.Count * ChunkTokens * sizeof(uint);

    /// <inheritdoc/>
    public override void Read(long offset, Span<int> tokens)
    {
        Check(offset, tokens.Length);
        while (!tokens.IsEmpty)
        {
            ReadOnlySpan<uint> piece = Piece(offset, tokens.Length);
            for (int i = 0; i < piece.Length; i++)
            {
                tokens[i] = (int)(piece[i] & IdMask);
            }

            tokens = tokens[piece.Length..];
            offset += piece.Length;
        }
    }

    /// <inheritdoc/>
    public override long BytesOf(long offset, long count)
    {
        Check(offset, count);
        long bytes = 0;
        while (count > 0)
        {
            ReadOnlySpan<uint> piece = Piece(offset, count);
            foreach (uint token in piece)
            {
                bytes += token >> IdBits;
            }

            count -= piece.Length;
            offset += piece.Length;
        }

        return bytes;
    }

    internal override void WriteBeside(string folder) => AtomicFile.WriteAllBytes(Path.Combine(folder, ModelFolder.TokenizerFile), tokenizerJson);

    /// <summary>
    /// Where a piece of a longer text ends: after the last line that a letter or digit follows, or before the last such word where there is no
    /// line, so that the words on both sides are what they would be in the whole; else between two characters.
    /// </summary>
    internal static int Cut(ReadOnlySpan<byte> text)
    {
        for (int i = text.Length - 2; i > 0; i--)
        {
            if (text[i] == '\n' && IsBetweenWords(text, i))
            {
                return i + 1;
            }
        }

        for (int i = text.Length - 2; i > 0; i--)
        {
            if (text[i] == ' ' && IsBetweenWords(text, i))
            {
                return i;
            }
        }

        int end = text.Length - 1; // the last byte that begins a character
        while (end > 0 && end > text.Length - 4 && (text[end] & 0xC0) == 0x80)
        {
            end--;
        }

        return end > 0 && text[end] >= 0xC0 ? end : text.Length;
    }

    private static bool IsBetweenWords(ReadOnlySpan<byte> text, int at) =>
        Rune.DecodeLastFromUtf8(text[..at], out Rune before, out _) == OperationStatus.Done && !Rune.IsWhiteSpace(before)
        && Rune.DecodeFromUtf8(text[(at + 1)..], out Rune after, out _) == OperationStatus.Done && Rune.IsLetterOrDigit(after);

    private static byte[] ReadAll(string file)
    {
        try
        {
            return File.ReadAllBytes(file);
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("read", file, e);
        }
    }

    private void Check(long offset, long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, length - count);
    }

    // What one chunk holds of a range.
    private ReadOnlySpan<uint> Piece(long offset, long count)
    {
        int within = (int)(offset % ChunkTokens);
        return chunks[(int)(offset / ChunkTokens)].AsSpan(within, (int)Math.Min(count, ChunkTokens - within));
    }

    private void Add(int token, long bytes)
    {
        if (token > IdMask)
        {
            throw new InputException($"the tokenizer gives the token {token}, and no model has more than {IdMask + 1}");
        }

        int within = (int)(length % ChunkTokens);
        if (within == 0)
        {
            chunks.Add(new uint[ChunkTokens]);
        }

        chunks[^1][within] = (uint)token | ((uint)bytes << IdBits);
        highest = Math.Max(highest, token);
        length++;
    }

    /// <summary>Tokenises piece by piece.</summary>
    private sealed class PieceEncoder(Corpus text, Tokenizer tokenizer, int pieceBytes, Action<long>? progress, CancellationToken cancel)
    {
        private readonly byte[] buffer = new byte[pieceBytes];
        private readonly ArrayBufferWriter<int> ids = new();
        private int[] ends = [];

        public void Append(TokenCorpus to, long from, long end)
        {
            long counted = from; // the tokens so far stand for the bytes before it
            while (from < end)
            {
                cancel.ThrowIfCancellationRequested();
                Span<byte> piece = buffer.AsSpan(0, (int)Math.Min(buffer.Length, end - from));
                text.Read(from, piece);
                if (from + piece.Length < end)
                {
                    piece = piece[..Cut(piece)];
                }

                ids.ResetWrittenCount();
                tokenizer.Encode(piece, addSpecial: false, ids);
                ReadOnlySpan<int> tokens = ids.WrittenSpan;
                long decoded = Decode(tokens);
                for (int i = 0; i < tokens.Length; i++)
                {
                    // A tokenizer that rewrites text decodes to more or less of it: each token has its share.
                    long until = from + (decoded == 0 ? (i + 1L) * piece.Length / tokens.Length : ends[i] * (long)piece.Length / decoded);
                    long bytes = Math.Min(until - counted, MostBytes);
                    counted += bytes;
                    to.Add(tokens[i], bytes);
                }

                from += piece.Length;
                progress?.Invoke(from);
            }
        }

        // Where each token's text ends in what all of them decode to; returns the length of that.
        private long Decode(ReadOnlySpan<int> tokens)
        {
            if (ends.Length < tokens.Length)
            {
                ends = new int[tokens.Length];
            }

            TokenDecoder decoder = tokenizer.NewDecoder();
            int end = 0;
            for (int i = 0; i < tokens.Length; i++)
            {
                end += decoder.Add(tokens[i]).Length;
                ends[i] = end;
            }

            end += decoder.Finish().Length;
            if (tokens.Length > 0)
            {
                ends[tokens.Length - 1] = end;
            }

            return end;
        }
    }
}
