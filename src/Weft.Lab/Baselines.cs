using System.Buffers;
using System.IO.Compression;
using Weft.Training;

namespace Weft.Lab;

/// <summary>
/// What costs no training at all, in bits per byte of the same held-out text: a model that cannot beat these has learned nothing. The
/// compressors see the held-out text alone, as a person compressing that file would, and predict from what they have read of it.
/// </summary>
/// <param name="Bytes">The length of the held-out text.</param>
/// <param name="Order0">
/// The entropy of the text's own byte histogram: what the best code that looks at no context would spend. It is told that histogram for
/// nothing, so it flatters slightly.
/// </param>
/// <param name="Gzip">gzip at its strongest level (that of <c>gzip -9</c>): 8 x compressed / original bytes, its header included.</param>
/// <param name="Brotli">Brotli at quality 11, window 2^24: 8 x compressed / original bytes. It brings a dictionary of common words, which helps with English.</param>
public sealed record Baselines(long Bytes, double Order0, double Gzip, double Brotli)
{
    private const int BlockBytes = 1 << 16;
    private const int BrotliQuality = 11;
    private const int BrotliWindowBits = 24;

    /// <summary>Measures the held-out part of a corpus in one pass, in constant memory.</summary>
    /// <exception cref="Weft.Tensors.InputException">A file cannot be read.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static Baselines Measure(Corpus corpus, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(corpus);
        long[] histogram = new long[256];
        byte[] block = new byte[BlockBytes];
        using CountingStream gzipped = new();
        using GZipStream gzip = new(gzipped, CompressionLevel.SmallestSize, leaveOpen: true);
        using BrotliEncoder brotli = new(BrotliQuality, BrotliWindowBits);
        byte[] brotliOutput = new byte[BlockBytes];
        long brotliBytes = 0;
        for (long offset = corpus.TrainLength; offset < corpus.Length; offset += block.Length)
        {
            cancellation.ThrowIfCancellationRequested();
            Span<byte> bytes = block.AsSpan(0, (int)Math.Min(block.Length, corpus.Length - offset));
            corpus.Read(offset, bytes);
            foreach (byte b in bytes)
            {
                histogram[b]++;
            }
            gzip.Write(bytes);
            brotliBytes += Compress(brotli, bytes, brotliOutput, isLast: offset + bytes.Length == corpus.Length);
        }
        gzip.Dispose(); // writes the end of the stream
        double length = corpus.HeldOutLength;
        return new Baselines(corpus.HeldOutLength, Entropy(histogram), 8 * gzipped.Length / length, 8 * brotliBytes / length);
    }

    // In bits: -sum p log2 p.
    private static double Entropy(ReadOnlySpan<long> histogram)
    {
        double total = 0;
        foreach (long count in histogram)
        {
            total += count;
        }
        double bits = 0;
        foreach (long count in histogram)
        {
            bits += count == 0 ? 0 : count / total * Math.Log2(total / count);
        }
        return bits;
    }

    // The encoder is driven by hand since BrotliStream does not let the window be chosen. Returns the bytes it put out.
    private static long Compress(BrotliEncoder encoder, ReadOnlySpan<byte> bytes, Span<byte> output, bool isLast)
    {
        long written = 0;
        OperationStatus status;
        do
        {
            status = encoder.Compress(bytes, output, out int consumed, out int produced, isLast);
            bytes = bytes[consumed..];
            written += produced;
        }
        while (status == OperationStatus.DestinationTooSmall);
        return status == OperationStatus.Done ? written : throw new InvalidOperationException($"the Brotli encoder answers {status}");
    }

    // Keeps of what is written only its length.
    private sealed class CountingStream : Stream
    {
        private long length;

        public override bool CanRead => false;
        public override bool CanSeek => false;
        public override bool CanWrite => true;
        public override long Length => this.length;
        public override long Position { get => this.length; set => throw new NotSupportedException(); }

        public override void Write(ReadOnlySpan<byte> buffer) => this.length += buffer.Length;
        public override void Write(byte[] buffer, int offset, int count) => this.length += count;
        public override void Flush() { }
        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
