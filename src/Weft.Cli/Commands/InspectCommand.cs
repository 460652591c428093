using System.CommandLine;
using System.Text.Json;
using Weft.Lab;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Cli.Commands;

/// <summary>weft inspect: what a folder holds, and what it costs to use.</summary>
internal sealed class InspectCommand : WeftCommand
{
    private readonly Argument<string> run = new("RUN") { Description = "the folder of a trained model, finished or not" };
    private readonly Option<bool> json = Settings.Switch("--json", "write JSON, for programs");
    private readonly Option<bool> quantize = Settings.Switch("--quantize", "also measure what weights in bf16, int8 and int4 take and lose, which reads a text four times");
    private readonly Option<string?> corpus = Settings.Text("--corpus", "FILE", "the text whose held-out part --quantize measures on (default: the built-in text)");

    public InspectCommand(Terminal terminal) : base(terminal, "inspect", "what a run's folder holds: model, size of its state, cost, progress",
        new Example("weft inspect run", "pattern, parameters, state bytes by context, cost, progress"),
        new Example("weft inspect run --json", "the same for programs"),
        new Example("weft inspect run --quantize", "bytes and bits/byte with weights in float32, bf16, int8 and int4"))
    {
        Add(this.run);
        Add(this.json);
        Add(this.quantize);
        Add(this.corpus);
    }

    protected override int Run(ParseResult given)
    {
        string path = given.GetRequiredValue(this.run);
        bool quantizes = given.GetValue(this.quantize);
        if (!quantizes && given.GetValue(this.corpus) is not null)
        {
            throw new InputException("--corpus is what --quantize measures on: give --quantize too, or leave --corpus out");
        }
        using Corpus? corpus = !quantizes ? null : given.GetValue(this.corpus) is string file ? Corpus.Open([file]) : Corpus.Default();
        using Device device = Device.Open(1);
        ModelSummary model = ModelSummary.Read(path, device);
        RunInfo? run = RunInfo.Read(path, model.Config.Context);
        if (given.GetValue(this.json))
        {
            WriteJson(model, run, corpus?.Name, corpus is null ? [] : [.. QuantizationLoss.Measure(path, corpus, Terminal.Cancel)]);
        }
        else
        {
            WriteText(model, run);
            if (corpus is not null)
            {
                WriteForms(path, corpus);
            }
        }
        return 0;
    }

    private static string Unit(ModelSummary model) => model.ReadsBytes ? "byte" : "token";

    private static long StateBytes(ModelSummary model, int context) => model.Cost(1, context - 1).StateBytes;

    private static long ForwardFlops(ModelSummary model) => model.Cost(model.Config.Context, 0).Flops / model.Config.Context;

    private void WriteText(ModelSummary model, RunInfo? run)
    {
        ModelConfig config = model.Config;
        Row("model", config.Name);
        Row("pattern", $"{config.Blocks}, width {config.Width}, context {config.Context}");
        Row("parameters", Human.Count(model.Parameters));
        Row("weights", string.Join(", ", model.Weights.Select(w => $"{Human.Bytes(w.Bytes)} of {w.Type}")) + (model.Family is { } family ? $", as {family.Architecture}" : ""));
        Row($"FLOPs a {Unit(model)}", $"{Human.Flops(ForwardFlops(model))} forward"
            + (run is null ? "" : $", {Human.Flops(run.FlopsPerByte)} training{(model.ReadsBytes ? "" : " a byte of text")}"));
        Row("state", StateGrowth.Of(model));
        Row("", string.Join(", ", DecodeSpeed.Contexts.Select(c => $"{Human.Bytes(StateBytes(model, c))} at {c / 1024}k")));
        if (run is null)
        {
            return;
        }
        Row("trained on", $"{run.CorpusName}, {Human.Bytes(run.Bytes)} of text, {Human.Flops(run.Flops)} FLOPs, {Human.Duration(run.Seconds)}");
        Row("progress", $"step {run.Steps} of {run.TotalSteps}{(run.IsDone ? ", finished" : $" ({run.Steps / (double)run.TotalSteps:0%})")}, budget {run.Options.Budget}");
        Row("rate", $"{run.Options.Rate:R}, {run.Options.Schedule.Kind.ToString().ToLowerInvariant()}, batch {run.Options.BatchSize}");
        if (run.History.Count > 0)
        {
            EvaluationPoint last = run.History[^1];
            Row("held out", $"{last.BitsPerByte:0.000} bits/byte at step {last.Step}");
        }
    }

    private void WriteForms(string path, Corpus corpus)
    {
        double exact = double.NaN;
        foreach (WeightForm form in QuantizationLoss.Measure(path, corpus, Terminal.Cancel))
        {
            bool isFirst = double.IsNaN(exact);
            exact = isFirst ? form.BitsPerByte : exact;
            Row(isFirst ? "weights" : "", $"{form.Form,-8} {Human.Bytes(form.Bytes),8}  {form.BitsPerByte:0.0000} bits/byte{(isFirst ? $" on {Human.Bytes(Math.Min(QuantizationLoss.Sample, corpus.HeldOutLength))} held out of {corpus.Name}" : $"  {Math.Round(form.BitsPerByte - exact, 4) + 0.0:+0.0000;-0.0000;+0.0000}")}");
        }
    }

    private void Row(string name, string value) => Terminal.Out.WriteLine($"{name,-14}{value}");

    private void WriteJson(ModelSummary model, RunInfo? run, string? corpus, IReadOnlyList<WeightForm> forms)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            json.WriteStartObject();
            json.WritePropertyName("config");
            model.Config.WriteTo(json);
            json.WriteNumber("parameters", model.Parameters);
            json.WriteString("architecture", model.Family?.Architecture);
            json.WriteStartArray("tensors");
            foreach (HeldWeights weights in model.Weights)
            {
                json.WriteStartObject();
                json.WriteString("dtype", weights.Type);
                json.WriteNumber("parameters", weights.Parameters);
                json.WriteNumber("bytes", weights.Bytes);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteNumber($"forward_flops_per_{Unit(model)}", ForwardFlops(model));
            json.WriteStartArray("state");
            foreach (int context in DecodeSpeed.Contexts)
            {
                json.WriteStartObject();
                json.WriteNumber("context", context);
                json.WriteNumber("bytes", StateBytes(model, context));
                json.WriteEndObject();
            }
            json.WriteEndArray();
            if (corpus is not null)
            {
                json.WriteString("weights_measured_on", corpus);
                json.WriteStartArray("weights");
                foreach (WeightForm form in forms)
                {
                    json.WriteStartObject();
                    json.WriteString("form", form.Form);
                    json.WriteNumber("bytes", form.Bytes);
                    json.WriteNumber("bits_per_byte", form.BitsPerByte);
                    json.WriteNumber("loss", form.BitsPerByte - forms[0].BitsPerByte);
                    json.WriteEndObject();
                }
                json.WriteEndArray();
            }
            if (run is not null)
            {
                WriteJson(json, run);
            }
            json.WriteEndObject();
        }
        Terminal.Out.WriteLine(System.Text.Encoding.UTF8.GetString(stream.GetBuffer().AsSpan(0, (int)stream.Length)));
    }

    private static void WriteJson(Utf8JsonWriter json, RunInfo run)
    {
        json.WriteStartObject("run");
        json.WriteString("corpus", run.CorpusName);
        json.WriteString("budget", run.Options.Budget.ToString());
        json.WriteNumber("learning_rate", run.Options.Rate!.Value); // a record always has one
        json.WriteNumber("step", run.Steps);
        json.WriteNumber("steps", run.TotalSteps);
        json.WriteBoolean("finished", run.IsDone);
        json.WriteNumber("bytes_seen", run.Bytes);
        json.WriteNumber("train_flops", run.Flops);
        json.WriteNumber("train_flops_per_byte", run.FlopsPerByte);
        json.WriteNumber("train_seconds", run.Seconds);
        json.WriteStartArray("held_out");
        foreach (EvaluationPoint point in run.History)
        {
            json.WriteStartObject();
            json.WriteNumber("step", point.Step);
            json.WriteNumber("bits_per_byte", point.BitsPerByte);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }
}
