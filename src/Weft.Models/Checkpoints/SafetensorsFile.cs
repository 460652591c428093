using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// A safetensors file open for reading (format: github.com/huggingface/safetensors). The header is checked wholly before anything else.
/// </summary>
public sealed class SafetensorsFile : WeightFile
{
    private readonly SafeFileHandle handle;
    private readonly string path;
    private readonly long dataStart;
    private readonly SafetensorsHeader header;

    private SafetensorsFile(string path, SafeFileHandle handle)
    {
        this.path = path;
        this.handle = handle;
        long length = RandomAccess.GetLength(handle);
        Span<byte> prefix = stackalloc byte[sizeof(ulong)];
        if (length < prefix.Length)
        {
            throw Bad(path, length == 0 ? "it is empty" : $"it is no safetensors file: {length} bytes are too few");
        }
        ReadExactly(prefix, 0);
        ulong headerLength = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        long rest = length - prefix.Length;
        if (headerLength > SafetensorsHeader.MaxLength)
        {
            throw Bad(path, $"it is no safetensors file: a header of {headerLength} bytes is over the limit of {SafetensorsHeader.MaxLength}");
        }
        if ((long)headerLength > rest)
        {
            throw Bad(path, $"it is cut short, or no safetensors file: a header of {headerLength} bytes does not fit into the {rest} that follow");
        }
        byte[] json = new byte[headerLength];
        ReadExactly(json, prefix.Length);
        dataStart = prefix.Length + json.Length;
        this.header = SafetensorsHeader.Parse(json, length - dataStart, path);
    }

    /// <summary>Opens a file and checks its header.</summary>
    /// <exception cref="InputException">It cannot be read, or is no valid safetensors file.</exception>
    public static new SafetensorsFile Open(string path)
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
            SafetensorsFile file = new(path, handle);
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

    /// <inheritdoc/>
    public override IEnumerable<string> Names => this.header.Tensors.Keys;

    /// <summary>The file's free-form metadata; empty if it has none.</summary>
    public IReadOnlyDictionary<string, string> Metadata => this.header.Metadata;

    /// <inheritdoc/>
    public override bool Contains(string name) => this.header.Tensors.ContainsKey(name);

    /// <inheritdoc/>
    public override SafetensorsEntry Info(string name) => Find(name).Entry;

    /// <inheritdoc/>
    public override string PathOf(string name)
    {
        Find(name);
        return this.path;
    }

    /// <inheritdoc/>
    public override void ReadBytes(string name, long startByte, Span<byte> destination)
    {
        RequireBytes(name, startByte, destination.Length);
        try
        {
            ReadExactly(destination, dataStart + Find(name).Begin + startByte);
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw Bad(this.path, name, AtomicFile.Problem("read", this.path, e).Message, e);
        }
    }

    /// <inheritdoc/>
    public override void Dispose() => this.handle.Dispose();

    private SafetensorsHeader.Located Find(string name) =>
        this.header.Tensors.TryGetValue(name, out SafetensorsHeader.Located tensor) ? tensor : throw Bad(this.path, $"it has no tensor {AtomicFile.Quote(name)}");

    private void ReadExactly(Span<byte> destination, long offset)
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
}
