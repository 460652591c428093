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

    public InspectCommand(Terminal terminal) : base(terminal, "inspect", "what a run's folder holds: model, size of its state, cost, progress",
        new Example("weft inspect run", "pattern, parameters, state bytes by context, cost, progress"),
        new Example("weft inspect run --json", "the same for programs"))
    {
        Add(this.run);
        Add(this.json);
    }

    protected override int Run(ParseResult given)
    {
        string path = given.GetRequiredValue(this.run);
        using Device device = Device.Open(1);
        LanguageModel model = ModelFolder.Load(path, device);
        RunInfo? run = RunInfo.Read(path, model.Config.Context);
        if (given.GetValue(this.json))
        {
            WriteJson(model, run);
        }
        else
        {
            WriteText(model, run);
        }
        return 0;
    }

    private static long StateBytes(LanguageModel model, int context) => model.Cost(1, context - 1).StateBytes;

    private static long ForwardFlopsPerByte(LanguageModel model) => model.Cost(model.Config.Context, 0).Flops / model.Config.Context;

    private void WriteText(LanguageModel model, RunInfo? run)
    {
        ModelConfig config = model.Config;
        Row("model", config.Name);
        Row("pattern", $"{config.Blocks}, width {config.Width}, context {config.Context}");
        Row("parameters", Human.Count(model.ParameterCount()));
        Row("FLOPs a byte", $"{Human.Flops(ForwardFlopsPerByte(model))} forward"
            + (run is null ? "" : $", {Human.Flops(run.FlopsPerByte)} training"));
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

    private void Row(string name, string value) => Terminal.Out.WriteLine($"{name,-14}{value}");

    private void WriteJson(LanguageModel model, RunInfo? run)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            json.WriteStartObject();
            json.WritePropertyName("config");
            model.Config.WriteTo(json);
            json.WriteNumber("parameters", model.ParameterCount());
            json.WriteNumber("forward_flops_per_byte", ForwardFlopsPerByte(model));
            json.WriteStartArray("state");
            foreach (int context in DecodeSpeed.Contexts)
            {
                json.WriteStartObject();
                json.WriteNumber("context", context);
                json.WriteNumber("bytes", StateBytes(model, context));
                json.WriteEndObject();
            }
            json.WriteEndArray();
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
