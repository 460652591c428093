using System.Buffers;
using System.Buffers.Binary;
using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// A safetensors file open for reading (format: github.com/huggingface/safetensors). The header is checked wholly before anything else;
/// tensors are read from disk only when asked for. The file may come from anyone: every fault is an <see cref="InputException"/> of one line
/// that names the file, the tensor and the reason. Several threads may read at once.
/// </summary>
public sealed class SafetensorsFile : IDisposable
{
    private const int ChunkBytes = 1 << 18;

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
    public static SafetensorsFile Open(string path)
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

    /// <summary>The tensors' names, in the header's order.</summary>
    public IEnumerable<string> Names => this.header.Tensors.Keys;

    /// <summary>The file's free-form metadata; empty if it has none.</summary>
    public IReadOnlyDictionary<string, string> Metadata => this.header.Metadata;

    /// <summary>Whether there is a tensor of that name.</summary>
    public bool Contains(string name) => this.header.Tensors.ContainsKey(name);

    /// <summary>The type and shape of a tensor.</summary>
    /// <exception cref="InputException">There is none of that name.</exception>
    public SafetensorsEntry Info(string name) => Find(name).Entry;

    /// <summary>Reads a whole tensor of type F32, F16, BF16 or F64 as float32; F64 is rounded to nearest.</summary>
    /// <exception cref="InputException">There is none of that name, its type is another, or it has not exactly that many elements.</exception>
    public void ReadFloat32(string name, Span<float> destination)
    {
        switch (TypeOf(name, destination.Length))
        {
            case SafetensorsType.F32:
                ReadPlain(name, destination);
                break;
            case SafetensorsType.F16:
                ReadConverted<Half, float>(name, destination, TensorPrimitives.ConvertToSingle);
                break;
            case SafetensorsType.BF16:
                ReadConverted<ushort, float>(name, destination, static (source, part) =>
                {
                    for (int i = 0; i < source.Length; i++)
                    {
                        part[i] = BitConverter.UInt32BitsToSingle((uint)source[i] << 16);
                    }
                });
                break;
            case SafetensorsType.F64:
                ReadConverted<double, float>(name, destination, TensorPrimitives.ConvertTruncating);
                break;
            default:
                throw WrongType(name, "F32, F16, BF16 or F64");
        }
    }

    /// <summary>Reads a whole tensor of type I64 or I32.</summary>
    /// <exception cref="InputException">There is none of that name, its type is another, or it has not exactly that many elements.</exception>
    public void ReadInt64(string name, Span<long> destination)
    {
        switch (TypeOf(name, destination.Length))
        {
            case SafetensorsType.I64:
                ReadPlain(name, destination);
                break;
            case SafetensorsType.I32:
                ReadConverted<int, long>(name, destination, TensorPrimitives.ConvertTruncating);
                break;
            default:
                throw WrongType(name, "I64 or I32");
        }
    }

    /// <summary>Reads a whole tensor of type I32.</summary>
    /// <exception cref="InputException">There is none of that name, its type is another, or it has not exactly that many elements.</exception>
    public void ReadInt32(string name, Span<int> destination)
    {
        if (TypeOf(name, destination.Length) != SafetensorsType.I32)
        {
            throw WrongType(name, "I32");
        }
        ReadPlain(name, destination);
    }

    /// <summary>Reads a whole tensor's bytes as they are in the file, little-endian, whatever its type.</summary>
    /// <exception cref="InputException">There is none of that name, or it has not exactly that many bytes.</exception>
    public void ReadBytes(string name, Span<byte> destination)
    {
        SafetensorsHeader.Located tensor = Find(name);
        if (tensor.End - tensor.Begin != destination.Length)
        {
            throw Bad(this.path, name, $"it holds {tensor.End - tensor.Begin} bytes where {destination.Length} are expected");
        }
        ReadData(name, destination, tensor.Begin);
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => this.handle.Dispose();

    /// <summary>The message for a fault of a file.</summary>
    internal static InputException Bad(string path, string reason, Exception? inner = null) =>
        inner is null ? new($"{AtomicFile.Quote(path)}: {reason}") : new($"{AtomicFile.Quote(path)}: {reason}", inner);

    /// <summary>The message for a fault of one tensor of a file.</summary>
    internal static InputException Bad(string path, string name, string reason, Exception? inner = null) =>
        Bad(path, $"tensor {AtomicFile.Quote(name)}: {reason}", inner);

    private SafetensorsHeader.Located Find(string name) =>
        this.header.Tensors.TryGetValue(name, out SafetensorsHeader.Located tensor) ? tensor : throw Bad(this.path, $"it has no tensor {AtomicFile.Quote(name)}");

    private SafetensorsType TypeOf(string name, int length)
    {
        SafetensorsEntry entry = Find(name).Entry;
        return entry.Count == length
            ? entry.Type
            : throw Bad(this.path, name, $"its shape {entry.ShapeText} makes {entry.Count} elements where {length} are expected");
    }

    private InputException WrongType(string name, string expected) =>
        Bad(this.path, name, $"its dtype is {SafetensorsEntry.TypeName(Find(name).Entry.Type)} where {expected} is expected");

    // Straight into the destination: on a little-endian machine the file holds what memory holds.
    private void ReadPlain<T>(string name, Span<T> destination) where T : unmanaged
    {
        if (!BitConverter.IsLittleEndian)
        {
            ReadConverted<T, T>(name, destination, static (source, part) => source.CopyTo(part));
            return;
        }
        long offset = Find(name).Begin;
        while (!destination.IsEmpty) // in parts, since the bytes of a large span of T are more than a span of bytes can have
        {
            Span<byte> part = MemoryMarshal.AsBytes(destination[..Math.Min(destination.Length, 1 << 24)]);
            ReadData(name, part, offset);
            offset += part.Length;
            destination = destination[(part.Length / Unsafe.SizeOf<T>())..];
        }
    }

    private delegate void Conversion<TFile, T>(ReadOnlySpan<TFile> source, Span<T> destination);

    private void ReadConverted<TFile, T>(string name, Span<T> destination, Conversion<TFile, T> convert) where TFile : unmanaged
    {
        long offset = Find(name).Begin;
        byte[] buffer = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        try
        {
            while (!destination.IsEmpty)
            {
                int count = Math.Min(destination.Length, ChunkBytes / Unsafe.SizeOf<TFile>());
                Span<byte> bytes = buffer.AsSpan(0, count * Unsafe.SizeOf<TFile>());
                ReadData(name, bytes, offset);
                if (!BitConverter.IsLittleEndian)
                {
                    ReverseEach(bytes, Unsafe.SizeOf<TFile>());
                }
                convert(MemoryMarshal.Cast<byte, TFile>(bytes), destination[..count]);
                offset += bytes.Length;
                destination = destination[count..];
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Swaps the byte order of each element, on the rare machine whose own order is not the file's.</summary>
    internal static void ReverseEach(Span<byte> bytes, int size)
    {
        for (int i = 0; i < bytes.Length; i += size)
        {
            bytes.Slice(i, size).Reverse();
        }
    }

    private void ReadData(string name, Span<byte> destination, long offset)
    {
        try
        {
            ReadExactly(destination, dataStart + offset);
        }
        catch (Exception e) when (AtomicFile.IsFileProblem(e))
        {
            throw Bad(this.path, name, AtomicFile.Problem("read", this.path, e).Message, e);
        }
    }

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
