using Weft.Tensors;

namespace Weft.Lab.ScalingLaws;

/// <summary>Which models are scaled, and how far.</summary>
public sealed record ScalingOptions
{
    /// <summary>The training FLOPs that are spent unless named: about 15 minutes for two models on two cores, with the shapes.</summary>
    public static IReadOnlyList<double> DefaultBudgets { get; } = [3e11, 9e11, 2.7e12, 8e12];

    /// <summary>The families: words that <see cref="Models.Presets.Resolve"/> understands, each trained at several widths.</summary>
    public IReadOnlyList<string> Models { get; init; } = ["transformer", "mamba2"];

    /// <summary>Training FLOPs of a run, as the kernels count them; each is spent at several sizes.</summary>
    public IReadOnlyList<double> Budgets { get; init; } = DefaultBudgets;

    /// <summary>The sizes at each budget; up to two more where the best is the least or the largest.</summary>
    public int Sizes { get; init; } = 3;

    /// <summary>Trainings at each budget and size.</summary>
    public int Seeds { get; init; } = 1;

    /// <summary>The bytes of a training sequence.</summary>
    public int Context { get; init; } = 256;

    /// <summary>Whether shapes of the first model of attention and MLPs are trained too, for the conditional law.</summary>
    public bool Shapes { get; init; } = true;

    /// <summary>The FLOPs a generated token may take, for the shape proposed; null: what the best size at the largest budget takes.</summary>
    public double? Inference { get; init; }

    /// <summary>How much of the loss may be given for fewer key and value heads, or for speed: 0.01 is one percent.</summary>
    public double Slack { get; init; } = 0.01;

    /// <summary>The folder for report.html, report.json and the finished runs, from which an interrupted study goes on.</summary>
    public string Out { get; init; } = ".";

    /// <summary>Whether a report of something else in that folder is written over.</summary>
    public bool Force { get; init; }

    /// <summary>Worker threads; 0 for one a processor.</summary>
    public int Threads { get; init; }

    /// <summary>What matrix products multiply; null: what is fastest here.</summary>
    public Precision? Precision { get; init; }

    /// <summary>The command line that asked for this, for the report.</summary>
    public string Command { get; init; } = "weft scaling";
}
