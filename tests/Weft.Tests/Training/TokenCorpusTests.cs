using System.Text;
using Weft.Models.Tokenizers;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Tests.Training;

public sealed class TokenCorpusTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    private static string Fixture(string name) => FixtureFiles.At("tokenizers", name, "tokenizer.json");

    private static TokenCorpus Encode(Corpus text, string file, int piece = TokenCorpus.PieceBytes, Action<long>? progress = null) =>
        TokenCorpus.Encode(text, Tokenizer.Load(file), file, piece, progress, TestContext.Current.CancellationToken);

    private static int[] All(TokenSource source)
    {
        var tokens = new int[source.Length];
        source.Read(0, tokens);
        return tokens;
    }

    [Theory]
    [InlineData("gpt2-bytelevel")]
    [InlineData("llama3-split")]
    [InlineData("qwen2-split-nfc")]
    public void PiecesGiveTheTokensOfTheWhole(string name)
    {
        var head = new byte[30_000];
        using (Corpus speeches = Corpus.Default())
        {
            speeches.Read(1000, head);
        }

        byte[] text = [.. head, .. Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 300).Select(i =>
            $"if (x{i} > {i * 1237}) {{\r\n\r\n    return \"straße\";\n\n}} // über {(char)(0x4E00 + i)}\u3000\u00A0 don't\t\t stop...\n/{i}\n {i}\n\u0301a\n")))];
        using Corpus corpus = Corpus.FromBytes(text, "text");
        Tokenizer tokenizer = Tokenizer.Load(Fixture(name));
        int[] train = tokenizer.Encode(text.AsSpan(0, (int)corpus.TrainLength), addSpecial: false), rest = tokenizer.Encode(text.AsSpan((int)corpus.TrainLength), addSpecial: false);
        foreach (int piece in new[] { 300, 1000, 1 << 20 })
        {
            TokenCorpus tokens = Encode(corpus, Fixture(name), piece);
            Assert.Equal((train.Length, rest.Length), (tokens.TrainLength, tokens.HeldOutLength));
            Assert.Equal([.. train, .. rest], All(tokens));
            Assert.Equal(train.Concat(rest).Max() + 1, tokens.Vocabulary);
        }
    }

    [Theory]
    [InlineData("gpt2-bytelevel", true)]
    [InlineData("llama3-split", true)]
    [InlineData("qwen2-split-nfc", false)]
    [InlineData("llama2-byte-fallback", true)]
    [InlineData("unigram-metaspace", false)]
    public void TheBytesOfAllTokensAreTheTexts(string name, bool keepsText)
    {
        byte[] text = Encoding.UTF8.GetBytes(SmallTokenizer.Text(200) + string.Concat(Enumerable.Repeat("Straße ﬁx 漢字 e\u0301 x.\n", 200)));
        using Corpus corpus = Corpus.FromBytes(text, "text");
        TokenCorpus tokens = Encode(corpus, Fixture(name), 700);
        Assert.Equal(corpus.TrainLength, tokens.BytesOf(0, tokens.TrainLength));
        Assert.Equal(corpus.HeldOutLength, tokens.BytesOf(tokens.TrainLength, tokens.HeldOutLength));
        Assert.Equal(0, tokens.BytesOf(5, 0));
        if (keepsText)
        {
            // Where nothing is rewritten, tokens have the bytes that they decode to.
            Tokenizer tokenizer = Tokenizer.Load(Fixture(name));
            int[] some = All(tokens)[..50];
            Assert.Equal(Encoding.UTF8.GetByteCount(tokenizer.Decode(some)), tokens.BytesOf(0, 50));
            Assert.StartsWith(tokenizer.Decode(some), Encoding.UTF8.GetString(text), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void AnyBytesAddUpAndAreReadFromAnywhere()
    {
        byte[] bytes = new byte[1_200_000]; // some chunks, two pieces
        new Random(1).NextBytes(bytes);
        using Corpus corpus = Corpus.FromBytes(bytes, "noise");
        string file = SmallTokenizer.WriteBytes(folder);
        long done = 0;
        TokenCorpus tokens = Encode(corpus, file, progress: now => done = now);
        Assert.Equal((corpus.Length, corpus.TrainLength, corpus.HeldOutLength, 256), (tokens.Length, tokens.TrainLength, tokens.HeldOutLength, tokens.Vocabulary));
        Assert.Equal(corpus.Length, done);
        Assert.Equal(corpus.TrainLength, tokens.BytesOf(0, tokens.TrainLength));
        Assert.Equal(corpus.HeldOutLength, tokens.BytesOf(tokens.TrainLength, tokens.HeldOutLength));
        Assert.InRange(tokens.MemoryBytes, 4 * tokens.Length, (4 * tokens.Length) + (1 << 20));
        int[] a = new int[300_000], b = new int[300_000];
        foreach (long offset in new long[] { 0, 1, 262_143, 262_144, 700_001, 900_000 })
        {
            corpus.Read(offset, a);
            tokens.Read(offset, b);
            Assert.Equal(a, b);
        }

        Assert.Throws<ArgumentOutOfRangeException>(() => tokens.Read(900_001, b));
        Assert.Throws<ArgumentOutOfRangeException>(() => tokens.BytesOf(-1, 1));
        Assert.Equal(0, Allocations.Least(() => tokens.BytesOf(100, tokens.Length - 200)));
        Assert.Equal(0, Allocations.Least(() => tokens.Read(7, b)));
        Assert.Equal(0, Allocations.Least(() => corpus.Read(7, b)));
    }

    [Theory]
    [InlineData("one.\ntwo three", "one.\n")]
    [InlineData("one two\n\n three four", "one two\n\n three")] // not between lines that are empty
    [InlineData("one\r\ntwo three", "one\r\ntwo")]            // nor where a line's end is two characters
    [InlineData("one\n/two", "one\n/two")]                    // nor before what may belong to the line's end
    [InlineData("wordswithoutend", "wordswithoutend")]
    [InlineData("漢字", "漢")]
    public void PiecesEndWhereTokensDo(string text, string piece) =>
        Assert.Equal(piece, Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text).AsSpan(0, TokenCorpus.Cut(Encoding.UTF8.GetBytes(text)))));

    [Fact]
    public void TheFingerprintIsOfTextAndTokenizer()
    {
        using Corpus corpus = SmallTokenizer.Corpus(), other = SmallTokenizer.Corpus(300);
        string small = SmallTokenizer.Write(folder), bytes = SmallTokenizer.WriteBytes(folder);
        string[] all = [Encode(corpus, small).Fingerprint, Encode(corpus, bytes).Fingerprint, Encode(other, small).Fingerprint, corpus.Fingerprint];
        Assert.Equal(4, all.Distinct().Count());
        Assert.Equal(all[0], Encode(corpus, small, 100).Fingerprint);
    }

    [Fact]
    public void ItCanBeStoppedAndRefusesWhatIsTooShort()
    {
        using Corpus corpus = SmallTokenizer.Corpus();
        string small = SmallTokenizer.Write(folder);
        Assert.Throws<OperationCanceledException>(() => TokenCorpus.Encode(corpus, Tokenizer.Load(small), small, cancel: new CancellationToken(canceled: true)));
        TokenCorpus tokens = Encode(corpus, small);
        Refused.With(() => tokens.RequireContext(1 << 20), "'text' is too short for a context of 1048576", "training tokens", "a context of at most");
        Refused.With(() => Tokenizer.Load(folder["none.json"]), "none.json");
    }
}
