using System.IO.Compression;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab.TextTasks;

/// <summary>
/// Reads sequences in FASTA, plain or gzip: headers are skipped, letters made capitals, and records put one after the other with a line end
/// between them. What a letter means is <see cref="BaseSource"/>'s matter.
/// </summary>
public static class Fasta
{
    /// <summary>The most letters read: they are held in memory.</summary>
    public const int MostLetters = 256 << 20;

    private const int UnpackedPerLetter = 4; // headers and line ends are less: what unpacks to more is no sequence
    private const double LeastBases = 0.5;   // of the letters; fewer are a protein's

    /// <summary>Opens files as one text of letters; the end of the last is held out.</summary>
    /// <exception cref="InputException">A file cannot be read, is no FASTA, too long or no DNA; the message names line and column.</exception>
    public static Corpus Open(IReadOnlyList<string> paths) => Open(paths, MostLetters);

    /// <summary>The built-in sequence: 2 million bases of <em>Klebsiella pneumoniae</em> (data/README.md).</summary>
    public static Corpus Sample()
    {
        const string name = "klebsiella.fna.gz";
        using Stream resource = typeof(Fasta).Assembly.GetManifestResourceStream(name) ?? throw new InvalidOperationException("the built-in sequence is missing from the assembly");
        var letters = new List<byte>();
        Read(resource, name, letters, MostLetters);
        return Corpus.FromBytes(letters.ToArray(), "klebsiella (built in)");
    }

    /// <summary>The same with another limit.</summary>
    internal static Corpus Open(IReadOnlyList<string> paths, int mostLetters)
    {
        ArgumentNullException.ThrowIfNull(paths);
        if (paths.Count == 0)
        {
            throw new InputException("no FASTA file was given");
        }

        var letters = new List<byte>();
        foreach (string path in paths)
        {
            try
            {
                // Looked at before it is opened: opening a pipe would wait for its writer.
                if (Directory.Exists(path) || new FileInfo(path).Length == 0)
                {
                    throw new InputException($"{AtomicFile.Quote(path)} is {(Directory.Exists(path) ? "a directory" : "empty (or no regular file)")}; give FASTA files (.fa, .fna, .fa.gz)");
                }

                using FileStream file = File.OpenRead(path);
                Read(file, path, letters, mostLetters);
            }
            catch (Exception e) when (AtomicFile.IsFileProblem(e))
            {
                throw AtomicFile.Problem("read", path, e);
            }
        }

        string name = Path.GetFileName(paths[0]) + (paths.Count > 1 ? $" and {paths.Count - 1} more" : "");
        Corpus corpus = Corpus.FromBytes(letters.ToArray(), name);
        IReadOnlyList<(char Letter, long Count)> other = BaseSource.MaskedLetters(corpus);
        long strange = other.Where(o => o.Letter != 'N').Sum(o => o.Count), all = corpus.Length - other.Where(o => o.Letter == 'N').Sum(o => o.Count);
        return all - strange >= LeastBases * all && all > strange ? corpus
            : throw new InputException($"{AtomicFile.Quote(name)} is no DNA: of its {corpus.Length} letters {all - strange} are A, C, G or T");
    }

    private static void Read(Stream file, string path, List<byte> letters, int mostLetters)
    {
        Span<byte> magic = stackalloc byte[2];
        int begun = file.ReadAtLeast(magic, magic.Length, throwOnEndOfStream: false);
        file.Position = 0;
        if (!(begun == 2 && magic[0] == 0x1F && magic[1] == 0x8B))
        {
            ReadText(file, path, letters, mostLetters);
            return;
        }

        using var unpacked = new GZipStream(file, CompressionMode.Decompress, leaveOpen: true);
        try
        {
            ReadText(unpacked, path, letters, mostLetters);
        }
        catch (InvalidDataException e)
        {
            throw new InputException($"{AtomicFile.Quote(path)} is damaged: its gzip data cannot be unpacked", e);
        }
    }

    private static void ReadText(Stream text, string path, List<byte> letters, int mostLetters)
    {
        var buffer = new byte[1 << 16];
        int before = letters.Count;
        (long line, long column, long total) = (1, 0, 0);
        bool isHeader = false, hasHeader = false, begins = false;
        for (int read; (read = text.Read(buffer)) > 0;)
        {
            total += read;
            if (total > (long)mostLetters * UnpackedPerLetter)
            {
                throw new InputException($"{AtomicFile.Quote(path)} unpacks to more than {Human.Bytes((double)mostLetters * UnpackedPerLetter)}; give a part of it");
            }

            foreach (byte c in buffer.AsSpan(0, read))
            {
                column++;
                if (c == '\n')
                {
                    (line, column, isHeader) = (line + 1, 0, false);
                }
                else if (c == '>' && column == 1)
                {
                    (isHeader, hasHeader, begins) = (true, true, true);
                }
                else if (isHeader || c is (byte)'\r' or (byte)' ' or (byte)'\t')
                {
                    continue;
                }
                else if (!hasHeader || !char.IsAsciiLetter((char)c))
                {
                    throw new InputException($"{AtomicFile.Quote(path)}, line {line}, column {column}: "
                        + (!hasHeader ? "a sequence without a header; FASTA begins with a line such as '>chromosome 1'" : $"{Shown(c)} is no letter, and a sequence is of letters"));
                }
                else
                {
                    if (begins && letters.Count > 0)
                    {
                        letters.Add((byte)'\n');
                    }

                    begins = false;
                    letters.Add((byte)(c & ~0x20));
                }
            }

            if (letters.Count > mostLetters)
            {
                throw new InputException($"{AtomicFile.Quote(path)} takes the sequence past {mostLetters} letters, the most that are held in memory; give a part of it");
            }
        }

        if (letters.Count == before)
        {
            throw new InputException($"{AtomicFile.Quote(path)} has no sequence{(hasHeader ? ": only headers" : "")}; give FASTA, a header line ('>name') and letters after it");
        }
    }

    private static string Shown(byte c) => c is > 0x20 and < 0x7F ? $"'{(char)c}'" : $"byte 0x{c:X2}";
}
