using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Weft.Tensors.Cpu;

/// <summary>The processor: float32 in native memory, vectorised kernels, a pool of worker threads.</summary>
public sealed unsafe partial class CpuDevice : Device
{
    /// <summary>Starts the device with <paramref name="threads"/> worker threads; 0: as many as the machine has processors.</summary>
    /// <remarks>Products in bfloat16 run on the best unit that there is.</remarks>
    public CpuDevice(int threads = 0, Precision precision = Precision.Float32) : this(threads, precision, BestUnit) { }

    internal CpuDevice(int threads, Precision precision, Bf16Unit unit)
    {
        Precision = precision;
        if (precision == Precision.BFloat16)
        {
            Unit = Bf16Kernels.Of(unit) == null ? Bf16Unit.Portable : unit;
            kernels = Bf16Kernels.Of(Unit);
        }

        Pool = new WorkerPool(threads <= 0 ? Environment.ProcessorCount : threads);
    }

    private readonly Bf16Kernels* kernels; // null: products are float32
    private DeviceMemory? shared;

    /// <inheritdoc/>
    public override Precision Precision { get; }

    /// <summary>What multiplies bfloat16 numbers, where <see cref="Precision"/> asks for them.</summary>
    internal Bf16Unit Unit { get; }

    internal static Bf16Unit BestUnit => Processor.HasAmxBf16 ? Bf16Unit.Amx : Processor.HasFastAvx512Bf16 ? Bf16Unit.Avx512 : Bf16Unit.Portable;

    internal WorkerPool Pool { get; }

    /// <inheritdoc/>
    public override int Threads => Pool.Workers;

    /// <inheritdoc/>
    public override string InstructionSet =>
        Vector512.IsHardwareAccelerated ? "AVX-512" :
        Vector256.IsHardwareAccelerated ? "AVX2" :
        Vector128.IsHardwareAccelerated ? (RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? "NEON" : "SSE") : "scalar";

    /// <inheritdoc/>
    public override string Description => $"CPU, {Threads} {(Threads == 1 ? "thread" : "threads")}, {InstructionSet}";

    /// <inheritdoc/>
    public override void Synchronize() { }

    /// <inheritdoc/>
    public override void Dispose()
    {
        Pool.Dispose();
        shared?.Dispose();
        twiddles?.Dispose();
        base.Dispose();
    }

    /// <inheritdoc/>
    protected internal override nint AllocateMemory(long bytes)
    {
        try
        {
            return (nint)NativeMemory.AlignedAlloc(checked((nuint)bytes), 64);
        }
        catch (OutOfMemoryException e)
        {
            throw new InputException($"there is no memory for {bytes / 1048576.0:0.#} MiB more; a smaller batch, context or width would need less", e);
        }
    }

    /// <inheritdoc/>
    protected internal override void FreeMemory(nint address) => NativeMemory.AlignedFree((void*)address);

    internal override void Upload(ReadOnlySpan<float> values, Tensor destination)
    {
        int columns = destination.Shape.Columns;
        for (int row = 0; row < destination.Shape.Rows; row++)
        {
            values.Slice(row * columns, columns).CopyTo(Row(destination, row));
        }
    }

    internal override void Upload(ReadOnlySpan<int> values, Tokens destination) =>
        values.CopyTo(new Span<int>(destination.Pointer, destination.Count));

    internal override void Download(Tensor source, Span<float> destination)
    {
        int columns = source.Shape.Columns;
        for (int row = 0; row < source.Shape.Rows; row++)
        {
            Row(source, row).CopyTo(destination.Slice(row * columns, columns));
        }
    }

    /// <summary>Scratch that all items of one kernel share, valid until the next kernel asks for some.</summary>
    private float* Shared(long floats)
    {
        if (shared is null || shared.Floats < floats)
        {
            shared?.Dispose();
            shared = new DeviceMemory(this, Math.Max(floats, 1 << 16));
        }

        return (float*)shared.Address;
    }

    private static Span<float> Row(Tensor x, int row) => new(x.Pointer + ((long)row * x.RowStride), x.Shape.Columns);
}
