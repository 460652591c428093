using System.Runtime.InteropServices;

namespace Weft.Tensors.Cpu;

/// <summary>
/// A matrix [outputs, inputs] in another form than float32, packed as the second operand of y = x W^T: in panels of 32 outputs (columns of
/// y) that follow each other in memory, so that decoding reads it in order. Missing rows and columns are zeros.
/// </summary>
internal abstract unsafe class HeldWeight : IDisposable
{
    /// <summary>Outputs of a panel.</summary>
    public const int Width = 32;

    private readonly DeviceMemory memory;

    /// <summary>Takes the memory; its content is undefined.</summary>
    protected HeldWeight(Device device, int n, int k, nint panelBytes, MemoryUse use)
    {
        (N, K, PanelBytes) = (n, k, panelBytes);
        memory = new DeviceMemory(device, Bytes / sizeof(float), use, new Shape(n, k));
    }

    /// <summary>The outputs.</summary>
    public int N { get; }

    /// <summary>The inputs.</summary>
    public int K { get; }

    public nint PanelBytes { get; }

    public int Panels => (N + Width - 1) / Width;

    public long Bytes => Panels * (long)PanelBytes;

    protected nint Address => memory.Address;

    /// <summary>Copies one row, the weights of one output, as float32.</summary>
    public abstract void Row(int row, Span<float> target);

    /// <summary>Sets all to zeros.</summary>
    public void Clear(WorkerPool pool)
    {
        var job = new ClearJob { PanelBytes = PanelBytes, Memory = (byte*)Address };
        pool.Run(ref job, Panels);
    }

    public void Dispose() => memory.Dispose();

    // An item a panel.
    private struct ClearJob : IJob
    {
        public nint PanelBytes;
        public byte* Memory;

        public readonly void Run(int index, int worker) => NativeMemory.Clear(Memory + (index * PanelBytes), (nuint)PanelBytes);
    }
}
