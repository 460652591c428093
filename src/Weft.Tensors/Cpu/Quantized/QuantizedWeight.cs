namespace Weft.Tensors.Cpu;

/// <summary>
/// A matrix [outputs, inputs] of whole numbers ("levels") times scales, a scale for each output and group of 32 inputs, packed as the second
/// operand of y = x W^T. A block holds 32 outputs (columns of y) and one group: 64 bytes of scales, bfloat16 in pairs (a lane of 32 bits is
/// that of column c and of column c + 16), then the levels as its <see cref="IQuantizedFormat"/> lays them out. The blocks of a panel of 32
/// columns follow each other, then those of the next panel: decoding reads memory in order. Missing rows and columns are zeros.
/// </summary>
internal sealed unsafe class QuantizedWeight : IDisposable
{
    /// <summary>Inputs of a group.</summary>
    public const int Group = 32;

    /// <summary>Columns of a panel, and half of them: column c and c + 16 share lanes.</summary>
    public const int Width = 32, Half = 16;

    /// <summary>Bytes of a block's scales.</summary>
    public const int ScaleBytes = Half * sizeof(float);

    private readonly DeviceMemory memory;

    public QuantizedWeight(Device device, WeightFormat format, int n, int k)
    {
        (Format, N, K) = (format, n, k);
        memory = new DeviceMemory(device, Bytes / sizeof(float), new MemoryUse($"a weight in {format.Word()}", null), new Shape(n, k));
    }

    public WeightFormat Format { get; }

    /// <summary>The outputs.</summary>
    public int N { get; }

    /// <summary>The inputs.</summary>
    public int K { get; }

    public int Panels => (N + Width - 1) / Width;

    public int Groups => (K + Group - 1) / Group;

    public int BlockBytes => Format == WeightFormat.Int8 ? Int8Format.BlockBytes : Int4Format.BlockBytes;

    public long Bytes => (long)Panels * Groups * BlockBytes;

    public byte* Blocks => (byte*)memory.Address;

    public void Dispose() => memory.Dispose();

    /// <summary>Copies one row, the weights of one output, as float32.</summary>
    public void Row(int row, Span<float> target)
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

    /// <summary>The scale of a column of a block.</summary>
    public static float ScaleOf(byte* block, int column)
    {
        uint pair = ((uint*)block)[column % Half];
        return BitConverter.UInt32BitsToSingle(column < Half ? pair << 16 : pair & 0xffff0000u);
    }
}
