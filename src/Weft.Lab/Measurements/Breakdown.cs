using Weft.Tensors;

namespace Weft.Lab;

/// <summary>Where the time of something done several times went.</summary>
/// <param name="Operations">What each operation took in all, the longest first.</param>
/// <param name="Seconds">What everything took in all.</param>
/// <param name="Times">How often it was done.</param>
public sealed record Breakdown(IReadOnlyList<OperationProfile> Operations, double Seconds, long Times)
{
    /// <summary>The seconds between operations: what is not spent in kernels.</summary>
    public double Between => Math.Max(0, Seconds - Operations.Sum(o => o.Seconds));

    /// <summary>The FLOPs of all operations.</summary>
    public long Flops => Operations.Sum(o => o.Flops);
}
