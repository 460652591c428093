using System.Diagnostics;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Training;

/// <summary>What a step did.</summary>
/// <param name="Step">Its number, from 1.</param>
/// <param name="Loss">The mean cross-entropy of its batch before the update, in nats a token.</param>
/// <param name="GradientNorm">The Euclidean length of the gradient, before clipping.</param>
/// <param name="Rate">The learning rate.</param>
/// <param name="BytesPerToken">The bytes of text that a token of the batch stands for, on average; 1 where tokens are bytes.</param>
public readonly record struct StepResult(long Step, double Loss, double GradientNorm, double Rate, double BytesPerToken)
{
    /// <summary>The loss in bits a byte of text.</summary>
    public double BitsPerByte => Loss / Math.Log(2) / BytesPerToken;
}

/// <summary>
/// Trains a model on a corpus, or another source of tokens: batch by batch, until the budget's steps are done. How many steps a budget pays is decided once: for FLOPs by
/// the first step's count, which every step repeats exactly; for seconds by the speed over the first twentieth of the time.
/// </summary>
public sealed class Trainer : IDisposable
{
    private const double CalibratedPart = 0.05; // of a time budget; the default warm-up, so that the rate does not jump when the plan is fixed

    private readonly Learner learner;
    private readonly TokenBatches batches;
    private readonly int[] windows;

    /// <summary>Prepares to train <paramref name="model"/> on the training part of <paramref name="source"/>.</summary>
    /// <exception cref="InputException">The source is too short for the context, the options do not fit together, or the model lacks some of its tokens.</exception>
    public Trainer(LanguageModel model, TokenSource source, TrainingOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(options);
        if (model.Config.Vocabulary < source.Vocabulary)
        {
            throw new InputException($"a model with a vocabulary of {model.Config.Vocabulary} cannot learn from the {source.Unit} of {AtomicFile.Quote(source.Name)}; that takes {source.Vocabulary}");
        }

        options = options.For(model.Config) with { Precision = model.Device.Precision };
        (Model, Source, Options, Context) = (model, source, options, options.Context!.Value);
        batches = new TokenBatches(source, options.BatchSize!.Value, Context, options.Seed);
        windows = new int[batches.TokensPerBatch];
        TotalSteps = Options.Budget.Kind switch
        {
            BudgetKind.Steps => Planned(Options.Budget.Amount, 1, "steps"),
            BudgetKind.Data => Planned(Options.Budget.Amount, (double)TokensPerStep * source.BytesOf(0, source.TrainLength) / source.TrainLength, "bytes"),
            _ => 0,
        };
        learner = new Learner(model, options) { Masked = source.Masked };
    }

    /// <summary>What is trained.</summary>
    public LanguageModel Model { get; }

    /// <summary>What it is trained on.</summary>
    public TokenSource Source { get; }

    /// <summary>How it is trained: the options given, and what they left to the model.</summary>
    public TrainingOptions Options { get; }

    /// <summary>The tokens of a sequence.</summary>
    public int Context { get; }

    /// <summary>The steps done.</summary>
    public long Steps { get; private set; }

    /// <summary>The steps that the budget pays; 0 while that is not known, before the first step; of a time budget, an estimate in its first twentieth.</summary>
    public long TotalSteps { get; private set; }

    /// <summary>Whether the budget is spent.</summary>
    public bool IsDone => Steps > 0 && Steps >= TotalSteps;

    /// <summary>The tokens that one step learns to predict.</summary>
    public long TokensPerStep => (long)Options.BatchSize!.Value * Context;

    /// <summary>The tokens learned from so far, repetitions included.</summary>
    public long Tokens => Steps * TokensPerStep;

    /// <summary>The bytes of text that these tokens stand for: as many, where a token is a byte.</summary>
    public long Bytes { get; private set; }

    /// <summary>The FLOPs counted so far: forward and backward, evaluation not included.</summary>
    public long Flops { get; private set; }

    /// <summary>The seconds spent in steps.</summary>
    public double Seconds { get; private set; }

    /// <summary>The memory that the activations and gradients of a step take, in bytes.</summary>
    public long ArenaBytes => learner.ArenaBytes;

    /// <summary>Where the time of steps goes; null, as at first, not to measure. Evaluation is not included.</summary>
    public DeviceProfile? Profile { get; set; }

    /// <summary>The last good checkpoint, for the message when training diverges.</summary>
    internal string? LastCheckpoint { get; set; }

    internal AdamW Optimizer => learner.Optimizer;

    internal double FirstSeconds { get; private set; }

    internal BatchPosition Position => batches.Position;

    /// <summary>Learns from the next batch. Allocates nothing on the managed heap, once the first steps have sized everything.</summary>
    /// <exception cref="TrainingDivergedException">The loss or the gradient is not finite; the model is as it was before the step.</exception>
    /// <exception cref="InputException">The corpus cannot be read, or the budget pays not even one step.</exception>
    public StepResult Step()
    {
        long start = Stopwatch.GetTimestamp(), measured = start;
        long bytes = batches.Next(windows);
        DeviceProfile? outer = Model.Device.Profile;
        Model.Device.Profile = Profile ?? outer;
        try
        {
            if (Steps == 0 && Options.Budget.Kind == BudgetKind.Time)
            {
                learner.Rehearse(windows); // compiles the code and sizes the memory, so that the speed measured next is the usual one
                measured = Stopwatch.GetTimestamp();
            }

            long flops = Model.Device.Flops;
            double loss = learner.Backward(windows);
            flops = Model.Device.Flops - flops;
            Plan(flops, Stopwatch.GetElapsedTime(measured).TotalSeconds);
            double rate = Options.Rate!.Value * Options.Schedule.Factor(Steps, TotalSteps);
            double norm = learner.Update(rate);
            Model.Device.Synchronize();
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            FirstSeconds = Steps == 0 ? seconds : FirstSeconds;
            Seconds += seconds;
            Flops += flops;
            Bytes += bytes;
            Steps++;
            return new StepResult(Steps, loss, norm, rate, bytes / (double)TokensPerStep);
        }
        catch (TrainingDivergedException e)
        {
            throw new TrainingDivergedException(e.Step, e.What, e.Layer, LastCheckpoint);
        }
        finally
        {
            Model.Device.Profile = outer;
        }
    }

    /// <summary>Trains until the budget is spent.</summary>
    public void Run(Action<StepResult>? afterEachStep = null)
    {
        while (!IsDone)
        {
            StepResult result = Step();
            afterEachStep?.Invoke(result);
        }
    }

    /// <summary>Frees the memory of training; the model lives on.</summary>
    public void Dispose() => learner.Dispose();

    /// <summary>Goes on where a checkpoint stood; the parameters and moments have been restored already.</summary>
    internal void Restore(long steps, long totalSteps, BatchPosition position, long bytes, long flops, double seconds, double firstSeconds)
    {
        batches.Position = position;
        (Steps, TotalSteps, Bytes, Flops, Seconds, FirstSeconds, learner.Optimizer.Steps) = (steps, totalSteps, bytes, flops, seconds, firstSeconds, steps);
    }

    // Decides the number of steps where it follows from measurements, given those of the step that is being made.
    private void Plan(long flops, double seconds)
    {
        double amount = Options.Budget.Amount;
        if (Options.Budget.Kind == BudgetKind.Flops && Steps == 0)
        {
            TotalSteps = Planned(amount, flops, "FLOPs");
        }
        else if (Options.Budget.Kind == BudgetKind.Time && (Steps == 0 || Seconds < CalibratedPart * amount))
        {
            // The first step, with its rehearsal, takes longer than the rest.
            double each = Steps == 0 ? seconds : (Seconds - FirstSeconds + seconds) / Steps;
            double rest = (amount - FirstSeconds) / Math.Max(each, 1e-9);
            TotalSteps = Math.Max(Steps, (long)Math.Min(rest, long.MaxValue / 2)) + 1;
        }
    }

    private long Planned(double amount, double each, string unit)
    {
        long steps = (long)Math.Min(amount / each, long.MaxValue / 2);
        return steps >= 1 ? steps : throw new InputException(
            $"a budget of {Options.Budget} does not pay one step, which takes {(unit == "FLOPs" ? Human.Flops(each) : $"{each:0}")} {unit} "
            + $"(a batch of {Options.BatchSize} x {Context} {Source.Unit}); give more, or a smaller batch or context");
    }
}
