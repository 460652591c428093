namespace Weft.Tensors;

/// <summary>What a ceiling bounds.</summary>
public enum CeilingKind
{
    /// <summary>Arithmetic: floating-point operations.</summary>
    Flops,

    /// <summary>Memory: bytes.</summary>
    Bytes,
}

/// <summary>A limit of the machine, measured with all threads: what kernels are held against.</summary>
/// <param name="Name">What it is the limit of: float32, memory.</param>
/// <param name="Kind">The unit.</param>
/// <param name="PerSecond">FLOPs or bytes a second.</param>
public readonly record struct Ceiling(string Name, CeilingKind Kind, double PerSecond);
