using System.Buffers.Binary;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// A safetensors file open for reading (format: github.com/huggingface/safetensors). The header is checked wholly before anything else.
/// </summary>
public sealed class SafetensorsFile : WeightFile
{
    private readonly DataFile file;
    private readonly long dataStart;
    private readonly SafetensorsHeader header;

    private SafetensorsFile(DataFile file)
    {
        this.file = file;
        Span<byte> prefix = stackalloc byte[sizeof(ulong)];
        if (file.Length < prefix.Length)
        {
            throw Bad(file.Path, file.Length == 0 ? "it is empty" : $"it is no safetensors file: {file.Length} bytes are too few");
        }
        file.RefusePointer();
        file.Read(0, prefix);
        ulong headerLength = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        long rest = file.Length - prefix.Length;
        if (headerLength > SafetensorsHeader.MaxLength)
        {
            throw Bad(file.Path, $"it is no safetensors file: a header of {headerLength} bytes is over the limit of {SafetensorsHeader.MaxLength}");
        }
        if ((long)headerLength > rest)
        {
            throw Bad(file.Path, $"it is cut short, or no safetensors file: a header of {headerLength} bytes does not fit into the {rest} that follow");
        }
        byte[] json = new byte[headerLength];
        file.Read(prefix.Length, json);
        dataStart = prefix.Length + json.Length;
        this.header = SafetensorsHeader.Parse(json, file.Length - dataStart, file.Path);
    }

    /// <summary>Opens a file and checks its header.</summary>
    /// <exception cref="InputException">It cannot be read, or is no valid safetensors file.</exception>
    public static new SafetensorsFile Open(string path)
    {
        DataFile file = DataFile.Open(path);
        try
        {
            return new SafetensorsFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<string> Names => this.header.Tensors.Keys;

    /// <summary>The file's free-form metadata; empty if it has none.</summary>
    public IReadOnlyDictionary<string, string> Metadata => this.header.Metadata;

    /// <inheritdoc/>
    public override long ByteCount => file.Length - dataStart;

    /// <inheritdoc/>
    public override bool Contains(string name) => this.header.Tensors.ContainsKey(name);

    /// <inheritdoc/>
    public override SafetensorsEntry Info(string name) => Find(name).Entry;

    /// <inheritdoc/>
    public override string PathOf(string name)
    {
        Find(name);
        return file.Path;
    }

    /// <inheritdoc/>
    public override void ReadBytes(string name, long startByte, Span<byte> destination)
    {
        RequireBytes(name, startByte, destination.Length);
        file.Read(dataStart + Find(name).Begin + startByte, destination);
    }

    /// <inheritdoc/>
    public override void Dispose() => file.Dispose();

    private SafetensorsHeader.Located Find(string name) =>
        this.header.Tensors.TryGetValue(name, out SafetensorsHeader.Located tensor) ? tensor : throw Bad(file.Path, $"it has no tensor {AtomicFile.Quote(name)}");
}
