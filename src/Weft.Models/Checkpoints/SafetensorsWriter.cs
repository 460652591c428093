using System.Buffers;
using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>
/// Writes a safetensors file of any size in one pass: the tensors are declared first, then their data given in the declared order, in as many
/// pieces as is convenient. The bytes depend on nothing but what is given. The file appears under its name only at <see cref="Commit"/>,
/// whole and flushed to the disk. A fault of the disk is an <see cref="InputException"/> of one line.
/// </summary>
public sealed class SafetensorsWriter : IDisposable
{
    private const int ChunkBytes = 1 << 18;

    private readonly AtomicFile file;
    private readonly SafetensorsEntry[] entries;
    private int current;
    private long left; // bytes that the current entry still lacks

    /// <summary>Starts a file holding these tensors, in this order, and these metadata.</summary>
    /// <exception cref="ArgumentException">A name is declared twice or reserved, or a shape is negative.</exception>
    /// <exception cref="InputException">The file cannot be created.</exception>
    public SafetensorsWriter(string path, IEnumerable<SafetensorsEntry> entries, IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentNullException.ThrowIfNull(entries);
        this.entries = [.. entries];
        HashSet<string> names = new(StringComparer.Ordinal) { "__metadata__" };
        foreach (SafetensorsEntry entry in this.entries)
        {
            if (!names.Add(entry.Name))
            {
                throw new ArgumentException($"the name '{entry.Name}' is declared twice or reserved", nameof(entries));
            }
            if (entry.Shape.Any(extent => extent < 0))
            {
                throw new ArgumentException($"the shape of {entry} is negative", nameof(entries));
            }
        }
        byte[] header = SafetensorsHeader.Format(this.entries, metadata ?? new Dictionary<string, string>());
        file = AtomicFile.Create(path);
        file.Write(header);
        left = this.entries.Length > 0 ? this.entries[0].ByteCount : 0;
        SkipComplete();
    }

    /// <summary>
    /// Appends elements of the current tensor, which must be of that name and of type F32, BF16 or F16; the latter two get them rounded to
    /// nearest, ties to even.
    /// </summary>
    /// <exception cref="InputException">The disk is full, or fails.</exception>
    public void Write(string name, ReadOnlySpan<float> data)
    {
        SafetensorsType type = current < this.entries.Length ? this.entries[current].Type : SafetensorsType.F32;
        switch (type)
        {
            case SafetensorsType.F16:
                AppendRounded<Half>(name, type, data, TensorPrimitives.ConvertToHalf);
                break;
            case SafetensorsType.BF16:
                AppendRounded<ushort>(name, type, data, RoundToBFloat16);
                break;
            default:
                Append(name, SafetensorsType.F32, data);
                break;
        }
    }

    /// <summary>Appends elements of the current tensor, by their bits, which must be of that name and of type BF16.</summary>
    /// <exception cref="InputException">The disk is full, or fails.</exception>
    public void Write(string name, ReadOnlySpan<ushort> bits) => Append(name, SafetensorsType.BF16, bits);

    /// <summary>Appends elements of the current tensor, which must be of that name and of type I64.</summary>
    /// <exception cref="InputException">The disk is full, or fails.</exception>
    public void Write(string name, ReadOnlySpan<long> data) => Append(name, SafetensorsType.I64, data);

    /// <summary>Appends elements of the current tensor, which must be of that name and of type I32.</summary>
    /// <exception cref="InputException">The disk is full, or fails.</exception>
    public void Write(string name, ReadOnlySpan<int> data) => Append(name, SafetensorsType.I32, data);

    /// <summary>Appends little-endian bytes of the current tensor, which must be of that name, whatever its type.</summary>
    /// <exception cref="InputException">The disk is full, or fails.</exception>
    public void WriteBytes(string name, ReadOnlySpan<byte> data)
    {
        Expect(name, data.Length);
        file.Write(data);
        Advance(data.Length);
    }

    /// <summary>Flushes the file to the disk and gives it its name.</summary>
    /// <exception cref="InvalidOperationException">A declared tensor lacks data.</exception>
    /// <exception cref="InputException">The disk is full, or the name cannot be taken.</exception>
    public void Commit()
    {
        if (current < this.entries.Length)
        {
            throw new InvalidOperationException($"tensor '{this.entries[current].Name}' lacks {left} bytes");
        }
        file.Commit();
    }

    /// <summary>Removes the unfinished file, unless it was committed.</summary>
    public void Dispose() => file.Dispose();

    private delegate void Rounding<T>(ReadOnlySpan<float> source, Span<T> destination);

    private void AppendRounded<T>(string name, SafetensorsType type, ReadOnlySpan<float> data, Rounding<T> round) where T : unmanaged
    {
        Expect(name, (long)data.Length * Unsafe.SizeOf<T>()); // all of it, before any is written
        T[] buffer = ArrayPool<T>.Shared.Rent(Math.Min(data.Length, ChunkBytes / Unsafe.SizeOf<T>()));
        while (!data.IsEmpty)
        {
            Span<T> part = buffer.AsSpan(0, Math.Min(data.Length, ChunkBytes / Unsafe.SizeOf<T>()));
            round(data[..part.Length], part);
            Append<T>(name, type, part);
            data = data[part.Length..];
        }
        ArrayPool<T>.Shared.Return(buffer);
    }

    // The upper half of the bits, plus one where the lower half is over its middle, or on it and the upper half odd. A NaN stays one.
    private static void RoundToBFloat16(ReadOnlySpan<float> source, Span<ushort> destination)
    {
        for (int i = 0; i < source.Length; i++)
        {
            uint bits = BitConverter.SingleToUInt32Bits(source[i]);
            destination[i] = float.IsNaN(source[i]) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
        }
    }

    private void Append<T>(string name, SafetensorsType type, ReadOnlySpan<T> data) where T : unmanaged
    {
        Expect(name, (long)data.Length * Unsafe.SizeOf<T>());
        if (!data.IsEmpty && this.entries[current].Type != type)
        {
            throw new InvalidOperationException($"tensor '{name}' is declared {this.entries[current].Type}, not {type}");
        }
        while (!data.IsEmpty) // in parts, since the bytes of a large span of T are more than a span of bytes can have
        {
            ReadOnlySpan<byte> part = MemoryMarshal.AsBytes(data[..Math.Min(data.Length, ChunkBytes / Unsafe.SizeOf<T>())]);
            if (BitConverter.IsLittleEndian)
            {
                file.Write(part);
            }
            else
            {
                byte[] swapped = ArrayPool<byte>.Shared.Rent(part.Length);
                part.CopyTo(swapped);
                WeightFile.ReverseEach(swapped.AsSpan(0, part.Length), Unsafe.SizeOf<T>());
                file.Write(swapped.AsSpan(0, part.Length));
                ArrayPool<byte>.Shared.Return(swapped);
            }
            data = data[(part.Length / Unsafe.SizeOf<T>())..];
            Advance(part.Length);
        }
    }

    private void Expect(string name, long byteCount)
    {
        if (byteCount == 0)
        {
            return; // an empty piece, or a tensor without elements, changes nothing
        }
        if (current == this.entries.Length || this.entries[current].Name != name)
        {
            string due = current == this.entries.Length ? "no tensor is" : $"'{this.entries[current].Name}' is";
            throw new InvalidOperationException($"data of tensor '{name}' are given where {due} due");
        }
        if (byteCount > left)
        {
            throw new InvalidOperationException($"tensor '{name}' lacks {left} bytes, but {byteCount} are given");
        }
    }

    private void Advance(long byteCount)
    {
        left -= byteCount;
        SkipComplete();
    }

    private void SkipComplete()
    {
        while (left == 0 && current < this.entries.Length && ++current < this.entries.Length)
        {
            left = this.entries[current].ByteCount;
        }
    }
}
