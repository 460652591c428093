using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Cli;

/// <summary>Options whose mistakes are told in one line that names the option, what it was given and what would do.</summary>
internal static class Settings
{
    /// <summary>The threads that kernels run on.</summary>
    public static Option<int?> Threads() =>
        Whole("--threads", "N", $"worker threads (default {Environment.ProcessorCount}: one a processor)", 1, 1024);

    /// <summary>What matrix products multiply.</summary>
    public static Option<Precision?> Precision(string otherwise = "") =>
        Parsed<Precision?>("--precision", "P", $"what products multiply: float32 or bf16 (default {Device.FastestPrecision.Word()}, the faster one here{otherwise})", text => Precisions.Parse(text));

    /// <summary>Whether weights are rounded to few bits, and to how many.</summary>
    public static Option<WeightFormat?> Quantize(string description) => Parsed<WeightFormat?>("--quantize", "F", description, text => WeightFormats.Parse(text));

    /// <summary>How much training: a time, FLOPs or bytes.</summary>
    public static Option<Budget?> Budget(string description) => Parsed<Budget?>("--budget", "B", description, text => Weft.Training.Budget.Parse(text));

    /// <summary>The tokens of a training sequence.</summary>
    public static Option<int?> Context(string otherwise) => Whole("--context", "N", $"tokens of a training sequence (default {otherwise})", 1, 1 << 24);

    /// <summary>Where random numbers start.</summary>
    public static Option<int?> Seed(string description) => Whole("--seed", "S", $"seed {description} (default 0)", 0);

    /// <summary>Whether to say where time goes.</summary>
    public static Option<bool> Profile(string when) => Switch("--profile", $"{when}, show where the time went, by operation");

    public static Option<string?> Text(string name, string value, string description) => new(name) { HelpName = value, Description = description };

    public static Option<bool> Switch(string name, string description) => new(name) { Description = description, Arity = ArgumentArity.Zero };

    public static Option<int?> Whole(string name, string value, string description, int min, int max = int.MaxValue) =>
        Parsed<int?>(name, value, description, text =>
            int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int n) && n >= min && n <= max ? n
                : throw new InputException($"{name} '{text}' is not a whole number from {min}{(max == int.MaxValue ? " up" : $" to {max}")}"));

    public static Option<double?> Real(string name, string value, string description, double min, double max) =>
        Parsed<double?>(name, value, description, text =>
            double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double x) && x >= min && x <= max ? x
                : throw new InputException($"{name} '{text}' is not a number from {min} to {max}"));

    public static Option<T> Parsed<T>(string name, string value, string description, Func<string, T> parse) => new(name)
    {
        HelpName = value,
        Description = description,
        CustomParser = result => Parse(result, parse),
    };

    private static T? Parse<T>(ArgumentResult result, Func<string, T> parse)
    {
        try
        {
            return parse(result.Tokens[0].Value);
        }
        catch (InputException e)
        {
            result.AddError(e.Message);
            return default;
        }
    }
}
