using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Win32.SafeHandles;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Training;

/// <summary>
/// The bytes to learn from, each a token: one or several files, read as if concatenated in the order given, of any size, since only ranges asked for
/// are read. Its last part is held out for evaluation and never trained on: bytes 0 .. <see cref="TokenSource.TrainLength"/> - 1 are for training, the
/// <see cref="HeldOutLength"/> bytes after them are held out. The end, rather than random pieces, because neighbouring passages resemble each
/// other, and predicting what comes after the training text is the honest question. Several threads may read at once.
/// </summary>
public sealed class Corpus : TokenSource, IDisposable
{
    /// <summary>The fraction held out unless told otherwise.</summary>
    public const double DefaultHeldOutFraction = 0.1;

    /// <summary>The most bytes held out unless told otherwise: more would cost evaluation time without making its result surer.</summary>
    public const long DefaultHeldOutAtMost = 1_000_000;

    private const long HeldOutAtLeast = 4096;
    private const int SampleBytes = 4096;
    private const int Samples = 256;

    private readonly Part[] parts;
    private string? fingerprint;

    // One file, or bytes in memory, and where they begin in the whole.
    private readonly record struct Part(long Start, long Length, string Path, SafeFileHandle? Handle, ReadOnlyMemory<byte> Bytes);

    private Corpus(string name, Part[] parts, double heldOutFraction, long heldOutAtMost)
    {
        if (!(heldOutFraction > 0 && heldOutFraction < 1))
        {
            throw new InputException($"a held-out fraction of {heldOutFraction} is not between 0 and 1; 0.1 is usual");
        }
        if (heldOutAtMost < 1)
        {
            throw new InputException($"{heldOutAtMost} bytes held out are too few to evaluate on");
        }
        Name = name;
        this.parts = parts;
        Length = parts[^1].Start + parts[^1].Length;
        if (Length < 2)
        {
            throw new InputException($"{AtomicFile.Quote(name)} has {Length} byte; there is nothing to learn in fewer than 2");
        }
        long atLeast = Math.Min(HeldOutAtLeast, Length / 2);
        HeldOutLength = Math.Min(Math.Max((long)(Length * heldOutFraction), atLeast), Math.Min(heldOutAtMost, Length - 1));
    }

    /// <summary>
    /// Opens files as one corpus. Held out is <paramref name="heldOutFraction"/> of all bytes, at the end of the last file; at least 4096 bytes
    /// (or half of a corpus too small for that), and at most <paramref name="heldOutAtMost"/> bytes.
    /// </summary>
    /// <exception cref="InputException">A file is missing, a directory, empty or unreadable, or the fraction is not between 0 and 1.</exception>
    public static Corpus Open(IReadOnlyList<string> paths, double heldOutFraction = DefaultHeldOutFraction, long heldOutAtMost = DefaultHeldOutAtMost)
    {
        ArgumentNullException.ThrowIfNull(paths);
        if (paths.Count == 0)
        {
            throw new InputException("no file to learn from was given");
        }
        List<Part> parts = [];
        try
        {
            long start = 0;
            foreach (string path in paths)
            {
                Part part = OpenPart(path, start);
                parts.Add(part);
                start += part.Length;
            }
            string name = Path.GetFileName(paths[0]) + (paths.Count > 1 ? $" and {paths.Count - 1} more" : "");
            return new Corpus(name, [.. parts], heldOutFraction, heldOutAtMost);
        }
        catch
        {
            parts.ForEach(part => part.Handle?.Dispose());
            throw;
        }
    }

    /// <summary>A corpus over bytes in memory, which must not change while it is in use. Held out as in <see cref="Open"/>.</summary>
    /// <exception cref="InputException">There are fewer than 2 bytes, or the fraction is not between 0 and 1.</exception>
    public static Corpus FromBytes(
        ReadOnlyMemory<byte> bytes,
        string name,
        double heldOutFraction = DefaultHeldOutFraction,
        long heldOutAtMost = DefaultHeldOutAtMost) =>
        new(name, [new Part(0, bytes.Length, name, null, bytes)], heldOutFraction, heldOutAtMost);

    /// <summary>A corpus over a text's UTF-8 bytes. Held out as in <see cref="Open"/>.</summary>
    /// <exception cref="InputException">The text is too short.</exception>
    public static Corpus FromText(string text, string name = "text") => FromBytes(Encoding.UTF8.GetBytes(text), name);

    /// <summary>
    /// The corpus that comes with Weft: State of the Union addresses from 1964 on, 2 MB of public-domain English (see data/README.md), embedded
    /// in this assembly so that it is there wherever Weft is.
    /// </summary>
    public static Corpus Default()
    {
        using Stream resource = typeof(Corpus).Assembly.GetManifestResourceStream("sotu.txt")
            ?? throw new InvalidOperationException("the built-in corpus is missing from the assembly");
        byte[] bytes = new byte[resource.Length];
        resource.ReadExactly(bytes);
        return FromBytes(bytes, "sotu (built in)");
    }

    /// <summary>What to call it in messages and reports: the first file's name, and how many more there are.</summary>
    public override string Name { get; }

    /// <summary>All bytes.</summary>
    public override long Length { get; }

    /// <summary>The bytes held out: offsets TrainLength .. Length - 1.</summary>
    public override long HeldOutLength { get; }

    /// <summary>
    /// Identifies the training and held-out bytes, so that a run is not resumed on others: a hash of both lengths and of the content - all of
    /// it up to 1 MiB, beyond that 256 evenly spread samples of 4 KiB, cheap at any size. How the bytes are split into files does not matter.
    /// </summary>
    /// <exception cref="InputException">A file cannot be read.</exception>
    public override string Fingerprint => fingerprint ??= ComputeFingerprint();

    /// <summary>256: any byte.</summary>
    public override int Vocabulary => ModelConfig.Bytes;

    /// <inheritdoc/>
    public override string Unit => "bytes";

    /// <inheritdoc/>
    public override void Read(long offset, Span<int> tokens)
    {
        // The bytes are read into the end of the tokens' own memory: token i, bytes 4i to 4i + 3, never reaches byte 3n + i + 1, the next to widen.
        Span<byte> bytes = MemoryMarshal.AsBytes(tokens)[(3 * tokens.Length)..];
        Read(offset, bytes);
        for (int i = 0; i < tokens.Length; i++)
        {
            tokens[i] = bytes[i];
        }
    }

    /// <summary>As many bytes as tokens.</summary>
    public override long BytesOf(long offset, long count) => count;

    /// <summary>Fills <paramref name="destination"/> with the bytes from <paramref name="offset"/> on. Allocates nothing.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not within the corpus.</exception>
    /// <exception cref="InputException">A file cannot be read, or was cut short since it was opened.</exception>
    public void Read(long offset, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length - destination.Length);
        for (int i = PartAt(offset); !destination.IsEmpty; i++)
        {
            ref readonly Part part = ref this.parts[i];
            long within = offset - part.Start;
            Span<byte> piece = destination[..(int)Math.Min(destination.Length, part.Length - within)];
            ReadPart(part, within, piece);
            destination = destination[piece.Length..];
            offset += piece.Length;
        }
    }

    /// <summary>Closes the files.</summary>
    public void Dispose()
    {
        foreach (Part part in this.parts)
        {
            part.Handle?.Dispose();
        }
    }

    private static Part OpenPart(string path, long start)
    {
        if (Directory.Exists(path))
        {
            throw new InputException($"{AtomicFile.Quote(path)} is a directory; give the files to learn from");
        }
        try
        {
            // Looked at before it is opened: opening a pipe would wait for its writer. Pipes and devices have no length.
            if (new FileInfo(path).Length == 0)
            {
                throw new InputException($"{AtomicFile.Quote(path)} is empty (or no regular file); there is nothing to learn from");
            }
            SafeFileHandle handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, FileOptions.RandomAccess);
            return new Part(start, RandomAccess.GetLength(handle), path, handle, default);
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("read", path, e);
        }
    }

    private static void ReadPart(in Part part, long offset, Span<byte> destination)
    {
        if (part.Handle is null)
        {
            part.Bytes.Span.Slice((int)offset, destination.Length).CopyTo(destination);
            return;
        }
        try
        {
            while (!destination.IsEmpty)
            {
                int read = RandomAccess.Read(part.Handle, destination, offset);
                if (read == 0)
                {
                    throw new EndOfStreamException("it was cut short since it was opened");
                }
                destination = destination[read..];
                offset += read;
            }
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("read", part.Path, e);
        }
    }

    // The last part that begins at or before the offset.
    private int PartAt(long offset)
    {
        int low = 0;
        int high = this.parts.Length - 1;
        while (low < high)
        {
            int middle = (low + high + 1) / 2;
            (low, high) = this.parts[middle].Start <= offset ? (middle, high) : (low, middle - 1);
        }
        return low;
    }

    private string ComputeFingerprint()
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.ASCII.GetBytes($"weft corpus {TrainLength} {HeldOutLength}\n"));
        byte[] buffer = new byte[SampleBytes];
        bool isWhole = Length <= (long)Samples * SampleBytes;
        long count = isWhole ? (Length + SampleBytes - 1) / SampleBytes : Samples;
        for (long i = 0; i < count; i++)
        {
            long offset = isWhole ? i * SampleBytes : (long)((Length - SampleBytes) * (i / (Samples - 1.0)));
            Span<byte> sample = buffer.AsSpan(0, (int)Math.Min(SampleBytes, Length - offset));
            Read(offset, sample);
            hash.AppendData(sample);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 16));
    }
}
