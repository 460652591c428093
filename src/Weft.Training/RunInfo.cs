using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Training;

/// <summary>Where the training run in a folder stands, read without its weights or its corpus.</summary>
public sealed record RunInfo
{
    private RunInfo(TrainingRecord record, int context)
    {
        (CorpusName, Start, Options, Steps, TotalSteps, Bytes, Flops, Seconds, History) = (record.CorpusName, record.Start, record.Options, record.Steps,
            record.TotalSteps, record.Bytes, record.Flops, record.Seconds, record.History);
        Tokens = record.Steps * record.Options.BatchSize!.Value * (record.Options.Context ?? context);
    }

    /// <summary>What it trains on.</summary>
    public string CorpusName { get; }

    /// <summary>The model that it went on from; null where it began with random weights.</summary>
    public StartingPoint? Start { get; }

    /// <summary>How it trains.</summary>
    public TrainingOptions Options { get; }

    /// <summary>The steps done.</summary>
    public long Steps { get; }

    /// <summary>The steps that the budget pays.</summary>
    public long TotalSteps { get; }

    /// <summary>Whether the budget is spent.</summary>
    public bool IsDone => Steps >= TotalSteps;

    /// <summary>The tokens learned from, repetitions included.</summary>
    public long Tokens { get; }

    /// <summary>The bytes of text that these tokens stand for.</summary>
    public long Bytes { get; }

    /// <summary>The training FLOPs counted.</summary>
    public long Flops { get; }

    /// <summary>Training FLOPs a byte of text, forward and backward.</summary>
    public double FlopsPerByte => Flops / (double)Bytes;

    /// <summary>The seconds spent in steps.</summary>
    public double Seconds { get; }

    /// <summary>The measurements so far.</summary>
    public IReadOnlyList<EvaluationPoint> History { get; }

    /// <summary>Reads the run in a folder, whose model has the given context; null where the folder holds none, such as a bare model.</summary>
    /// <exception cref="InputException">Its record is damaged, or of another version.</exception>
    public static RunInfo? Read(string path, int context) => TrainingRun.Exists(path)
        ? new RunInfo(TrainingRecord.Load(AtomicFolder.PathOf(path, TrainingRecord.FileName)), context)
        : null;
}
