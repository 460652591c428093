using System.Diagnostics;
using System.IO.Compression;
using Weft.Lab;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Tests.Lab;

public sealed class BaselinesTests : IDisposable
{
    private static readonly Lazy<Baselines> BuiltIn = new(() =>
    {
        using Corpus corpus = Corpus.Default();
        return Baselines.Measure(corpus);
    });

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void OrderZeroIsTheEntropyOfTheHistogram()
    {
        Assert.Equal(0, Of(new byte[1000]).Order0);
        Assert.Equal(1, Of([.. Enumerable.Range(0, 1000).Select(i => (byte)(i % 2))]).Order0, 1e-12);
        Assert.Equal(8, Of([.. Enumerable.Range(0, 256 * 200).Select(i => (byte)i)]).Order0, 1e-12);
        Assert.Equal(0.8112781244591328, Of([.. Enumerable.Range(0, 1000).Select(i => (byte)(i % 4 == 0 ? 1 : 0))]).Order0, 1e-12);
    }

    [Fact]
    public void NoiseDoesNotCompress()
    {
        byte[] noise = new byte[400_000];
        RandomSource random = new(seed: 1);
        for (int i = 0; i < noise.Length; i++)
        {
            noise[i] = (byte)random.NextInt(256);
        }
        Baselines baselines = Of(noise);
        Assert.Equal(200_000, baselines.Bytes);
        Assert.InRange(baselines.Gzip, 8.0, 8.01);
        Assert.InRange(baselines.Brotli, 8.0, 8.01);
        Assert.InRange(baselines.Order0, 7.99, 8.0);
    }

    [Fact]
    public void StreamingInBlocksCompressesAsWellAsInOnePiece()
    {
        using Corpus corpus = Corpus.Default();
        Baselines streamed = BuiltIn.Value;
        byte[] text = new byte[corpus.HeldOutLength];
        corpus.Read(corpus.TrainLength, text);
        byte[] output = new byte[text.Length];
        Assert.True(BrotliEncoder.TryCompress(text, output, out int brotliBytes, quality: 11, window: 24));
        Assert.Equal(8.0 * brotliBytes / text.Length, streamed.Brotli, 0.005);
        Assert.Equal(200_095, streamed.Bytes);
        Assert.InRange(streamed.Order0, 4.2, 4.8);
        Assert.InRange(streamed.Gzip, 2.6, 3.2);
        Assert.InRange(streamed.Brotli, 2.2, 2.7);
    }

    [Fact]
    public void GzipIsThatOfTheProgram()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/gzip") || File.Exists("/bin/gzip"), "needs the program gzip");
        using Corpus corpus = Corpus.Default();
        byte[] text = new byte[corpus.HeldOutLength];
        corpus.Read(corpus.TrainLength, text);
        string path = _folder.Write("text", text);
        using (Process gzip = Process.Start("gzip", ["-9", path]))
        {
            gzip.WaitForExit();
        }
        double program = 8.0 * new FileInfo(path + ".gz").Length / text.Length;
        Assert.InRange(BuiltIn.Value.Gzip / program, 0.985, 1.015);
    }

    [Fact]
    public void CanBeCancelled()
    {
        using Corpus corpus = Corpus.FromBytes(new byte[100], "x");
        Assert.Throws<OperationCanceledException>(() => Baselines.Measure(corpus, new CancellationToken(canceled: true)));
    }

    // The baselines of these very bytes: half of the corpus is held out.
    private static Baselines Of(byte[] bytes)
    {
        byte[] half = bytes[(bytes.Length / 2)..];
        using Corpus corpus = Corpus.FromBytes((byte[])[.. half, .. half], "x", heldOutFraction: 0.5);
        return Baselines.Measure(corpus);
    }
}
