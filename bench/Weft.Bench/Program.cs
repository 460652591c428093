using System.CommandLine;
using System.Globalization;
using Weft.Bench;
using Weft.Models;
using Weft.Tensors;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
Argument<string[]> names = new("names") { Description = "what to measure: names, or the beginnings of names; everything unless given", Arity = ArgumentArity.ZeroOrMore };
Option<int> width = new("--width") { Description = "the model's width", DefaultValueFactory = _ => 512 };
Option<int> tokens = new("--tokens") { Description = "the tokens of the sequence", DefaultValueFactory = _ => 8192 };
Option<int> rounds = new("--rounds") { Description = "rounds, of which the medians are shown", DefaultValueFactory = _ => 3 };
Option<int> threads = new("--threads") { Description = "threads; 0: one for each core" };
Option<FileInfo?> json = new("--json") { Description = "also writes the rows there: name, value, unit, goal, ratio" };

RootCommand root = new("Benchmarks of Weft: ratios taken in one run. Times nothing else while it runs, and neither should you.")
{
    Command("mixers", "every mixer, forward and backward, against Mamba-2 in the same rounds", (device, given, results) =>
        MixerBench.Run(device, given.GetValue(names)!, given.GetValue(width), given.GetValue(tokens), given.GetValue(rounds), results), names, width, tokens, rounds),
    Command("definitions", "every recurrence's fast form against its plain definition, forward", (device, given, results) =>
        DefinitionBench.Run(device, given.GetValue(names)!, given.GetValue(tokens), given.GetValue(rounds), results), names, tokens, rounds),
    Command("length", "every mixer's time and state per token after 1k and after 256k tokens", (device, given, results) =>
        LengthBench.Run(device, given.GetValue(names)!, given.GetValue(width), results), names, width),
    Command("products", "matrix products against OpenBLAS and oneDNN where they are installed, and two threads against one", (_, given, results) =>
        ProductBench.Run(given.GetValue(rounds), results), rounds),
};
return root.Parse(args).Invoke();

Command Command(string name, string description, Action<Device, ParseResult, Results> run, params Symbol[] symbols)
{
    Command command = new(name, description);
    foreach (Symbol symbol in symbols)
    {
        if (symbol is Argument argument)
        {
            command.Arguments.Add(argument);
        }
        else
        {
            command.Options.Add((Option)symbol);
        }
    }

    command.Options.Add(threads);
    command.Options.Add(json);
    command.SetAction(given =>
    {
        try
        {
            using Device device = Device.Open(given.GetValue(threads));
            Console.WriteLine(device.Description);
            var results = new Results();
            run(device, given, results);
            if (given.GetValue(json) is { } file)
            {
                results.Write(file.FullName);
            }

            return 0;
        }
        catch (InputException e)
        {
            Console.Error.WriteLine(e.Message);
            return 2;
        }
    });
    return command;
}
