using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab;

/// <summary>What a comparison compares, and under which budget.</summary>
public sealed record ComparisonOptions
{
    /// <summary>The models: words that <see cref="Presets.Resolve"/> understands.</summary>
    public IReadOnlyList<string> Models { get; init; } = ["transformer", "mamba2", "hybrid"];

    /// <summary>What each model may spend; null: the default amount of training FLOPs, less on a machine too slow for it.</summary>
    public Budget? Budget { get; init; }

    /// <summary>The bytes of a training sequence.</summary>
    public int Context { get; init; } = 256;

    /// <summary>How often each model is trained, from different initial weights and data orders.</summary>
    public int Seeds { get; init; } = 1;

    /// <summary>The folder for report.html, report.json and, while training, the runs that an interrupted comparison goes on from.</summary>
    public string Out { get; init; } = ".";

    /// <summary>Whether each model first looks for its own learning rate, at a quarter of the budget each.</summary>
    public bool Sweep { get; init; }

    /// <summary>Worker threads; 0 for one a processor.</summary>
    public int Threads { get; init; }

    /// <summary>What matrix products multiply; null: what is fastest here.</summary>
    public Precision? Precision { get; init; }

    /// <summary>The sequences of a training step; null: as many as make about 512 bytes.</summary>
    public int? BatchSize { get; init; }

    /// <summary>The command line that asked for this, for the report.</summary>
    public string Command { get; init; } = "weft compare";
}

/// <summary>What a comparison is doing.</summary>
public enum ComparisonPhase
{
    /// <summary>Baselines, and each model's speed and FLOPs per step.</summary>
    Preparing,

    /// <summary>Looking for a learning rate.</summary>
    Sweeping,

    /// <summary>Training.</summary>
    Training,

    /// <summary>Held-out bits per byte, recall and decoding speed.</summary>
    Measuring,

    /// <summary>The model is finished.</summary>
    Done,
}

/// <summary>How far one model of a comparison is; sent a few times a second while it works.</summary>
/// <param name="Model">The model's position in the list of models, from 0.</param>
/// <param name="Name">The model's name.</param>
/// <param name="Seed">The seed's position, from 0.</param>
/// <param name="Phase">What is being done.</param>
/// <param name="Fraction">The part of this model's work, all seeds, that is done: 0 to 1.</param>
/// <param name="Step">The training step, from 1; 0 outside training.</param>
/// <param name="Steps">The number of training steps.</param>
/// <param name="Loss">The smoothed training loss in bits per byte; NaN before there is one.</param>
/// <param name="TokensPerSecond">The training speed; 0 before it is known.</param>
/// <param name="Remaining">The estimated time to the end of the whole comparison; null before it is known.</param>
/// <param name="Note">A line worth keeping on screen, such as a lowered budget or a resumed run; null for none.</param>
public sealed record ComparisonProgress(
    int Model, string Name, int Seed, ComparisonPhase Phase, double Fraction, long Step, long Steps, double Loss,
    double TokensPerSecond, TimeSpan? Remaining, string? Note = null);
