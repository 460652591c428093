namespace Weft.Tensors;

/// <summary>A block of a device's memory, freed when disposed or collected.</summary>
internal sealed class DeviceMemory : IDisposable
{
    private const long Unchecked = 64 << 20; // bytes that are asked for without a look at what is free

    private readonly Device device;
    private nint address;

    /// <summary>Takes memory for <paramref name="floats"/>, or refuses with what <paramref name="use"/> and <paramref name="shape"/> say.</summary>
    public DeviceMemory(Device device, long floats, MemoryUse use = default, Shape? shape = null)
    {
        this.device = device;
        (Floats, Use) = (floats, use);
        long bytes = Math.Max(floats, 16) * sizeof(float);
        if (bytes > Unchecked && device.AvailableMemory is long free && bytes > free)
        {
            throw use.Refuse(shape, bytes, free);
        }

        try
        {
            address = device.AllocateMemory(bytes);
        }
        catch (OutOfMemoryException e)
        {
            throw use.Refuse(shape, bytes, long.MaxValue, e);
        }

        GC.AddMemoryPressure(bytes);
    }

    ~DeviceMemory() => Free();

    public long Floats { get; }

    public MemoryUse Use { get; }

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
