using System.Globalization;

namespace Weft.Tensors.Cpu;

/// <summary>
/// How much memory a process may still fill. Linux grants more than there is and ends the process that uses it, so large requests are
/// compared with this before they are made.
/// </summary>
internal static class MachineMemory
{
    private const string ControlGroup = "/sys/fs/cgroup/";

    /// <summary>The bytes: of the machine, or of the container where that has less.</summary>
    public static long Available()
    {
        try
        {
            if (OperatingSystem.IsLinux() && Find("/proc/meminfo", "MemAvailable:") is long available)
            {
                long machine = (available + (Find("/proc/meminfo", "SwapFree:") ?? 0)) * 1024;
                return Math.Min(machine, OfContainer());
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // What the runtime knows will do.
        }

        return Math.Max(0, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes - Environment.WorkingSet);
    }

    // What the control group's limit leaves; pages of files count as used there, though the inactive ones are given up on demand.
    private static long OfContainer()
    {
        if (!File.Exists(ControlGroup + "memory.max") || !long.TryParse(File.ReadAllText(ControlGroup + "memory.max"), CultureInfo.InvariantCulture, out long limit))
        {
            return long.MaxValue;
        }

        long used = long.Parse(File.ReadAllText(ControlGroup + "memory.current"), CultureInfo.InvariantCulture);
        return Math.Max(0, limit - used + (Find(ControlGroup + "memory.stat", "inactive_file ") ?? 0));
    }

    /// <summary>The number of the line of a file that begins so.</summary>
    private static long? Find(string file, string name)
    {
        foreach (string line in File.ReadLines(file))
        {
            if (line.StartsWith(name, StringComparison.Ordinal))
            {
                return long.Parse(line.AsSpan(name.Length).Trim().TrimEnd("kB").Trim(), CultureInfo.InvariantCulture);
            }
        }

        return null;
    }
}
