using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab.Tasks;

/// <summary>Which models do a task, and under which budget.</summary>
public sealed record ProbeOptions
{
    /// <summary>The models: words that <see cref="Presets.Resolve"/> understands; null: the task's.</summary>
    public IReadOnlyList<string>? Models { get; init; }

    /// <summary>What each trial may spend: steps, FLOPs or seconds; null: as many steps as let the whole probe end within about 15 minutes here.</summary>
    public Budget? Budget { get; init; }

    /// <summary>Trials of each model at its best rate.</summary>
    public int Seeds { get; init; } = 2;

    /// <summary>The peak learning rates to try; null: the task's, or four around what suits the model's mixers.</summary>
    public IReadOnlyList<double>? Rates { get; init; }

    /// <summary>The models' width; null: the task's.</summary>
    public int? Width { get; init; }

    /// <summary>The folder for report.html, report.json and the finished trials, from which an interrupted probe goes on.</summary>
    public string Out { get; init; } = ".";

    /// <summary>Whether a report of something else in that folder is written over.</summary>
    public bool Force { get; init; }

    /// <summary>Worker threads in all, which trials at once share; 0 for one a processor.</summary>
    public int Threads { get; init; }

    /// <summary>What matrix products multiply; null: what is fastest here.</summary>
    public Precision? Precision { get; init; }

    /// <summary>The command line that asked for this, for the report.</summary>
    public string Command { get; init; } = "weft probe";
}

/// <summary>What a probe is doing.</summary>
public enum ProbePhase
{
    /// <summary>Measuring each model's speed.</summary>
    Preparing,

    /// <summary>Trying learning rates.</summary>
    Sweeping,

    /// <summary>The other seeds at the best rate.</summary>
    Repeating,

    /// <summary>The model is finished.</summary>
    Done,
}

/// <summary>How far one model of a probe is; sent a few times a second while it works.</summary>
/// <param name="Model">The model's position in the list of models, from 0.</param>
/// <param name="Name">The model's name.</param>
/// <param name="Phase">What is being done.</param>
/// <param name="Trial">The trial of the phase, from 1; a seed's number, since the sweep used the first.</param>
/// <param name="Trials">The trials of the phase, or the seeds.</param>
/// <param name="Rate">The trial's learning rate; 0 outside trials.</param>
/// <param name="Fraction">The part of this model's work, all trials, that is done: 0 to 1.</param>
/// <param name="Part">The part of the trial that is done: 0 to 1.</param>
/// <param name="Exact">The share of examples answered exactly at the last look, at the main difficulty; NaN before there is one.</param>
/// <param name="Remaining">The estimated time to the end of the whole probe; null before it is known.</param>
/// <param name="Note">A line worth keeping on screen; null for none.</param>
public sealed record ProbeProgress(
    int Model, string Name, ProbePhase Phase, int Trial, int Trials, double Rate, double Fraction, double Part, double Exact, TimeSpan? Remaining, string? Note = null)
{
    /// <summary>Of a probe on a text: the loss in bits a byte, smoothed, or held out at a training's end; NaN before there is one.</summary>
    public double BitsPerByte { get; init; } = double.NaN;
}
