namespace Weft.Tensors;

/// <summary>The form in which a weight's numbers are held.</summary>
public enum WeightFormat
{
    /// <summary>float32: what is learned.</summary>
    Float32,

    /// <summary>bfloat16, 16 bits a number: as most checkpoints are published. To read, set by rows and multiply by only.</summary>
    BFloat16,

    /// <summary>Whole numbers of 8 bits times a scale for each output and 32 inputs: 8.5 bits a number. To read and multiply by only.</summary>
    Int8,

    /// <summary>Whole numbers of 4 bits times a scale for each output and 32 inputs: 4.5 bits a number. To read and multiply by only.</summary>
    Int4,
}

/// <summary>The words for forms of weights.</summary>
public static class WeightFormats
{
    private static readonly string[] Words = ["float32", "bf16", "int8", "int4"]; // in the order of WeightFormat

    /// <summary>float32, bf16, int8 or int4.</summary>
    public static string Word(this WeightFormat format) => Words[(int)format];

    /// <summary>The form of fewer bits than float32 that a word names: bf16, int8 or int4.</summary>
    /// <exception cref="InputException">It names none.</exception>
    public static WeightFormat Parse(string word)
    {
        int index = Array.IndexOf(Words, word);
        return index > 0 ? (WeightFormat)index : throw new InputException($"weights cannot be quantised to '{word}'; give bf16, int8 or int4");
    }

    /// <summary>The refusal to train weights that are held so.</summary>
    public static InputException NotTrained(this WeightFormat format) => new($"weights in {format.Word()} generate and evaluate, they are not trained: "
        + (format == WeightFormat.BFloat16 ? "have them in float32 first" : "load the model anew, without quantising it"));
}
