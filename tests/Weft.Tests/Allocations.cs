namespace Weft.Tests;

/// <summary>Measures what an action allocates on the managed heap.</summary>
internal static class Allocations
{
    /// <summary>
    /// The least that one of many repetitions allocates on the calling thread, in bytes. What allocates in every step shows in all of
    /// them; what the runtime allocates once (a type's first use, a thread's first wait) shows in few.
    /// </summary>
    public static long Least(Action action, int warmUp = 8, int rounds = 30)
    {
        for (int i = 0; i < warmUp; i++)
        {
            action();
        }

        long least = long.MaxValue;
        for (int i = 0; i < rounds && least > 0; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            action();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return least;
    }
}
