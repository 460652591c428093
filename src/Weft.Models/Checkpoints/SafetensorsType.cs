namespace Weft.Models.Checkpoints;

/// <summary>The element types of tensors in files, those that fill whole bytes, under the names the safetensors format gives them (F8E4M3 is its F8_E4M3).</summary>
public enum SafetensorsType
{
    /// <summary>One byte, 0 or 1.</summary>
    BOOL,
    /// <summary>Unsigned, 1 byte.</summary>
    U8,
    /// <summary>Signed, 1 byte.</summary>
    I8,
    /// <summary>8-bit float, 4 exponent bits, 3 of mantissa.</summary>
    F8E4M3,
    /// <summary>8-bit float, 5 exponent bits, 2 of mantissa.</summary>
    F8E5M2,
    /// <summary>8-bit power of two.</summary>
    F8E8M0,
    /// <summary>Signed, 2 bytes.</summary>
    I16,
    /// <summary>Unsigned, 2 bytes.</summary>
    U16,
    /// <summary>IEEE half precision.</summary>
    F16,
    /// <summary>The upper half of a float32.</summary>
    BF16,
    /// <summary>Signed, 4 bytes.</summary>
    I32,
    /// <summary>Unsigned, 4 bytes.</summary>
    U32,
    /// <summary>IEEE single precision.</summary>
    F32,
    /// <summary>Signed, 8 bytes.</summary>
    I64,
    /// <summary>Unsigned, 8 bytes.</summary>
    U64,
    /// <summary>IEEE double precision.</summary>
    F64,
}

/// <summary>One tensor of a <see cref="WeightFile"/>: its name, element type and shape (empty for a scalar), in row-major order.</summary>
public sealed record SafetensorsEntry(string Name, SafetensorsType Type, long[] Shape)
{
    /// <summary>The number of elements: the product of the shape.</summary>
    /// <exception cref="OverflowException">The product exceeds 2^63 - 1; no entry of an opened file does.</exception>
    public long Count
    {
        get
        {
            long count = 1;
            foreach (long extent in Shape)
            {
                count = checked(count * extent);
            }
            return count;
        }
    }

    /// <summary>The number of bytes of its data.</summary>
    /// <exception cref="OverflowException">It exceeds 2^63 - 1; no entry of an opened file does.</exception>
    public long ByteCount => checked(Count * BytesPerElement);

    /// <summary>The size of one element, in bytes.</summary>
    public int BytesPerElement => Type switch
    {
        <= SafetensorsType.F8E8M0 => 1,
        <= SafetensorsType.BF16 => 2,
        <= SafetensorsType.F32 => 4,
        _ => 8,
    };

    /// <summary>Name, type and shape, as in "layers.0.weight F32 [4, 8]".</summary>
    public override string ToString() => $"{Name} {TypeName(Type)} {ShapeText}";

    /// <summary>A type's name in a file.</summary>
    internal static string TypeName(SafetensorsType type) => type switch
    {
        SafetensorsType.F8E4M3 => "F8_E4M3",
        SafetensorsType.F8E5M2 => "F8_E5M2",
        SafetensorsType.F8E8M0 => "F8_E8M0",
        _ => type.ToString(),
    };

    internal string ShapeText => $"[{string.Join(", ", Shape)}]";
}
