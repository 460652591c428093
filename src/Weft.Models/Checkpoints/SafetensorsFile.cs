using System.Buffers.Binary;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// A safetensors file open for reading (format: github.com/huggingface/safetensors). The header is checked wholly before anything else.
/// </summary>
public sealed class SafetensorsFile : SingleFile
{
    private readonly long dataStart;
    private readonly SafetensorsHeader header;

    private SafetensorsFile(DataFile data)
        : base(data)
    {
        Span<byte> prefix = stackalloc byte[sizeof(ulong)];
        if (Data.Length < prefix.Length)
        {
            throw Bad(Data.Path, Data.Length == 0 ? "it is empty" : $"it is no safetensors file: {Data.Length} bytes are too few");
        }
        Data.RefusePointer();
        Data.Read(0, prefix);
        ulong headerLength = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        long rest = Data.Length - prefix.Length;
        if (headerLength > SafetensorsHeader.MaxLength)
        {
            throw Bad(Data.Path, $"it is no safetensors file: a header of {headerLength} bytes is over the limit of {SafetensorsHeader.MaxLength}");
        }
        if ((long)headerLength > rest)
        {
            throw Bad(Data.Path, $"it is cut short, or no safetensors file: a header of {headerLength} bytes does not fit into the {rest} that follow");
        }
        byte[] json = new byte[headerLength];
        Data.Read(prefix.Length, json);
        dataStart = prefix.Length + json.Length;
        this.header = SafetensorsHeader.Parse(json, Data.Length - dataStart, Data.Path);
    }

    /// <summary>Opens a file and checks its header.</summary>
    /// <exception cref="InputException">It cannot be read, or is no valid safetensors file.</exception>
    public static new SafetensorsFile Open(string path) => Open(path, data => new SafetensorsFile(data));

    /// <inheritdoc/>
    public override IEnumerable<string> Names => this.header.Tensors.Keys;

    /// <summary>The file's free-form metadata; empty if it has none.</summary>
    public IReadOnlyDictionary<string, string> Metadata => this.header.Metadata;

    /// <inheritdoc/>
    public override long ByteCount => Data.Length - dataStart;

    /// <inheritdoc/>
    public override bool Contains(string name) => this.header.Tensors.ContainsKey(name);

    /// <inheritdoc/>
    public override SafetensorsEntry Info(string name) => Find(this.header.Tensors, name).Entry;

    /// <inheritdoc/>
    public override void ReadBytes(string name, long startByte, Span<byte> destination)
    {
        RequireBytes(name, startByte, destination.Length);
        Data.Read(dataStart + Find(this.header.Tensors, name).Begin + startByte, destination);
    }
}
