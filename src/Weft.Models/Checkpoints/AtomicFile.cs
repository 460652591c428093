using System.Text;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// A file that appears whole or not at all: it is written beside its final name, flushed to the disk, and renamed onto that name by
/// <see cref="Commit"/>. Until then a file already there stays as it was. Disposing without a commit removes the unfinished file; what a
/// killed process leaves (a name ending in <see cref="UnfinishedSuffix"/>) is overwritten by the next attempt.
/// Every failure is an <see cref="InputException"/> of one line that names the file.
/// </summary>
public sealed class AtomicFile : IDisposable
{
    /// <summary>What the name of an unfinished file ends in.</summary>
    public const string UnfinishedSuffix = ".weft-tmp";

    private readonly string path;
    private readonly string unfinished;
    private FileStream? stream;

    private AtomicFile(string path)
    {
        this.path = path;
        unfinished = path + UnfinishedSuffix;
        if (path.Length == 0)
        {
            throw new InputException("cannot write a file without a name");
        }
        if (Directory.Exists(path))
        {
            throw new InputException($"cannot write {Quote(path)}: it is a directory");
        }
        try
        {
            this.stream = new FileStream(unfinished, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 1 << 16);
        }
        catch (Exception e) when (IsFileProblem(e))
        {
            throw Problem("write", path, e);
        }
    }

    /// <summary>Starts a file that will be called <paramref name="path"/> once committed. Its folder must exist.</summary>
    /// <exception cref="InputException">It cannot be created there.</exception>
    public static AtomicFile Create(string path) => new(path);

    /// <summary>Writes a whole file at once, in UTF-8 without a byte-order mark.</summary>
    /// <exception cref="InputException">It cannot be written; a file already there is untouched.</exception>
    public static void WriteAllText(string path, string text) => WriteAllBytes(path, Encoding.UTF8.GetBytes(text));

    /// <summary>Writes a whole file at once.</summary>
    /// <exception cref="InputException">It cannot be written; a file already there is untouched.</exception>
    public static void WriteAllBytes(string path, ReadOnlySpan<byte> bytes)
    {
        using AtomicFile file = Create(path);
        file.Write(bytes);
        file.Commit();
    }

    /// <summary>Appends bytes.</summary>
    /// <exception cref="InputException">The disk is full, or fails.</exception>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        FileStream stream = this.stream ?? throw new InvalidOperationException("the file is already committed or disposed");
        try
        {
            stream.Write(bytes);
        }
        catch (Exception e) when (IsFileProblem(e))
        {
            throw Problem("write", this.path, e);
        }
    }

    /// <summary>Flushes to the disk and gives the file its name, in place of a file that had it.</summary>
    /// <exception cref="InputException">The disk is full, or the name cannot be taken.</exception>
    public void Commit()
    {
        FileStream stream = this.stream ?? throw new InvalidOperationException("the file is already committed or disposed");
        try
        {
            stream.Flush(flushToDisk: true);
            stream.Dispose();
            this.stream = null;
            Persistently(() => File.Move(unfinished, this.path, overwrite: true));
        }
        catch (Exception e) when (IsFileProblem(e))
        {
            Discard();
            throw Problem("write", this.path, e);
        }
    }

    /// <summary>Removes the unfinished file, unless it was committed.</summary>
    public void Dispose()
    {
        if (this.stream is not null)
        {
            Discard();
        }
    }

    // Best effort by nature: it runs when something has failed already, and what it cannot remove the next attempt overwrites.
    private void Discard()
    {
        try
        {
            FileStream? stream = this.stream;
            this.stream = null;
            stream?.Dispose();
        }
        catch (Exception e) when (IsFileProblem(e))
        {
        }
        try
        {
            File.Delete(unfinished);
        }
        catch (Exception e) when (IsFileProblem(e))
        {
        }
    }

    /// <summary>
    /// The one-line explanation of a failed file operation: "cannot read 'notes.txt': no such file". <paramref name="doing"/> is the verb.
    /// </summary>
    public static InputException Problem(string doing, string path, Exception failure)
    {
        string reason = failure switch
        {
            FileNotFoundException => "no such file",
            DirectoryNotFoundException => "no such folder",
            UnauthorizedAccessException => "permission denied",
            PathTooLongException => "the path is too long",
            _ => OneLine(failure.Message).TrimEnd('.'),
        };
        return new InputException($"cannot {doing} {Quote(path)}: {reason}", failure);
    }

    /// <summary>Whether an exception is of the kind that file operations throw when the file, and not the program, is at fault.</summary>
    public static bool IsFileProblem(Exception e) =>
        e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException or System.Security.SecurityException;

    /// <summary>A name from outside, in quotes, made fit for a one-line message: control characters replaced, long names cut.</summary>
    public static string Quote(string name) => $"'{(name.Length <= 200 ? OneLine(name) : OneLine(name[..200]) + "...")}'";

    /// <summary>
    /// Runs a rename or a deletion. On Windows an indexer or a virus scanner may hold a new file for a moment, so a refusal there is tried
    /// again for up to a second; elsewhere an open file hinders neither.
    /// </summary>
    internal static void Persistently(Action operation)
    {
        for (int attempt = 0; ; attempt++)
        {
            try
            {
                operation();
                return;
            }
            catch (Exception e) when (OperatingSystem.IsWindows() && attempt < 40 && e is IOException or UnauthorizedAccessException)
            {
                Thread.Sleep(25);
            }
        }
    }

    private static string OneLine(string text) => string.Create(text.Length, text, static (line, source) =>
    {
        for (int i = 0; i < line.Length; i++)
        {
            line[i] = char.IsControl(source[i]) || source[i] is '\u2028' or '\u2029' ? '?' : source[i];
        }
    });
}
