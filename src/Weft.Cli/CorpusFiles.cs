using System.CommandLine;
using Weft.Tensors;

namespace Weft.Cli;

/// <summary>The FILE... of a command line: what to learn from.</summary>
internal static class CorpusFiles
{
    public static Argument<string[]> Argument(bool isOptional) => new("FILE")
    {
        Arity = isOptional ? ArgumentArity.ZeroOrMore : ArgumentArity.OneOrMore,
        Description = "what to learn from: files of any kind and size, taken as bytes" + (isOptional ? " (default: the built-in text)" : ""),
    };

    /// <exception cref="InputException">Standard input is named.</exception>
    public static string[] Of(ParseResult given, Argument<string[]> argument)
    {
        string[] files = given.GetValue(argument) ?? [];
        return files.Contains("-")
            ? throw new InputException("a corpus is read many times over, so it cannot come from standard input; save it to a file and name that")
            : files;
    }
}
