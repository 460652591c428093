namespace Weft.Tensors;

/// <summary>The form in which a weight's numbers are held.</summary>
public enum WeightFormat
{
    /// <summary>float32: what is learned.</summary>
    Float32,

    /// <summary>Whole numbers of 8 bits times a scale for each output and 32 inputs: 8.5 bits a number. To read and multiply by only.</summary>
    Int8,

    /// <summary>Whole numbers of 4 bits times a scale for each output and 32 inputs: 4.5 bits a number. To read and multiply by only.</summary>
    Int4,
}

/// <summary>The words for forms of weights.</summary>
public static class WeightFormats
{
    private static readonly string[] Words = ["float32", "int8", "int4"]; // in the order of WeightFormat

    /// <summary>float32, int8 or int4.</summary>
    public static string Word(this WeightFormat format) => Words[(int)format];

    /// <summary>The form of few bits that a word names: int8 or int4.</summary>
    /// <exception cref="InputException">It names none.</exception>
    public static WeightFormat Parse(string word)
    {
        int index = Array.IndexOf(Words, word);
        return index > 0 ? (WeightFormat)index : throw new InputException($"weights cannot be quantised to '{word}'; give int8 or int4");
    }
}
