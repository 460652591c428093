using System.CommandLine;
using System.CommandLine.Parsing;
using Weft.Models;

namespace Weft.Cli;

/// <summary>A command line that cannot be understood, explained in one line.</summary>
internal static class Mistakes
{
    /// <summary>What is wrong with the command line, or null.</summary>
    public static string? Find(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        string hint = $"see weft {(command is WeftCommand ? command.Name + " " : "")}--help";
        if (Misplaced(parsed, command) is string misplaced)
        {
            return $"{misplaced}; {hint}";
        }
        if (parsed.Errors.Count == 0)
        {
            return null;
        }
        // The files first, then what else is missing.
        ParseError error = parsed.Errors.FirstOrDefault(e => e.SymbolResult is ArgumentResult { Tokens.Count: 0 }) ?? parsed.Errors[0];
        string message = error.SymbolResult switch
        {
            OptionResult { IdentifierToken: null } option => $"{option.Option.Name} {option.Option.HelpName} is missing: {option.Option.Description}",
            OptionResult { Tokens.Count: 0 } option => $"{option.Option.Name} needs a value: {option.Option.Name} {option.Option.HelpName}",
            OptionResult { Tokens.Count: > 1 } option => $"{option.Option.Name} is given twice; keep one",
            CommandResult when parsed.UnmatchedTokens is [string word, ..] => Unmatched(word, command),
            ArgumentResult { Tokens.Count: 0 } argument when argument.Argument.Arity.MinimumNumberOfValues > 0 =>
                $"{argument.Argument.Name} is missing: {argument.Argument.Description}",
            _ => error.Message.TrimEnd('.'),
        };
        // A value's own explanation already says what would do.
        return error.SymbolResult is ArgumentResult { Tokens.Count: > 0 } ? message : $"{message}; {hint}";
    }

    private static string Unmatched(string word, Command command)
    {
        if (word.StartsWith('-'))
        {
            return UnknownOption(word, command);
        }
        return command is WeftCommand
            ? $"'{word}' is one word too many"
            : $"there is no command '{word}'; {NearestNames.Hint(word, command.Subcommands.Select(c => c.Name))}";
    }

    // The parser takes any word it does not know for an argument or a value, also a misspelt option; nobody means that.
    private static string? Misplaced(ParseResult parsed, Command command)
    {
        string[] known = [.. KnownOptions(command)];
        foreach (Argument argument in command.Arguments)
        {
            foreach (Token token in parsed.GetResult(argument)?.Tokens ?? [])
            {
                if (token.Value is ['-', _, ..] && !IsAfterDoubleDash(parsed, token))
                {
                    return UnknownOption(token.Value, command);
                }
            }
        }
        foreach (Option option in command.Options)
        {
            if (parsed.GetResult(option) is { Implicit: false, Tokens: [Token value, ..] } && known.Contains(value.Value))
            {
                return $"{option.Name} needs a value, and {value.Value} is an option; to mean that very text, write {option.Name}={value.Value}";
            }
        }
        return null;
    }

    private static string UnknownOption(string word, Command command)
    {
        string name = word.Split('=')[0];
        return $"there is no option {name}{(command is WeftCommand ? $" of weft {command.Name}" : "")}; {NearestNames.Hint(name, KnownOptions(command))}";
    }

    private static IEnumerable<string> KnownOptions(Command command) => command.Options.Select(o => o.Name).Append("--help").Distinct();

    private static bool IsAfterDoubleDash(ParseResult parsed, Token token) =>
        parsed.Tokens.TakeWhile(t => !ReferenceEquals(t, token)).Any(t => t.Type == TokenType.DoubleDash);
}
