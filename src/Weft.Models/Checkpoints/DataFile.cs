using Microsoft.Win32.SafeHandles;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// A file open for reads at any place, by several threads at once. It is read, not mapped: a read of a file that another program cuts short
/// meanwhile fails with an error, where touching a mapping of it would end the process (docs/checkpoints.md has the speeds).
/// </summary>
internal sealed class DataFile : IDisposable
{
    private readonly SafeFileHandle handle;

    private DataFile(string path, SafeFileHandle handle)
    {
        Path = path;
        this.handle = handle;
        Length = RandomAccess.GetLength(handle);
    }

    public string Path { get; }

    /// <summary>The length in bytes when it was opened.</summary>
    public long Length { get; }

    /// <exception cref="InputException">It cannot be read.</exception>
    public static DataFile Open(string path)
    {
        if (Directory.Exists(path))
        {
            throw new InputException($"cannot read {AtomicFile.Quote(path)}: it is a directory");
        }
        SafeFileHandle? handle = null;
        try
        {
            // Others may replace or remove the file meanwhile; this handle keeps the version it opened.
            handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, FileOptions.RandomAccess);
            DataFile file = new(path, handle);
            handle = null;
            return file;
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("read", path, e);
        }
        finally
        {
            handle?.Dispose();
        }
    }

    /// <summary>Fills the destination with the bytes from <paramref name="offset"/> on.</summary>
    /// <exception cref="InputException">The disk fails, or the file was cut short meanwhile.</exception>
    public void Read(long offset, Span<byte> destination)
    {
        try
        {
            while (!destination.IsEmpty)
            {
                int read = RandomAccess.Read(this.handle, destination, offset);
                if (read == 0)
                {
                    throw new EndOfStreamException("it was cut short while being read");
                }
                destination = destination[read..];
                offset += read;
            }
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw AtomicFile.Problem("read", Path, e);
        }
    }

    /// <summary>The first bytes, at most <paramref name="count"/>, by which a format is known.</summary>
    public byte[] Start(int count)
    {
        byte[] start = new byte[Math.Min(count, Length)];
        Read(0, start);
        return start;
    }

    /// <summary>Refuses the few lines that stand for a file in a repository cloned without Git LFS.</summary>
    public void RefusePointer()
    {
        if (Start(24).AsSpan().SequenceEqual("version https://git-lfs."u8))
        {
            throw WeightFile.Bad(Path, "it is a Git LFS pointer, not the file itself: fetch it with 'git lfs pull', or download it again");
        }
    }

    public void Dispose() => this.handle.Dispose();
}
