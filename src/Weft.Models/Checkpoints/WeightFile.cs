using System.Buffers;
using System.Numerics;
using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// The tensors of a checkpoint open for reading, whatever files hold them. What a file says of itself is checked wholly when it is opened;
/// tensors are read from disk only when asked for. The files may come from anyone: every fault is an <see cref="InputException"/> of one line
/// that names the file, the tensor and the reason. Several threads may read at once.
/// </summary>
public abstract class WeightFile : IDisposable
{
    // A buffer of this size stays in the second-level cache between the read and the conversion.
    private const int ChunkBytes = 1 << 18;

    // The first of these that a folder has holds its weights; transformers looks for them in the same order.
    private static readonly (string File, Func<string, WeightFile>? Whole, Func<string, WeightFile>? Shard)[] Kinds =
    [
        (ModelFolder.WeightsFile, SafetensorsFile.Open, null),
        (ModelFolder.WeightsFile + ".index.json", null, SafetensorsFile.Open),
        ("pytorch_model.bin", PickleFile.Open, null),
        ("pytorch_model.bin.index.json", null, PickleFile.Open),
    ];

    /// <summary>
    /// Opens the weights of a model's folder: <c>model.safetensors</c>, or else the shards of <c>model.safetensors.index.json</c>, or else
    /// <c>pytorch_model.bin</c>, or else the shards of <c>pytorch_model.bin.index.json</c>.
    /// </summary>
    /// <exception cref="InputException">There are none, or they are not valid.</exception>
    public static WeightFile Open(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        foreach ((string name, Func<string, WeightFile>? whole, Func<string, WeightFile>? shard) in Kinds)
        {
            if (AtomicFolder.Has(folder, name))
            {
                return AtomicFolder.Read(folder, name, whole ?? (index => ShardedFile.Open(index, file => AtomicFolder.Read(folder, file, shard!))));
            }
        }
        string problem = Directory.Exists(folder) ? $"it has none of {string.Join(", ", Kinds.Select(k => k.File))}"
            : File.Exists(folder) ? "it is a file; give its folder" : "no such folder";
        throw new InputException($"cannot read the weights of {AtomicFile.Quote(folder)}: {problem}");
    }

    /// <summary>The tensors' names, in the file's order.</summary>
    public abstract IEnumerable<string> Names { get; }

    /// <summary>The bytes that the tensors' data take on disk, which bounds what any of them can claim to hold; data that tensors share count once.</summary>
    public abstract long ByteCount { get; }

    /// <summary>Whether there is a tensor of that name.</summary>
    public abstract bool Contains(string name);

    /// <summary>The shape of a tensor; null where there is none of that name.</summary>
    public long[]? ShapeOf(string name) => Contains(name) ? Info(name).Shape : null;

    /// <summary>The type and shape of a tensor.</summary>
    /// <exception cref="InputException">There is none of that name.</exception>
    public abstract SafetensorsEntry Info(string name);

    /// <summary>The file that holds a tensor, for messages.</summary>
    /// <exception cref="InputException">There is none of that name.</exception>
    public abstract string PathOf(string name);

    /// <summary>
    /// Reads bytes of a tensor's data, which are its elements in row-major order, little-endian, from <paramref name="startByte"/> on.
    /// </summary>
    /// <exception cref="InputException">There is no tensor of that name, it has no such bytes, or the disk fails.</exception>
    public abstract void ReadBytes(string name, long startByte, Span<byte> destination);

    /// <summary>Closes the files.</summary>
    public abstract void Dispose();

    /// <summary>Reads a whole tensor of type F32, F16, BF16 or F64 as float32; F64 is rounded to nearest.</summary>
    /// <exception cref="InputException">There is none of that name, its type is another, or it has not exactly that many elements.</exception>
    public void ReadFloat32(string name, Span<float> destination)
    {
        RequireWhole(name, destination.Length);
        ReadFloat32(name, 0, destination);
    }

    /// <summary>
    /// Reads elements of a tensor of type F32, F16, BF16 or F64 as float32, in row-major order from <paramref name="start"/> on; F64 is
    /// rounded to nearest.
    /// </summary>
    /// <exception cref="InputException">There is none of that name, its type is another, or it has no such elements.</exception>
    public void ReadFloat32(string name, long start, Span<float> destination)
    {
        switch (TypeOf(name, start, destination.Length))
        {
            case SafetensorsType.F32:
                ReadPlain(name, start, destination);
                break;
            case SafetensorsType.F16:
                ReadConverted<Half, float>(name, start, destination, TensorPrimitives.ConvertToSingle);
                break;
            case SafetensorsType.BF16:
                ReadConverted<ushort, float>(name, start, destination, WidenBFloat16);
                break;
            case SafetensorsType.F64:
                ReadConverted<double, float>(name, start, destination, TensorPrimitives.ConvertTruncating);
                break;
            default:
                throw WrongType(name, "F32, F16, BF16 or F64");
        }
    }

    /// <summary>Reads a whole tensor of type I64 or I32.</summary>
    /// <exception cref="InputException">There is none of that name, its type is another, or it has not exactly that many elements.</exception>
    public void ReadInt64(string name, Span<long> destination)
    {
        RequireWhole(name, destination.Length);
        switch (Info(name).Type)
        {
            case SafetensorsType.I64:
                ReadPlain(name, 0, destination);
                break;
            case SafetensorsType.I32:
                ReadConverted<int, long>(name, 0, destination, TensorPrimitives.ConvertTruncating);
                break;
            default:
                throw WrongType(name, "I64 or I32");
        }
    }

    /// <summary>Reads a whole tensor of type I32.</summary>
    /// <exception cref="InputException">There is none of that name, its type is another, or it has not exactly that many elements.</exception>
    public void ReadInt32(string name, Span<int> destination)
    {
        RequireWhole(name, destination.Length);
        if (Info(name).Type != SafetensorsType.I32)
        {
            throw WrongType(name, "I32");
        }
        ReadPlain(name, 0, destination);
    }

    /// <summary>Reads a whole tensor's bytes: its elements in row-major order, little-endian, whatever its type.</summary>
    /// <exception cref="InputException">There is none of that name, or it has not exactly that many bytes.</exception>
    public void ReadBytes(string name, Span<byte> destination)
    {
        long bytes = Info(name).ByteCount;
        if (bytes != destination.Length)
        {
            throw Bad(PathOf(name), name, $"it holds {bytes} bytes where {destination.Length} are expected");
        }
        ReadBytes(name, 0, destination);
    }

    /// <summary>The message for a fault of a file.</summary>
    internal static InputException Bad(string path, string reason, Exception? inner = null) =>
        inner is null ? new($"{AtomicFile.Quote(path)}: {reason}") : new($"{AtomicFile.Quote(path)}: {reason}", inner);

    /// <summary>The message for a fault of one tensor of a file.</summary>
    internal static InputException Bad(string path, string name, string reason, Exception? inner = null) =>
        Bad(path, $"tensor {AtomicFile.Quote(name)}: {reason}", inner);

    /// <summary>Swaps the byte order of each element, on the rare machine whose own order is not the file's.</summary>
    internal static void ReverseEach(Span<byte> bytes, int size)
    {
        for (int i = 0; i < bytes.Length; i += size)
        {
            bytes.Slice(i, size).Reverse();
        }
    }

    /// <summary>Refuses a range of bytes that a tensor does not have.</summary>
    private protected void RequireBytes(string name, long startByte, int count)
    {
        long bytes = Info(name).ByteCount;
        if (startByte < 0 || startByte > bytes - count)
        {
            throw Bad(PathOf(name), name, $"it holds {bytes} bytes where {count} are expected from byte {startByte} on");
        }
    }

    private void RequireWhole(string name, int length)
    {
        SafetensorsEntry entry = Info(name);
        if (entry.Count != length)
        {
            throw Bad(PathOf(name), name, $"its shape {entry.ShapeText} makes {entry.Count} elements where {length} are expected");
        }
    }

    private SafetensorsType TypeOf(string name, long start, int length)
    {
        SafetensorsEntry entry = Info(name);
        return start >= 0 && start <= entry.Count - length
            ? entry.Type
            : throw Bad(PathOf(name), name, $"its shape {entry.ShapeText} makes {entry.Count} elements where {length} are expected from element {start} on");
    }

    private InputException WrongType(string name, string expected) =>
        Bad(PathOf(name), name, $"its dtype is {SafetensorsEntry.TypeName(Info(name).Type)} where {expected} is expected");

    // Straight into the destination: on a little-endian machine the file holds what memory holds.
    private void ReadPlain<T>(string name, long start, Span<T> destination) where T : unmanaged
    {
        if (!BitConverter.IsLittleEndian)
        {
            ReadConverted<T, T>(name, start, destination, static (source, part) => source.CopyTo(part));
            return;
        }
        long offset = start * Unsafe.SizeOf<T>();
        while (!destination.IsEmpty) // in parts, since the bytes of a large span of T are more than a span of bytes can have
        {
            Span<byte> part = MemoryMarshal.AsBytes(destination[..Math.Min(destination.Length, 1 << 24)]);
            ReadBytes(name, offset, part);
            offset += part.Length;
            destination = destination[(part.Length / Unsafe.SizeOf<T>())..];
        }
    }

    private delegate void Conversion<TFile, T>(ReadOnlySpan<TFile> source, Span<T> destination);

    private void ReadConverted<TFile, T>(string name, long start, Span<T> destination, Conversion<TFile, T> convert) where TFile : unmanaged
    {
        long offset = start * Unsafe.SizeOf<TFile>();
        byte[] buffer = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        try
        {
            while (!destination.IsEmpty)
            {
                int count = Math.Min(destination.Length, ChunkBytes / Unsafe.SizeOf<TFile>());
                Span<byte> bytes = buffer.AsSpan(0, count * Unsafe.SizeOf<TFile>());
                ReadBytes(name, offset, bytes);
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

    // A bf16 is the upper half of a float32.
    private static void WidenBFloat16(ReadOnlySpan<ushort> source, Span<float> destination)
    {
        int lanes = Vector<ushort>.Count, i = 0;
        for (; i <= source.Length - lanes; i += lanes)
        {
            Vector.Widen(new Vector<ushort>(source[i..]), out Vector<uint> low, out Vector<uint> high);
            Vector.AsVectorSingle(low << 16).CopyTo(destination[i..]);
            Vector.AsVectorSingle(high << 16).CopyTo(destination[(i + (lanes / 2))..]);
        }
        for (; i < source.Length; i++)
        {
            destination[i] = BitConverter.UInt32BitsToSingle((uint)source[i] << 16);
        }
    }
}
