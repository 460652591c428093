namespace Weft.Tensors.Cpu;

/// <summary>A weight in bfloat16, packed as the second operand of a product: as it lies, transposed, or both; packed again when it has changed.</summary>
internal sealed unsafe class PackedWeight(Device device) : IDisposable
{
    private DeviceMemory? straight, transposed;
    private long straightVersion, transposedVersion;

    /// <summary>Where one form is; true when it is to be packed there, since the weight has changed or was never asked for so.</summary>
    public bool Wanted(bool transpose, long lanes, long version, out float* target)
    {
        ref DeviceMemory? memory = ref transpose ? ref transposed : ref straight;
        ref long packed = ref transpose ? ref transposedVersion : ref straightVersion;
        bool old = memory is null || packed != version;
        memory ??= new DeviceMemory(device, lanes, new MemoryUse("a weight in bfloat16", null));
        packed = version;
        target = (float*)memory.Address;
        return old;
    }

    public void Dispose()
    {
        straight?.Dispose();
        transposed?.Dispose();
    }
}
