namespace Weft.Tensors.Cpu;

/// <summary>
/// A matrix [outputs, inputs] of whole numbers ("levels") times scales, a scale for each output and group of 32 inputs, packed as the second
/// operand of y = x W^T. A block holds 32 outputs (columns of y) and one group: 64 bytes of scales, bfloat16 in pairs (a lane of 32 bits is
/// that of column c and of column c + 16), then the levels as its <see cref="IQuantizedFormat"/> lays them out. The blocks of a panel follow
/// each other.
/// </summary>
internal sealed unsafe class QuantizedWeight(Device device, WeightFormat format, int n, int k, MemoryUse use)
    : HeldWeight(device, n, k, (nint)GroupsOf(k) * BytesOf(format), use)
{
    /// <summary>Inputs of a group.</summary>
    public const int Group = 32;

    /// <summary>Half a panel's columns: column c and c + 16 share lanes.</summary>
    public const int Half = Width / 2;

    /// <summary>Bytes of a block's scales.</summary>
    public const int ScaleBytes = Half * sizeof(float);

    public WeightFormat Format { get; } = format;

    public int Groups => GroupsOf(K);

    public byte* Blocks => (byte*)Address;

    public override void Row(int row, Span<float> target)
    {
        if (Format == WeightFormat.Int8)
            Row<Int8Format>(row, target);
        else
            Row<Int4Format>(row, target);
    }

    private void Row<F>(int row, Span<float> target) where F : struct, IQuantizedFormat
    {
        int column = row % Width;
        byte* block = Blocks + ((nint)(row / Width) * Groups * F.BlockBytes);
        for (int i = 0; i < K; i += Group, block += F.BlockBytes)
        {
            float scale = ScaleOf(block, column);
            for (int k = 0; k < Math.Min(Group, K - i); k++)
                target[i + k] = scale * F.Level(block, k, column);
        }
    }

    private static int GroupsOf(int k) => (k + Group - 1) / Group;

    private static int BytesOf(WeightFormat format) => format == WeightFormat.Int8 ? Int8Format.BlockBytes : Int4Format.BlockBytes;

    /// <summary>The scale of a column of a block.</summary>
    public static float ScaleOf(byte* block, int column)
    {
        uint pair = ((uint*)block)[column % Half];
        return BitConverter.UInt32BitsToSingle(column < Half ? pair << 16 : pair & 0xffff0000u);
    }
}
