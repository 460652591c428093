using System.Text;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Tests.Training;

public sealed class CorpusTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ReadsSeveralFilesAsOne()
    {
        RandomSource random = new(seed: 5);
        byte[] whole = new byte[10_000];
        for (int i = 0; i < whole.Length; i++)
        {
            whole[i] = (byte)random.NextInt(256);
        }
        string[] paths = [_folder.Write("c", whole.AsSpan(0, 1)), _folder.Write("a", whole.AsSpan(1, 6000)), _folder.Write("b", whole.AsSpan(6001))];
        using Corpus corpus = Corpus.Open(paths);
        Assert.Equal("c and 2 more", corpus.Name);
        Assert.Equal(10_000, corpus.Length);
        byte[] back = new byte[whole.Length];
        corpus.Read(0, back);
        Assert.Equal(whole, back);
        for (int i = 0; i < 500; i++)
        {
            int offset = random.NextInt(10_000);
            byte[] piece = new byte[random.NextInt(10_001 - offset)];
            corpus.Read(offset, piece);
            Assert.True(piece.AsSpan().SequenceEqual(whole.AsSpan(offset, piece.Length)));
        }
        corpus.Read(10_000, []);
        Assert.Throws<ArgumentOutOfRangeException>(() => corpus.Read(-1, new byte[1]));
        Assert.Throws<ArgumentOutOfRangeException>(() => corpus.Read(9_999, new byte[2]));
        Assert.Throws<ArgumentOutOfRangeException>(() => corpus.Read(0, new byte[10_001]));

        using Corpus memory = Corpus.FromBytes(whole, "memory");
        Assert.Equal(memory.Fingerprint, corpus.Fingerprint); // the same bytes, whatever they are stored in
    }

    [Theory]
    [InlineData(2, 0.1, 1_000_000, 1)]
    [InlineData(1_000, 0.1, 1_000_000, 500)] // too small for 4096: half
    [InlineData(20_000, 0.1, 1_000_000, 4_096)]
    [InlineData(100_000, 0.1, 1_000_000, 10_000)]
    [InlineData(100_000, 0.1, 5_000, 5_000)]
    [InlineData(11_000_000, 0.1, 1_000_000, 1_000_000)]
    [InlineData(10_000, 0.75, 1_000_000, 7_500)]
    public void HoldsOutTheEnd(int length, double fraction, long atMost, long heldOut)
    {
        using Corpus corpus = Corpus.FromBytes(new byte[length], "x", fraction, atMost);
        Assert.Equal(heldOut, corpus.HeldOutLength);
        Assert.Equal(length - heldOut, corpus.TrainLength);
    }

    [Fact]
    public void TheFingerprintTellsCorporaApart()
    {
        byte[] small = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("some text. ", 500)));
        byte[] large = new byte[5_000_000];
        string Of(byte[] bytes, double fraction = 0.1) => Corpus.FromBytes(bytes, "x", fraction).Fingerprint;
        List<string> prints = [Of(small), Of(small[1..]), Of(small, 0.9), Of(large), Of(large[1..])];
        small[^1] ^= 1;
        large[^1] ^= 1;
        prints.AddRange([Of(small), Of(large)]);
        large[0] ^= 1;
        prints.Add(Of(large));
        Assert.Equal(prints.Count, prints.Distinct().Count());
        Assert.Equal(Of(large), Of(large));
        Assert.All(prints, print => Assert.Equal(32, print.Length));
    }

    [Fact]
    public void SaysWhatIsWrongWithAFile()
    {
        string good = _folder.Write("good", new byte[100]);
        Refused.With(() => Corpus.Open([]), "no file");
        Refused.With(() => Corpus.Open([good, _folder["none.txt"]]), "none.txt'", "no such file");
        Refused.With(() => Corpus.Open([_folder["no/ne.txt"]]), "no such");
        Refused.With(() => Corpus.Open([_folder.Path]), "is a directory", "give the files");
        Refused.With(() => Corpus.Open([good, _folder.Write("empty", [])]), "empty'", "is empty");
        Refused.With(() => Corpus.Open([_folder.Write("one", [1])]), "one'", "1 byte");
        Refused.With(() => Corpus.Open([good], heldOutFraction: 0), "held-out fraction of 0", "0.1");
        Refused.With(() => Corpus.Open([good], heldOutFraction: double.NaN), "held-out fraction");
        Refused.With(() => Corpus.Open([good], heldOutAtMost: 0), "0 bytes held out");
        Refused.With(() => Corpus.Open([""]), "cannot read ''");
        using Corpus corpus = Corpus.Open([good]);
        corpus.RequireContext(49);
        Refused.With(() => corpus.RequireContext(50), "'good'", "too short for a context of 50", "needs 51 training bytes", "of its 100 bytes 50 are", "at most 49");
        Refused.With(() => corpus.RequireContext(0), "context of 0");
        Refused.With(() => corpus.RequireContext(int.MaxValue), "2147483648");
    }

    [Fact]
    public void SaysThatAFileMayNotBeRead()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "sets Unix permissions");
        string path = _folder.Write("secret", new byte[100]);
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(path, UnixFileMode.None);
        }
        Assert.SkipWhen(Environment.IsPrivilegedProcess, "an administrator may read every file");
        Refused.With(() => Corpus.Open([path]), "secret'", "permission denied");
    }

    [Fact]
    public void SaysThatAFileWasCutShortMeanwhile()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows does not let an open file be cut");
        string path = _folder.Write("shrinks", new byte[10_000]);
        using Corpus corpus = Corpus.Open([path]);
        using (FileStream stream = new(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            stream.SetLength(5_000);
        }
        Refused.With(() => corpus.Read(4_000, new byte[2_000]), "shrinks'", "cut short");
    }

    [Fact]
    public void APipeIsRefusedInsteadOfWaitedFor()
    {
        Assert.SkipUnless(File.Exists("/dev/zero"), "needs a device file");
        Refused.With(() => Corpus.Open(["/dev/zero"]), "no regular file");
    }

    [Fact]
    public void TheBuiltInCorpusIsThere()
    {
        using Corpus corpus = Corpus.Default();
        Assert.Equal("sotu (built in)", corpus.Name);
        Assert.Equal(2_000_956, corpus.Length);
        Assert.Equal(200_095, corpus.HeldOutLength);
        byte[] start = new byte[21];
        corpus.Read(0, start);
        Assert.Equal("Mr. Speaker, Mr. Pres", Encoding.ASCII.GetString(start));
    }

    [Fact]
    public void ReadingAllocatesNothing()
    {
        using Corpus corpus = Corpus.Open([_folder.Write("a", new byte[5_000]), _folder.Write("b", new byte[5_000])]);
        TokenBatches batches = new(corpus, batch: 4, context: 64, seed: 1);
        int[] into = new int[batches.TokensPerBatch];
        Assert.Equal(0, Allocations.Least(() =>
        {
            for (int i = 0; i < 200; i++) // several epochs
            {
                batches.Next(into);
            }
        }));
    }
}
