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
Option<FileInfo?> peers = new("--peers") { Description = "llama.cpp's tokens a second on this machine, as JSON: machine, date, prefill and decode by model; those built in unless given" };
Option<FileInfo?> json = new("--json") { Description = "also writes the rows there: name, value, unit, goal, ratio" };
Option<FileInfo?> tokenizer = new("--tokenizer") { Description = "a tokenizer.json of one's own, in the place of the reference's small ones" };
Option<FileInfo?> text = new("--text") { Description = "a text of one's own, in the place of the built-in corpus" };
Option<bool> record = new("--record") { Description = "keeps the rows as the record that later runs are compared with" };

// The commands that measure what Weft promises; all of them run where none is named.
Action<ParseResult, Results>[] promises =
[
    (given, results) => ProductBench.Run(given.GetValue(rounds), results),
    (given, results) => StepBench.Run(given.GetValue(threads), [], given.GetValue(rounds), results),
    (given, results) => GenerationBench.Prefill(given.GetValue(threads), [], given.GetValue(rounds), Peer(given), results),
    (given, results) => GenerationBench.Decode(given.GetValue(threads), [], given.GetValue(rounds), Peer(given), results),
    (given, results) => FormsBench.Run(given.GetValue(threads), ["transformer"], given.GetValue(rounds), results),
    (given, results) =>
    {
        using Device device = Device.Open(given.GetValue(threads));
        MixerBench.Run(device, [], given.GetValue(width), given.GetValue(tokens), given.GetValue(rounds), results);
    },
    (given, results) => LoadBench.Run(given.GetValue(threads), [], given.GetValue(rounds), results),
    (given, results) => TokenizeBench.Run([], null, null, given.GetValue(rounds), results),
];

RootCommand root = new("Benchmarks of Weft: ratios taken in one run. Times nothing else while it runs, and neither should you. Without a command: everything that has a goal.")
{
    Command("step", "a training step of a Transformer and of Mamba-2, and its matrix products alone", (given, results) =>
        StepBench.Run(given.GetValue(threads), given.GetValue(names)!, given.GetValue(rounds), results), names, rounds),
    Command("prefill", "models of 130M weights reading a prompt, against llama.cpp", (given, results) =>
        GenerationBench.Prefill(given.GetValue(threads), given.GetValue(names)!, given.GetValue(rounds), Peer(given), results), names, rounds, peers),
    Command("decode", "the same generating: bytes read against the memory's rate, and 1M tokens on against the start", (given, results) =>
        GenerationBench.Decode(given.GetValue(threads), given.GetValue(names)!, given.GetValue(rounds), Peer(given), results), names, rounds, peers),
    Command("forms", "a model with its weights in float32, bf16, int8 and int4: decoding against the memory's rate, and prefill", (given, results) =>
        FormsBench.Run(given.GetValue(threads), given.GetValue(names)!, given.GetValue(rounds), results), names, rounds),
    OnDevice("mixers", "every mixer, forward and backward, against Mamba-2 in the same rounds", (device, given, results) =>
        MixerBench.Run(device, given.GetValue(names)!, given.GetValue(width), given.GetValue(tokens), given.GetValue(rounds), results), names, width, tokens, rounds),
    OnDevice("definitions", "every recurrence's fast form against its plain definition, forward", (device, given, results) =>
        DefinitionBench.Run(device, given.GetValue(names)!, given.GetValue(tokens), given.GetValue(rounds), results), names, tokens, rounds),
    OnDevice("length", "every mixer's time and state per token after 1k and after 256k tokens", (device, given, results) =>
        LengthBench.Run(device, given.GetValue(names)!, given.GetValue(width), results), names, width),
    Command("load", "a published checkpoint of 500 MB, BF16 or F32, from its folder to the first logits, and the memory that the first takes", (given, results) =>
        LoadBench.Run(given.GetValue(threads), given.GetValue(names)!, given.GetValue(rounds), results), names, rounds),
    Command("tokenize", "text to ids and back, every kind of tokenizer, one thread", (given, results) =>
        TokenizeBench.Run(given.GetValue(names)!, given.GetValue(tokenizer), given.GetValue(text), given.GetValue(rounds), results), names, tokenizer, text, rounds),
    Command("tasks", "making the examples of generated tasks, against the training steps of their quickest models", (given, results) =>
        TaskBench.Run(given.GetValue(threads), given.GetValue(names)!, given.GetValue(rounds), results), names, rounds),
    Command("products", "matrix products against OpenBLAS and oneDNN where they are installed, and two threads against one", (given, results) =>
        ProductBench.Run(given.GetValue(rounds), results), rounds),
};
Measures(root, (given, results) =>
{
    foreach (Action<ParseResult, Results> promise in promises)
    {
        promise(given, results);
        Console.WriteLine();
    }
}, width, tokens, rounds, peers);
return root.Parse(args).Invoke();

LlamaCpp Peer(ParseResult given) => given.GetValue(peers) is { } file ? LlamaCpp.Read(file) : LlamaCpp.Measured;

Command OnDevice(string name, string description, Action<Device, ParseResult, Results> run, params Symbol[] symbols) =>
    Command(name, description, (given, results) =>
    {
        using Device device = Device.Open(given.GetValue(threads));
        Console.WriteLine(device.Description);
        run(device, given, results);
    }, symbols);

Command Command(string name, string description, Action<ParseResult, Results> run, params Symbol[] symbols)
{
    Command command = new(name, description);
    Measures(command, run, symbols);
    return command;
}

void Measures(Command command, Action<ParseResult, Results> run, params Symbol[] symbols)
{
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
    command.Options.Add(record);
    command.SetAction(given =>
    {
        try
        {
            var results = new Results();
            run(given, results);
            Record.Compare(results);
            if (given.GetValue(json) is { } file)
            {
                results.Write(file.FullName);
            }

            if (given.GetValue(record))
            {
                Record.Write(results);
            }

            return 0;
        }
        catch (InputException e)
        {
            Console.Error.WriteLine(e.Message);
            return 2;
        }
    });
}
