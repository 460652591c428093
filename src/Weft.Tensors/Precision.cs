namespace Weft.Tensors;

/// <summary>The numbers that matrix products multiply. Weights, states, sums and everything else are float32 either way.</summary>
public enum Precision
{
    /// <summary>float32: 24 bits of fraction.</summary>
    Float32,

    /// <summary>bfloat16, 8 bits of fraction, with float32 sums: faster where the processor has instructions for it.</summary>
    BFloat16,
}
