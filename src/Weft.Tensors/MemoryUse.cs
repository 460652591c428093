namespace Weft.Tensors;

/// <summary>What memory is wanted for, as the message says where there is not enough.</summary>
/// <param name="What">What it holds: <c>parameter 'head.weight'</c>, say.</param>
/// <param name="Lower">What needs less: <c>a smaller width</c>, say.</param>
public readonly record struct MemoryUse(string? What, string? Lower)
{
    /// <summary>The refusal of a request.</summary>
    internal InputException Refuse(Shape? shape, long bytes, long free, Exception? inner = null)
    {
        string found = free == long.MaxValue ? "the system has no more" : $"{Size(free)} are free";
        string message = $"there is not enough memory for {What ?? "a tensor"}{(shape is { } s ? $" {s}" : "")}: it takes {Size(bytes)}, and {found}; "
            + $"{Lower ?? "a smaller batch, context or width"} would need less";
        return inner is null ? new InputException(message) : new InputException(message, inner);
    }

    private static string Size(long bytes) => bytes >= 1_000_000_000 ? $"{bytes / 1e9:0.0} GB" : $"{bytes / 1e6:0.0} MB";
}
