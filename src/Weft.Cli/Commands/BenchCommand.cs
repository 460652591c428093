using System.CommandLine;
using Spectre.Console;
using Weft.Lab;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Cli.Commands;

/// <summary>weft bench: how fast models are on this machine, and where the time goes.</summary>
internal sealed class BenchCommand : WeftCommand
{
    private const double DefaultSeconds = 2;
    private static readonly string[] DefaultModels = ["transformer", "mamba2"];

    private readonly Option<IReadOnlyList<string>?> models = Settings.Parsed<IReadOnlyList<string>?>("--models", "A,B,C",
        $"presets, patterns or .json files (default {string.Join(',', DefaultModels)})", ModelList.Split);
    private readonly Option<int?> width = Settings.Whole("--width", "N", $"channels of the models (default: the presets' or files'; {Presets.DefaultWidth} for a pattern)", 1, 1 << 16);
    private readonly Option<int?> context = Settings.Whole("--context", "N", "bytes of a training sequence and of the prompt (default the model's)", 1, 1 << 24);
    private readonly Option<int?> batch = Settings.Whole("--batch", "N", "sequences of a training step (default 1)", 1, 1 << 20);
    private readonly Option<double?> seconds = Settings.Real("--seconds", "S", $"how long to measure each of training, prefill and decoding (default {DefaultSeconds})", 0, 3600);
    private readonly Option<string?> json = Settings.Text("--json", "FILE", "also write the figures there, for programs");
    private readonly Option<int?> threads = Settings.Threads();
    private readonly Option<Precision?> precision = Settings.Precision();
    private readonly Option<WeightFormat?> quantize = Settings.Quantize("measure prefill and decoding with weights of fewer bits, bf16, int8 or int4; such models do not train");

    public BenchCommand(Terminal terminal) : base(terminal, "bench", "training, prefill and decoding speed, and where the time goes, on random bytes",
        new Example("weft bench", "how fast is this machine, and where does a step's time go?"),
        new Example("weft bench --models \"(attention swiglu)*8\" --width 512 --context 2048", "the same of another model: preset, pattern or file"),
        new Example("weft bench --models mamba2,rwkv7 --json speed.json", "two models side by side, and the figures in a file"),
        new Example("weft bench --models transformer --quantize int4", "how fast does it generate from weights of 4 bits?"))
    {
        foreach (Option option in (ReadOnlySpan<Option>)[this.models, this.width, this.context, this.batch, this.seconds, this.json, threads, precision, quantize])
        {
            Add(option);
        }
    }

    public override IReadOnlyList<string> Notes =>
        ["Speeds are medians; the tables are of profiled runs in between, held against what the machine was measured to do.", ProfileTable.Note];

    protected override int Run(ParseResult given)
    {
        int batch = given.GetValue(this.batch) ?? 1;
        double seconds = given.GetValue(this.seconds) ?? DefaultSeconds;
        int? context = given.GetValue(this.context);
        ModelConfig[] configs = [.. (given.GetValue(this.models) ?? DefaultModels).Select(m => Presets.Resolve(m, given.GetValue(this.width), BlockTable.Names))];
        configs = [.. configs.Select(c => c with { Context = context ?? c.Context })];
        if (configs.FirstOrDefault(c => (long)c.Context * batch > int.MaxValue / 2) is { } large)
        {
            throw new InputException($"a batch of {batch} x {large.Context} bytes is too large; give a smaller --batch or --context");
        }
        using AtomicFile? file = given.GetValue(json) is string path ? AtomicFile.Create(path) : null; // refused before anything is measured
        using Device device = OpenDevice(given.GetValue(threads) ?? 0, given.GetValue(precision));
        IReadOnlyList<Ceiling> ceilings = device.MeasureCeilings();
        Terminal.Out.WriteLine($"{Machine.Processor}; {device.Description}");
        Terminal.Out.WriteLine($"ceilings: {ProfileTable.Describe(ceilings)}");
        List<BenchmarkResult> results = [];
        foreach (ModelConfig config in configs)
        {
            BenchmarkResult result = Benchmark.Run(config, device, batch, seconds, given.GetValue(quantize) ?? WeightFormat.Float32, Terminal.Cancel);
            results.Add(result);
            Write(result, ceilings);
        }
        Terminal.Out.WriteLine(ProfileTable.Note);
        Summarise(results, ceilings);
        if (file is not null)
        {
            file.Write(BenchJson.Of(device, ceilings, results));
            file.Commit();
        }
        return 0;
    }

    private void Write(BenchmarkResult result, IReadOnlyList<Ceiling> ceilings)
    {
        (StepParts parts, string name) = (result.Parts, result.Config.Name + (result.Format == WeightFormat.Float32 ? "" : $" in {result.Format.Word()}"));
        if (result.Training is { } training)
        {
            Table("a training step", training, $", {result.Batch} x {result.Config.Context} bytes: forward {parts.Forward:0%}, backward {parts.Backward:0%}, update {parts.Update:0%}");
        }
        Table("prefill", result.Prefill, $" of {result.Config.Context} bytes");
        Table("decoding", result.Decode, $", a byte after {result.Config.Context}");

        void Table(string what, Timing timing, string more) =>
            ProfileTable.Write(Terminal.Console, $"{name}, {what}{more}; {Human.Count(timing.TokensPerSecond)} tokens/s", timing.Breakdown, ceilings);
    }

    private void Summarise(List<BenchmarkResult> results, IReadOnlyList<Ceiling> ceilings)
    {
        Ceiling peak = ceilings.First(c => c.Kind == CeilingKind.Flops);
        Table table = Tables.New("", " parameters", " weights", " training tokens/s", " GFLOP/s", $" of {peak.Name}", " prefill tokens/s", " decoding tokens/s");
        foreach (BenchmarkResult result in results)
        {
            string[] trained = result.Training is { } step
                ? [Human.Count(step.TokensPerSecond), $"{step.Flops / step.Seconds / 1e9:0}", $"{step.Flops / step.Seconds / peak.PerSecond:0%}"] : ["", "", ""];
            table.AddRow(Tables.Cells([result.Config.Name, Human.Count(result.Parameters), Human.Bytes(result.WeightBytes), .. trained,
                Human.Count(result.Prefill.TokensPerSecond), Human.Count(result.Decode.TokensPerSecond)]));
        }
        Terminal.Console.Write(table);
    }
}
