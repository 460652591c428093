using Weft.Models;
using Weft.Tensors;

namespace Weft.Training;

/// <summary>
/// One model learning: loss and gradients of a batch, and the update. Everything of a step lives on one tape that is used again and again,
/// so that a step allocates nothing once the first few have sized it.
/// </summary>
public sealed class Learner : IDisposable
{
    private readonly LanguageModel model;
    private readonly TrainingOptions options;
    private readonly int context, micro;
    private readonly Tape tape;
    private readonly SequenceState state;
    private readonly int[] inputs, targets;

    /// <summary>Prepares to learn by options that are in force (<see cref="TrainingOptions.For"/>).</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">The options.</param>
    /// <param name="parameters">What is updated, where that is not the model's parameters as they are.</param>
    public Learner(LanguageModel model, TrainingOptions options, IEnumerable<Parameter>? parameters = null)
    {
        (this.model, this.options, context) = (model, options, options.Context!.Value);
        micro = options.MicroBatch;
        tape = new Tape(model.Device)
        {
            Use = new MemoryUse($"the activations of a step ({micro} x {context} tokens)", micro > 1 ? "a smaller batch, context or width" : "a smaller context or width"),
        };
        state = model.NewState(micro);
        inputs = new int[micro * context];
        targets = new int[micro * context];
        Optimizer = new AdamW(parameters ?? model.Parameters(), options);
    }

    /// <summary>What updates the parameters, and its moments.</summary>
    public AdamW Optimizer { get; }

    /// <summary>The token of windows that is read but not asked for (<see cref="TokenSource.Masked"/>); -1: none.</summary>
    public int Masked { get; init; } = -1;

    /// <summary>The bytes of memory that a step's activations and gradients take.</summary>
    public long ArenaBytes => tape.ArenaBytes;

    /// <summary>
    /// Adds the gradient of the mean cross-entropy of a batch, [B, T+1] tokens, to the parameters' and returns that mean in nats a token.
    /// </summary>
    /// <exception cref="TrainingDivergedException">The loss is not finite.</exception>
    public double Backward(ReadOnlySpan<int> windows)
    {
        double loss = 0;
        int tokens = micro * (context + 1);
        float share = 1f / (options.BatchSize!.Value * context);
        while (!windows.IsEmpty)
        {
            Cut(windows[..tokens]);
            windows = windows[tokens..];
            loss += Backward(context, share);
        }

        return loss;
    }

    /// <summary>
    /// The same of a batch of <paramref name="tokens"/> [B, T], of <paramref name="time"/> T up to the context, where <paramref name="wanted"/> [B, T] is to be
    /// predicted after each; the mean is over those that are not negative.
    /// </summary>
    /// <exception cref="TrainingDivergedException">The loss is not finite.</exception>
    public double Backward(ReadOnlySpan<int> tokens, ReadOnlySpan<int> wanted, int time)
    {
        int asked = 0;
        foreach (int token in wanted)
        {
            asked += token < 0 ? 0 : 1;
        }

        double loss = 0;
        for (int part = micro * time; !tokens.IsEmpty; tokens = tokens[part..], wanted = wanted[part..])
        {
            tokens[..part].CopyTo(inputs);
            wanted[..part].CopyTo(targets);
            loss += Backward(time, 1f / Math.Max(1, asked));
        }

        return loss;
    }

    // Of what stands in inputs and targets.
    private double Backward(int time, float share)
    {
        state.Clear();
        Tensor losses = model.Loss(tape.Tokens(inputs.AsSpan(0, micro * time), micro, time), tape.Tokens(targets.AsSpan(0, micro * time), micro, time), state);
        Tensor mean = Ops.Affine(Ops.Sum(losses), share);
        float part = mean.Scalar();
        if (!float.IsFinite(part))
        {
            throw new TrainingDivergedException(Optimizer.Steps + 1, $"the loss is {(float.IsNaN(part) ? "not a number" : "infinite")}", FirstBrokenOutput(time));
        }

        tape.Backward(mean);
        tape.Reset();
        return part;
    }

    /// <summary>Does what <see cref="Backward(ReadOnlySpan{int})"/> does, and forgets the gradients.</summary>
    public void Rehearse(ReadOnlySpan<int> windows)
    {
        Backward(windows);
        foreach (Parameter parameter in model.Parameters())
        {
            parameter.Tensor.ClearGrad();
        }
    }

    /// <summary>Clips the gradients and updates the parameters; returns the gradients' length before clipping.</summary>
    /// <exception cref="TrainingDivergedException">It is not finite; the parameters are as they were.</exception>
    public double Update(double rate)
    {
        double norm = Optimizer.GradientNorm();
        if (!double.IsFinite(norm))
        {
            throw new TrainingDivergedException(Optimizer.Steps + 1, "the gradient is not finite", $"the gradient of {Optimizer.FirstBrokenGradient()}");
        }

        Optimizer.Update(rate, options.Clip > 0 && norm > options.Clip ? options.Clip / norm : 1);
        return norm;
    }

    /// <summary>Frees the memory of learning; the model lives on.</summary>
    public void Dispose()
    {
        tape.Dispose();
        Optimizer.Dispose();
    }

    // T inputs of each window, and the token after each of them.
    private void Cut(ReadOnlySpan<int> windows)
    {
        for (int b = 0; b < micro; b++)
        {
            ReadOnlySpan<int> window = windows.Slice(b * (context + 1), context + 1);
            window[..context].CopyTo(inputs.AsSpan(b * context));
            window[1..].CopyTo(targets.AsSpan(b * context));
        }

        if (Masked >= 0)
        {
            targets.AsSpan().Replace(Masked, -1);
        }
    }

    // Runs the inputs once more, block by block, to the first output with a number that is none.
    private string FirstBrokenOutput(int time)
    {
        tape.Reset();
        state.Clear();
        tape.Recording = false;
        var flow = new Flow(model.Embed(tape.Tokens(inputs.AsSpan(0, micro * time), micro, time), 0));
        if (!IsFinite(flow.Stream))
        {
            return "the embedding";
        }

        for (int i = 0; i < model.Blocks.Count; i++)
        {
            model.Blocks[i].Forward(ref flow, state.Layers[i]);
            if (!IsFinite(flow.Stream))
            {
                return $"block {i} ({model.Config.Blocks[i].Name})";
            }
        }

        return "the head";
    }

    private static bool IsFinite(Tensor x)
    {
        foreach (float value in x.ToArray())
        {
            if (!float.IsFinite(value))
            {
                return false;
            }
        }

        return true;
    }
}

/// <summary>Training failed at run time: a loss or a gradient is no finite number. The message is one line; programs exit with code 1.</summary>
public sealed class TrainingDivergedException : Exception
{
    internal TrainingDivergedException(long step, string what, string layer, string? checkpoint = null)
        : base($"training diverged at step {step}: {what}; the first output that is not finite is that of {layer}; "
            + (checkpoint is null ? "there is no checkpoint yet" : $"the last good checkpoint is {checkpoint}") + "; a lower learning rate usually helps")
    {
        (Step, What, Layer, Checkpoint) = (step, what, layer, checkpoint);
    }

    /// <summary>The step that failed, from 1. It changed no parameter.</summary>
    public long Step { get; }

    /// <summary>The first layer whose output is not finite.</summary>
    public string Layer { get; }

    /// <summary>The last good checkpoint; null where there is none.</summary>
    public string? Checkpoint { get; }

    internal string What { get; }
}
