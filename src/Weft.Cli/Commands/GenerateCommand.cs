using System.CommandLine;
using System.Diagnostics;
using System.Text;
using Spectre.Console;
using Weft.Lab;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Cli.Commands;

/// <summary>weft generate: what a trained model says next.</summary>
internal sealed class GenerateCommand : WeftCommand
{
    private static readonly GenerationOptions Defaults = new();

    private readonly Argument<string> run = new("RUN") { Description = "the folder of a trained model, or of one from Hugging Face" };
    private readonly Option<string?> prompt = Settings.Text("--prompt", "TEXT", "the text to go on from; - or a pipe: standard input, of any length");
    private readonly Option<int?> tokens = Settings.Whole("--tokens", "N", $"tokens to generate, bytes where the model has no tokenizer (default {Defaults.Tokens})", 0);
    private readonly Option<double?> temperature = Settings.Real("--temperature", "T", $"0 takes the likeliest token always, 1 what the model believes (default {Defaults.Temperature})", 0, 100);
    private readonly Option<double?> topP = Settings.Real("--top-p", "P", $"draw among the likeliest tokens of this total probability (default {Defaults.TopP})", 0, 1);
    private readonly Option<int?> seed = Settings.Seed("of the draw; the same seed gives the same text");
    private readonly Option<string?> state = Settings.Text("--state", "FILE", "start from a saved state rather than from nothing");
    private readonly Option<string?> saveState = Settings.Text("--save-state", "FILE", "save the state afterwards, prompt and generated text included");
    private readonly Option<int?> threads = Settings.Threads();
    private readonly Option<Precision?> precision = Settings.Precision();
    private readonly Option<WeightFormat?> quantize = Settings.Quantize("hold weights in fewer bits, bf16, int8 or int4: less memory, faster, a little worse");
    private readonly Option<bool> profile = Settings.Profile("afterwards, beside the errors");

    public GenerateCommand(Terminal terminal) : base(terminal, "generate", "continue a text with a trained model",
        new Example("weft generate run --prompt \"Once upon a time\"", "continue a text"),
        new Example("weft generate run --prompt \"The \" --tokens 1000 --temperature 0.5 --seed 7", "longer, safer, another draw"),
        new Example("weft generate run --prompt - --tokens 0 --save-state book.state", "read a long text from a pipe once ..."),
        new Example("weft generate run --state book.state --prompt \"In short, \"", "... and go on from there at once"),
        new Example("weft generate run --prompt \"The \" --quantize int4", "a seventh of the memory; weft inspect run --quantize says at what loss"))
    {
        Add(this.run);
        foreach (Option option in (ReadOnlySpan<Option>)[this.prompt, this.tokens, this.temperature, topP, this.seed, this.state, saveState, threads, precision, quantize, profile])
        {
            Add(option);
        }
    }

    public override IReadOnlyList<string> Notes => ["Only the new text is written, as UTF-8.", "A saved state goes on with the --quantize that it was saved with."];

    protected override int Run(ParseResult given)
    {
        GenerationOptions options = Defaults with
        {
            Tokens = given.GetValue(this.tokens) ?? Defaults.Tokens,
            Temperature = (float)(given.GetValue(this.temperature) ?? Defaults.Temperature),
            TopP = (float)(given.GetValue(topP) ?? Defaults.TopP),
            Seed = (ulong)(given.GetValue(this.seed) ?? 0),
        };
        using Stream prompt = OpenPrompt(given.GetValue(this.prompt));
        using Device device = OpenDevice(given.GetValue(threads) ?? 0, given.GetValue(precision));
        LanguageModel model = ModelFolder.Load(given.GetRequiredValue(this.run), device);
        if (given.GetValue(quantize) is { } format)
        {
            model.Quantize(format);
        }
        SequenceState? state = given.GetValue(this.state) is string file ? LoadState(file, model) : null;
        using TextGenerator generator = new(model, state);
        if (given.GetValue(profile))
        {
            Profiled(generator, () => Read(prompt, generator), () => Write(generator, options));
        }
        else
        {
            Read(prompt, generator);
            Write(generator, options);
        }
        if (given.GetValue(saveState) is string target)
        {
            StateFile.Save(generator.State, target);
        }
        return 0;
    }

    private void Profiled(TextGenerator generator, Action read, Action write)
    {
        Device device = generator.State.Model.Device;
        IReadOnlyList<Ceiling> ceilings = device.MeasureCeilings();
        (Breakdown reading, long readTokens) = Measure(read);
        (Breakdown writing, long written) = Measure(write);
        Terminal.Error.WriteLine($"ceilings: {ProfileTable.Describe(ceilings)}");
        IAnsiConsole console = Terminal.Plain(Terminal.Error);
        ProfileTable.Write(console, $"reading {Human.Count(readTokens)} tokens, {Human.Count(readTokens / reading.Seconds)} tokens/s", reading, ceilings);
        if (written > 0)
        {
            ProfileTable.Write(console, $"a token generated, mean of {written}, {Human.Count(written / writing.Seconds)} tokens/s", writing with { Times = written }, ceilings);
        }
        Terminal.Error.WriteLine(ProfileTable.Note);

        (Breakdown Breakdown, long Tokens) Measure(Action action)
        {
            long position = generator.State.Position, start = Stopwatch.GetTimestamp();
            DeviceProfile profile = new();
            device.Profile = profile;
            action();
            device.Profile = null;
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            return (new Breakdown(profile.Operations, seconds, 1), generator.State.Position - position);
        }
    }

    private Stream OpenPrompt(string? prompt) => prompt switch
    {
        null or "-" => Terminal.Input ?? throw new InputException("give --prompt TEXT, or pipe a text in: the model needs at least one byte to go on from"),
        "" => throw new InputException("--prompt is empty; give at least one byte to go on from"),
        _ => new MemoryStream(Encoding.UTF8.GetBytes(prompt)),
    };

    private static SequenceState LoadState(string file, LanguageModel model)
    {
        SequenceState state = StateFile.Load(file, model);
        return state.Batch == 1 ? state : throw new InputException($"{AtomicFile.Quote(file)} holds the state of {state.Batch} sequences; generation continues one");
    }

    private void Read(Stream prompt, TextGenerator generator)
    {
        byte[] buffer = new byte[1 << 14];
        using MemoryStream whole = new();
        bool isEmpty = true;
        for (int count; (count = prompt.Read(buffer)) > 0; isEmpty = false)
        {
            Terminal.Cancel.ThrowIfCancellationRequested();
            if (generator.ReadsPieces)
            {
                generator.Read(buffer.AsSpan(0, count));
            }
            else
            {
                whole.Write(buffer, 0, count);
            }
        }
        if (isEmpty)
        {
            throw new InputException("the prompt from standard input is empty; give at least one byte to go on from");
        }
        if (!generator.ReadsPieces)
        {
            generator.Read(whole.GetBuffer().AsSpan(0, (int)whole.Length));
        }
    }

    private void Write(TextGenerator generator, GenerationOptions options)
    {
        Sampler sampler = new(options);
        using (Utf8TextWriter text = new(Terminal.IsTerminal ? new PrintableWriter(Terminal.Out) : Terminal.Out))
        {
            for (long i = 0; i < options.Tokens && !generator.IsAtEnd; i++)
            {
                Terminal.Cancel.ThrowIfCancellationRequested();
                text.Write(generator.Next(sampler));
            }
            text.Write(generator.Finish());
        }
        if (Terminal.IsTerminal)
        {
            Terminal.Out.WriteLine(); // so that the shell's prompt begins a line
        }
    }
}
