using System.Globalization;
using System.Text.Json;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Training;

/// <summary>
/// All that decides how a model is trained: the same options, model, corpus and thread count give the same bytes. Immutable, compared by
/// value; every property checks its range when it is set.
/// </summary>
public sealed record TrainingOptions
{
    private const int MicroTokens = 256;
    private const int StepTokens = 512;

    /// <summary>How long to train.</summary>
    public required Budget Budget { get; init; }

    /// <summary>
    /// The peak learning rate; null for what suits the model's mixers (<see cref="BlockTable.DefaultRate"/>), or a tenth of that for a model
    /// that has learned before (<see cref="TrainingRun.Start"/>).
    /// </summary>
    public double? Rate
    {
        get;
        init => field = value is { } rate ? Check.Within(rate, 0, 10, "rate", "the peak learning rate") : null;
    }

    /// <summary>The way of the rate up to its peak and down.</summary>
    public Schedule Schedule { get; init; } = new();

    /// <summary>AdamW's decay of the mean of gradients.</summary>
    public double Beta1 { get; init => field = Check.Within(value, 0, 0.9999, "beta1", "AdamW's decay of the mean"); } = 0.9;

    /// <summary>AdamW's decay of the mean of squared gradients.</summary>
    public double Beta2 { get; init => field = Check.Within(value, 0, 0.99999, "beta2", "AdamW's decay of the variance"); } = 0.95;

    /// <summary>What AdamW adds to the root of the variance.</summary>
    public double Epsilon { get; init => field = Check.Within(value, 1e-16, 1, "epsilon", "what AdamW adds to the root of the variance"); } = 1e-8;

    /// <summary>The decoupled weight decay, of the parameters that have one: no norms, biases, embeddings, decay rates, step sizes.</summary>
    public double Decay { get; init => field = Check.Within(value, 0, 10, "decay", "the weight decay"); } = 0.1;

    /// <summary>The length to which longer gradients are cut; 0 for never.</summary>
    public double Clip { get; init => field = Check.Within(value, 0, 1e9, "clip", "the longest gradient, or 0"); } = 1;

    /// <summary>
    /// Sequences a step; null for as many as make about 512 tokens: on small budgets many small steps learn more than few large ones
    /// (docs/measurements.md).
    /// </summary>
    public int? BatchSize
    {
        get;
        init => field = value is { } batch ? Check.Within(batch, 1, 1 << 20, "batch", "the sequences a step") : null;
    }

    /// <summary>
    /// Sequences at a time, gradients added up: less memory, more of it in the caches. Divides the batch; 0 for as many as make about 256
    /// tokens, which measured fastest.
    /// </summary>
    public int MicroBatch { get; init => field = Check.Within(value, 0, 1 << 20, "micro-batch", "the sequences at a time, or 0"); }

    /// <summary>Tokens of a sequence; null for the model's own (<see cref="ModelConfig.Context"/>).</summary>
    public int? Context
    {
        get;
        init => field = value is { } context ? Check.Within(context, 1, 1 << 24, "context", "the tokens of a sequence") : null;
    }

    /// <summary>What matrix products multiply: the device's choice, which a run keeps.</summary>
    public Precision Precision { get; init; }

    /// <summary>Decides the order of the data.</summary>
    public ulong Seed { get; init; }

    /// <summary>How many times a run measures held-out bits per byte: ever less often, the last time at its end. 0 for never.</summary>
    public int Evaluations { get; init => field = Check.Within(value, 0, 10_000, "evaluations", "how often a run is evaluated"); } = 12;

    /// <summary>The held-out bytes that each of these measurements reads at most.</summary>
    public long EvaluationBytes
    {
        get;
        init => field = value >= 2 ? value : throw new InputException($"evaluation-bytes {value} are too few; give at least 2, such as 100000");
    } = 100_000;

    /// <summary>The options in force for a model, which perhaps <paramref name="hasLearned"/> before: what was left to it filled in.</summary>
    /// <exception cref="InputException">They do not fit together.</exception>
    public TrainingOptions For(ModelConfig model, bool hasLearned = false)
    {
        int context = Context ?? model.Context, batch = BatchSize ?? Math.Max(1, StepTokens / context), micro = MicroBatch;
        if (micro == 0)
        {
            micro = Math.Clamp(MicroTokens / context, 1, batch);
            while (batch % micro != 0)
            {
                micro--;
            }
        }

        return batch % micro == 0 ? this with { Rate = Rate ?? DefaultRate(model, hasLearned), Context = context, BatchSize = batch, MicroBatch = micro }
            : throw new InputException($"a micro-batch of {micro} does not divide the batch of {batch}");
    }

    /// <summary>The peak learning rate where none is given. A model that <paramref name="hasLearned"/> before keeps more of that at a lower one.</summary>
    public static double DefaultRate(ModelConfig model, bool hasLearned) =>
        hasLearned ? Math.Round(LearnedPart * BlockTable.DefaultRate(model), 7) : BlockTable.DefaultRate(model);

    private const double LearnedPart = 0.1;
    private const string PrecisionKey = "precision";
    private static readonly string[] Names = ["cosine", "wsd", "wsd-sqrt", "constant"]; // in the order of ScheduleKind

    // One row an option in force: its key on disk and in messages, and its value as text, both ways.
    private static readonly (string Key, bool IsNumber, Func<TrainingOptions, string> Get, Func<TrainingOptions, string, TrainingOptions> Set)[] Rows =
    [
        ("budget", false, o => o.Budget.ToString(), (o, t) => o with { Budget = Budget.Parse(t) }),
        Real("rate", o => o.Rate!.Value, (o, v) => o with { Rate = v }),
        ("schedule", false, o => Names[(int)o.Schedule.Kind], (o, t) => o with { Schedule = o.Schedule with { Kind = ParseSchedule(t) } }),
        Real("warm-up", o => o.Schedule.WarmUp, (o, v) => o with { Schedule = o.Schedule with { WarmUp = v } }),
        Real("decline", o => o.Schedule.Decline, (o, v) => o with { Schedule = o.Schedule with { Decline = v } }),
        Real("final", o => o.Schedule.Final, (o, v) => o with { Schedule = o.Schedule with { Final = v } }),
        Real("beta1", o => o.Beta1, (o, v) => o with { Beta1 = v }),
        Real("beta2", o => o.Beta2, (o, v) => o with { Beta2 = v }),
        Real("epsilon", o => o.Epsilon, (o, v) => o with { Epsilon = v }),
        Real("decay", o => o.Decay, (o, v) => o with { Decay = v }),
        Real("clip", o => o.Clip, (o, v) => o with { Clip = v }),
        Whole("batch", o => o.BatchSize!.Value, (o, v) => o with { BatchSize = checked((int)v) }),
        Whole("micro-batch", o => o.MicroBatch, (o, v) => o with { MicroBatch = checked((int)v) }),
        Whole("context", o => o.Context!.Value, (o, v) => o with { Context = checked((int)v) }),
        (PrecisionKey, false, o => o.Precision.Word(), (o, t) => o with { Precision = Precisions.Parse(t) }),
        ("seed", true, o => o.Seed.ToString(CultureInfo.InvariantCulture), (o, t) => o with { Seed = ulong.Parse(t, NumberStyles.None, CultureInfo.InvariantCulture) }),
        Whole("evaluations", o => o.Evaluations, (o, v) => o with { Evaluations = checked((int)v) }),
        Whole("evaluation-bytes", o => o.EvaluationBytes, (o, v) => o with { EvaluationBytes = v }),
    ];

    /// <summary>The schedule that a word names: cosine, wsd, wsd-sqrt or constant.</summary>
    /// <exception cref="InputException">It names none.</exception>
    public static ScheduleKind ParseSchedule(string name)
    {
        int index = Array.IndexOf(Names, name);
        return index >= 0 ? (ScheduleKind)index
            : throw new InputException($"there is no schedule {AtomicFile.Quote(name)}; give one of {string.Join(", ", Names)}");
    }

    /// <summary>Writes the options as one JSON object.</summary>
    internal void WriteTo(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        foreach ((string key, bool isNumber, Func<TrainingOptions, string> get, _) in Rows)
        {
            json.WritePropertyName(key);
            if (isNumber)
            {
                json.WriteRawValue(get(this));
            }
            else
            {
                json.WriteStringValue(get(this));
            }
        }

        json.WriteEndObject();
    }

    /// <summary>Reads what <see cref="WriteTo"/> wrote.</summary>
    /// <exception cref="InputException">An option is missing, unknown or impossible.</exception>
    internal static TrainingOptions Read(JsonElement json)
    {
        var options = new TrainingOptions { Budget = new Budget(BudgetKind.Steps, 1) };
        foreach ((string key, bool isNumber, _, Func<TrainingOptions, string, TrainingOptions> set) in Rows)
        {
            if (key == PrecisionKey && json.ValueKind == JsonValueKind.Object && !json.TryGetProperty(key, out _))
            {
                continue; // a run from before there was a choice: float32
            }

            if (json.ValueKind != JsonValueKind.Object || !json.TryGetProperty(key, out JsonElement value)
                || value.ValueKind != (isNumber ? JsonValueKind.Number : JsonValueKind.String))
            {
                throw new InputException($"the option '{key}' is missing, or no {(isNumber ? "number" : "text")}");
            }

            try
            {
                options = set(options, isNumber ? value.GetRawText() : value.GetString()!);
            }
            catch (Exception e) when (e is FormatException or OverflowException or InvalidOperationException)
            {
                throw new InputException($"the option '{key}' has a value that it cannot have", e);
            }
        }

        return options;
    }

    /// <summary>What the first option says that differs: "rate is 0.002 in the run, not 0.001"; null where all are equal.</summary>
    internal string? DifferenceFrom(TrainingOptions run)
    {
        foreach ((string key, _, Func<TrainingOptions, string> get, _) in Rows)
        {
            if (get(this) != get(run))
            {
                return $"{key} is {get(run)} in the run, not {get(this)}";
            }
        }

        return null;
    }

    private static (string, bool, Func<TrainingOptions, string>, Func<TrainingOptions, string, TrainingOptions>) Real(
        string key, Func<TrainingOptions, double> get, Func<TrainingOptions, double, TrainingOptions> set) =>
        (key, true, o => get(o).ToString("R", CultureInfo.InvariantCulture), (o, t) => set(o, double.Parse(t, CultureInfo.InvariantCulture)));

    private static (string, bool, Func<TrainingOptions, string>, Func<TrainingOptions, string, TrainingOptions>) Whole(
        string key, Func<TrainingOptions, long> get, Func<TrainingOptions, long, TrainingOptions> set) =>
        (key, true, o => get(o).ToString(CultureInfo.InvariantCulture), (o, t) => set(o, long.Parse(t, NumberStyles.None, CultureInfo.InvariantCulture)));
}
