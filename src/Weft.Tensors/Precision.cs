namespace Weft.Tensors;

/// <summary>The numbers that matrix products multiply. Weights, states, sums and everything else are float32 either way.</summary>
public enum Precision
{
    /// <summary>float32: 24 bits of fraction.</summary>
    Float32,

    /// <summary>bfloat16, 8 bits of fraction, with float32 sums: faster where the processor has instructions for it.</summary>
    BFloat16,
}

/// <summary>The words for precisions.</summary>
public static class Precisions
{
    private static readonly string[] Words = ["float32", "bf16"]; // in the order of Precision

    /// <summary>float32 or bf16.</summary>
    public static string Word(this Precision precision) => Words[(int)precision];

    /// <summary>The precision that a word names.</summary>
    /// <exception cref="InputException">It names none.</exception>
    public static Precision Parse(string word)
    {
        int index = Array.IndexOf(Words, word);
        return index >= 0 ? (Precision)index : throw new InputException($"there is no precision '{word}'; give one of {string.Join(", ", Words)}");
    }
}
