using Weft.Tensors;

namespace Weft.Cli;

/// <summary>The list of models in <c>--models</c>: separated by commas outside brackets, since patterns hold commas within theirs.</summary>
internal static class ModelList
{
    /// <summary>Splits <c>transformer,(3*mamba2 attention)*4,attention[window=64, heads=4]</c> into its three models.</summary>
    /// <exception cref="InputException">A model is missing or given twice.</exception>
    public static IReadOnlyList<string> Split(string text)
    {
        List<string> models = [];
        int depth = 0;
        int start = 0;
        for (int i = 0; i <= text.Length; i++)
        {
            if (i < text.Length && (text[i] != ',' || depth > 0))
            {
                // What is opened and never closed, or the reverse, is for the pattern's own parser to explain.
                depth = text[i] is '(' or '[' ? depth + 1 : text[i] is ')' or ']' ? Math.Max(0, depth - 1) : depth;
                continue;
            }
            string model = text[start..i].Trim();
            start = i + 1;
            if (model.Length == 0)
            {
                throw new InputException("--models has an empty place; write names with a comma between: --models transformer,mamba2,hybrid");
            }
            if (models.Contains(model))
            {
                throw new InputException($"--models has '{model}' twice; to train a model several times, give --seeds");
            }
            models.Add(model);
        }
        return models;
    }
}
