using System.Diagnostics;

namespace Weft.Tensors;

/// <summary>What the calls of one kernel took.</summary>
/// <param name="Name">The operation: MatMul, AttentionBackward.</param>
/// <param name="Calls">How often it ran.</param>
/// <param name="Seconds">The time in it.</param>
/// <param name="Flops">The work it counted: see <see cref="Device.Flops"/>.</param>
/// <param name="Bytes">The least traffic: each operand once, one that is added to or updated in place twice.</param>
public readonly record struct OperationProfile(string Name, long Calls, double Seconds, long Flops, long Bytes);

/// <summary>
/// Where a device's time goes, an operation at a time. Set it as <see cref="Device.Profile"/> and the device's kernels add to it; nothing is
/// allocated once every operation has been seen. Of kernels that call others the outermost counts, so that times add up.
/// </summary>
public sealed class DeviceProfile
{
    private readonly Dictionary<string, Entry> entries = [];
    private bool isOpen;

    /// <summary>The operations seen, the longest first.</summary>
    public IReadOnlyList<OperationProfile> Operations =>
        [.. entries.Where(e => e.Value.Calls > 0).OrderByDescending(e => e.Value.Ticks).ThenBy(e => e.Key, StringComparer.Ordinal)
            .Select(e => new OperationProfile(e.Key, e.Value.Calls, (double)e.Value.Ticks / Stopwatch.Frequency, e.Value.Flops, e.Value.Bytes))];

    /// <summary>Begins again from zero.</summary>
    public void Clear()
    {
        foreach (Entry entry in entries.Values)
        {
            (entry.Calls, entry.Ticks, entry.Flops, entry.Bytes) = (0, 0, 0, 0);
        }
    }

    /// <summary>Begins an operation; null within another.</summary>
    internal Entry? Open(string name)
    {
        if (isOpen)
        {
            return null;
        }

        if (!entries.TryGetValue(name, out Entry? entry))
        {
            entries[name] = entry = new Entry();
        }

        isOpen = true;
        return entry;
    }

    /// <summary>Ends the operation begun last.</summary>
    internal void Close() => isOpen = false;

    /// <summary>One operation's sums.</summary>
    internal sealed class Entry
    {
        public long Calls, Ticks, Flops, Bytes;
    }
}
