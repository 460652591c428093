using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>Named tensors as one safetensors file: weights, optimiser moments. In float32, but for matrices that are held in bfloat16.</summary>
public static class TensorFile
{
    private const int Piece = 1 << 18; // numbers read at a time

    /// <summary>Writes the tensors in the order given; a file of that name is replaced at once, or not at all.</summary>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public static void Save(string path, IEnumerable<(string Name, Tensor Tensor)> tensors)
    {
        (string Name, Tensor Tensor)[] all = [.. tensors];
        using var file = new SafetensorsWriter(path, all.Select(t => EntryOf(t.Name, t.Tensor.Shape) with { Type = t.Tensor.Format == WeightFormat.BFloat16 ? SafetensorsType.BF16 : SafetensorsType.F32 }));
        foreach ((string name, Tensor tensor) in all)
        {
            if (tensor.Format == WeightFormat.BFloat16)
            {
                InPieces<ushort>(tensor, tensor.GetRows, bits => file.Write(name, bits));
            }
            else
            {
                InPieces<float>(tensor, tensor.GetRows, values => file.Write(name, values));
            }
        }

        file.Commit();
    }

    // Reads a tensor some rows at a time.
    private static void InPieces<T>(Tensor tensor, Action<int, Span<T>> read, Action<ReadOnlySpan<T>> use)
    {
        (int rows, int columns) = (tensor.Shape.Rows, tensor.Shape.Columns);
        int each = Math.Max(1, Piece / Math.Max(1, columns));
        var piece = new T[Math.Min(rows, each) * columns];
        for (int row = 0; row < rows; row += each)
        {
            Span<T> values = piece.AsSpan(0, Math.Min(each, rows - row) * columns);
            read(row, values);
            use(values);
        }
    }

    /// <summary>Fills the tensors from a file that holds exactly these names with exactly these shapes.</summary>
    /// <exception cref="InputException">A tensor is missing, has another shape, or is one too many; the message names file and tensor.</exception>
    public static void Load(string path, IEnumerable<(string Name, Tensor Tensor)> tensors)
    {
        (string Name, Tensor Tensor)[] all = [.. tensors];
        using SafetensorsFile file = SafetensorsFile.Open(path);
        RequireNames(file, [.. all.Select(t => t.Name)], path);
        foreach ((string name, Tensor tensor) in all) // before any is read
        {
            SafetensorsEntry expected = EntryOf(name, tensor.Shape), found = file.Info(name);
            if (!found.Shape.AsSpan().SequenceEqual(expected.Shape))
            {
                throw WeightFile.Bad(path, name, $"its shape is {found.ShapeText} where {expected.ShapeText} is expected");
            }
        }

        foreach ((string name, Tensor tensor) in all)
        {
            var values = new float[tensor.Shape.Count];
            file.ReadFloat32(name, values);
            tensor.Set(values);
        }
    }

    /// <summary>How a tensor is declared in a file.</summary>
    internal static SafetensorsEntry EntryOf(string name, Shape shape)
    {
        var lengths = new long[shape.Rank];
        for (int i = 0; i < lengths.Length; i++)
        {
            lengths[i] = shape[i];
        }

        return new SafetensorsEntry(name, SafetensorsType.F32, lengths);
    }

    /// <summary>Refuses a file that lacks one of these tensors or holds another.</summary>
    internal static void RequireNames(SafetensorsFile file, HashSet<string> names, string path)
    {
        string? missing = names.Where(n => !file.Contains(n)).Min(StringComparer.Ordinal);
        string? extra = file.Names.Where(n => !names.Contains(n)).Min(StringComparer.Ordinal);
        if (missing is not null || extra is not null)
        {
            throw WeightFile.Bad(path, missing is not null
                ? $"it lacks the tensor {AtomicFile.Quote(missing)}" + (extra is null ? "" : $" and holds {AtomicFile.Quote(extra)} instead")
                : $"it holds the tensor {AtomicFile.Quote(extra!)}, which is not expected there");
        }
    }

    /// <summary>Adds a tensor to a hash: its name, shape and values, whatever the form that it is held in.</summary>
    internal static void Append(IncrementalHash hash, string name, Tensor tensor)
    {
        AppendName(hash, name, tensor.Shape);
        InPieces<float>(tensor, tensor.GetRows, values => AppendValues(hash, values));
    }

    /// <summary>The same of an array.</summary>
    internal static void Append(IncrementalHash hash, string name, Shape shape, ReadOnlySpan<float> values)
    {
        AppendName(hash, name, shape);
        AppendValues(hash, values);
    }

    private static void AppendName(IncrementalHash hash, string name, Shape shape) => hash.AppendData(Encoding.UTF8.GetBytes($"\n{name} {shape}\n"));

    private static void AppendValues(IncrementalHash hash, ReadOnlySpan<float> values)
    {
        if (BitConverter.IsLittleEndian)
        {
            for (int i = 0; i < values.Length; i += 1 << 24) // a span of bytes is shorter than one of floats may be
            {
                hash.AppendData(MemoryMarshal.AsBytes(values[i..Math.Min(values.Length, i + (1 << 24))]));
            }
        }
        else
        {
            Span<byte> one = stackalloc byte[sizeof(float)];
            foreach (float value in values)
            {
                BinaryPrimitives.WriteSingleLittleEndian(one, value);
                hash.AppendData(one);
            }
        }
    }

    /// <summary>A hash's first 16 bytes, in hexadecimal.</summary>
    internal static string Text(IncrementalHash hash) => Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 16));
}
