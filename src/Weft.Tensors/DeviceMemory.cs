namespace Weft.Tensors;

/// <summary>A block of a device's memory, freed when disposed or collected.</summary>
internal sealed class DeviceMemory : IDisposable
{
    private readonly Device device;
    private nint address;

    public DeviceMemory(Device device, long floats)
    {
        this.device = device;
        Floats = floats;
        address = device.AllocateMemory(Math.Max(floats, 16) * sizeof(float));
        GC.AddMemoryPressure(Math.Max(floats, 16) * sizeof(float));
    }

    ~DeviceMemory() => Free();

    public long Floats { get; }

    public nint Address => address;

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        nint old = Interlocked.Exchange(ref address, 0);
        if (old != 0)
        {
            device.FreeMemory(old);
            GC.RemoveMemoryPressure(Math.Max(Floats, 16) * sizeof(float));
        }
    }
}
