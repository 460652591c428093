using System.Runtime.InteropServices;

namespace Weft.Tensors.Cpu;

/// <summary>The processor: float32 in native memory, vectorised kernels, a pool of worker threads.</summary>
public sealed unsafe partial class CpuDevice : Device
{
    /// <summary>Starts the device with <paramref name="threads"/> worker threads; 0: as many as the machine has processors.</summary>
    /// <remarks>Products in bfloat16 run on the best unit that there is.</remarks>
    /// <exception cref="InputException">The environment variable WEFT_ISA asks for an instruction set that is not there.</exception>
    public CpuDevice(int threads = 0, Precision precision = Precision.Float32) : this(threads, precision, BestUnit) { }

    internal CpuDevice(int threads, Precision precision, Bf16Unit unit)
    {
        Isa.Check(); // before any kernel is compiled: the choice is a constant to it
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

    internal static Bf16Unit BestUnit => Isa.Level switch { IsaLevel.Amx => Bf16Unit.Amx, IsaLevel.Avx512Bf16 => Bf16Unit.Avx512, _ => Bf16Unit.Portable };

    internal WorkerPool Pool { get; }

    /// <inheritdoc/>
    public override int Threads => Pool.Workers;

    /// <inheritdoc/>
    public override string InstructionSet => Isa.NameOf(Isa.Level) + (Precision == Precision.BFloat16 ? ", products in bf16" : "");

    /// <inheritdoc/>
    public override string Instructions => Isa.Describe();

    /// <inheritdoc/>
    public override string? Notice => Isa.Notice ?? (Precision == Precision.BFloat16 && Unit == Bf16Unit.Portable
        ? "this processor has no fast instructions for bf16: products in bf16 run slower than with --precision float32" : null);

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
    protected internal override long AvailableMemory => Math.Min(MemoryLimit, MachineMemory.Available());

    /// <summary>The most that a large request is granted, whatever is free: for tests of what happens where memory is short.</summary>
    internal long MemoryLimit { get; set; } = long.MaxValue;

    /// <inheritdoc/>
    protected internal override nint AllocateMemory(long bytes)
    {
        // Large pages where the system gives them: prefetching stops at the end of a page, and each page is looked up.
        bool isLarge = bytes >= 2 * (long)LargePage && OperatingSystem.IsLinux();
        void* memory = NativeMemory.AlignedAlloc(checked((nuint)bytes), isLarge ? LargePage : 64);
        if (isLarge)
        {
            const int hugePages = 14;
            _ = Advise(memory, (nuint)bytes, hugePages); // advice: it may be refused
        }

        return (nint)memory;
    }

    private const nuint LargePage = 2 << 20;

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* address, nuint length, int advice);

    /// <inheritdoc/>
    protected internal override void FreeMemory(nint address) => NativeMemory.AlignedFree((void*)address);

    internal override void Upload(ReadOnlySpan<float> values, Tensor destination, int firstRow)
    {
        if (destination.Format == WeightFormat.BFloat16)
        {
            ((Bf16Weight)HeldOf(destination)).Set(Pool, firstRow, values);
            return;
        }

        int columns = destination.Shape.Columns;
        for (int row = firstRow; !values.IsEmpty; row++, values = values[columns..])
        {
            values[..columns].CopyTo(Row(destination, row));
        }
    }

    internal override void Upload(ReadOnlySpan<ushort> bits, Tensor destination, int firstRow)
    {
        if (destination.Format == WeightFormat.BFloat16)
        {
            ((Bf16Weight)HeldOf(destination)).Set(Pool, firstRow, bits);
            return;
        }

        int columns = destination.Shape.Columns;
        for (int row = firstRow; !bits.IsEmpty; row++, bits = bits[columns..])
        {
            Bf16Pack.Widen(bits[..columns], Row(destination, row));
        }
    }

    internal override void Upload(ReadOnlySpan<int> values, Tokens destination) =>
        values.CopyTo(new Span<int>(destination.Pointer, destination.Count));

    internal override void Download(Tensor source, int firstRow, Span<float> destination)
    {
        int columns = source.Shape.Columns;
        for (int row = firstRow; !destination.IsEmpty; row++, destination = destination[columns..])
        {
            CopyRow(source, row, destination[..columns]);
        }
    }

    internal override void Download(Tensor source, int firstRow, Span<ushort> bits)
    {
        int columns = source.Shape.Columns;
        for (int row = firstRow; !bits.IsEmpty; row++, bits = bits[columns..])
        {
            ((Bf16Weight)HeldOf(source)).Row(row, bits[..columns]);
        }
    }

    private static void CopyRow(Tensor source, int row, Span<float> target)
    {
        if (source.Format == WeightFormat.Float32)
        {
            Row(source, row).CopyTo(target);
        }
        else
        {
            HeldOf(source).Row(row, target);
        }
    }

    /// <summary>Scratch that all items of one kernel share, valid until the next kernel asks for some.</summary>
    private float* Shared(long floats)
    {
        if (shared is null || shared.Floats < floats)
        {
            shared?.Dispose();
            shared = new DeviceMemory(this, Math.Max(floats, 1 << 16), new MemoryUse("the scratch of a kernel", null));
        }

        return (float*)shared.Address;
    }

    private static Span<float> Row(Tensor x, int row) => new(x.Pointer + ((long)row * x.RowStride), x.Shape.Columns);
}
