using System.Runtime.InteropServices;

namespace Weft.Lab;

/// <summary>What a report says of the machine it was measured on.</summary>
public static class Machine
{
    /// <summary>The processor's name where the system tells it, else its architecture.</summary>
    public static string Processor { get; } = Find();

    private static string Find()
    {
        try
        {
            if (OperatingSystem.IsLinux() && File.Exists("/proc/cpuinfo"))
            {
                string? line = File.ReadLines("/proc/cpuinfo").Take(64).FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal));
                if (line?.Split(':', 2) is [_, { } name])
                {
                    return name.Trim();
                }
            }
        }
        catch (IOException)
        {
            // The architecture says enough.
        }

        return Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? RuntimeInformation.ProcessArchitecture.ToString();
    }
}
