using System.CommandLine;
using Spectre.Console;
using Weft.Models.Checkpoints.HuggingFace;
using Weft.Tensors;

namespace Weft.Cli.Commands;

/// <summary>weft verify: whether a published checkpoint computes here what it does in its reference implementation.</summary>
internal sealed class VerifyCommand : WeftCommand
{
    private readonly Argument<string> folder = new("DIR") { Description = $"a model folder from Hugging Face with {Verification.FileName} beside the weights" };
    private readonly Option<int?> threads = Settings.Threads();

    public VerifyCommand(Terminal terminal) : base(terminal, "verify", "compare a published checkpoint with its reference's logits, gradients and text",
        new Example("weft verify model", "each tensor's error, and whether texts are equal; exit code 0: all is"))
    {
        Add(folder);
        Add(threads);
    }

    public override IReadOnlyList<string> Notes =>
    [
        $"{Verification.FileName} holds input_ids [B,T] and any of logits [B,T,V], loss [1] (mean cross-entropy of next tokens),",
        "grad.KEY (the loss's gradient), generated [B,T+N] (the greedy continuation, the end of text never chosen).",
        $"An error is RMS(difference) / RMS(reference): {Verification.LogitTolerance:0e+0} is allowed for logits and loss, {Verification.GradientTolerance:0e+0} for gradients.",
    ];

    protected override int Run(ParseResult given)
    {
        using Device device = OpenDevice(given.GetValue(threads) ?? 0, Precision.Float32);
        int good = 0, bad = 0;
        double worst = 0;
        foreach (object result in Verification.Run(given.GetRequiredValue(folder), device))
        {
            Terminal.Cancel.ThrowIfCancellationRequested();
            (bool isGood, string line) = result switch
            {
                VerifiedTensor t => (t.IsGood, $"{(double.IsNaN(t.Error) ? "none" : $"{t.Error:0.0e+00}"),8}  of {t.Tolerance:0e+0}  {t.Name}{(t.Error > t.Tolerance && t.IsRounding ? "  (rounding: terms that cancel)" : "")}"),
                VerifiedContinuation c => (c.IsGood, $"{(c.IsGood ? "equal" : $"{c.Equal}/{c.Tokens}"),8}  {c.Tokens,3} tokens  greedy, prompt read {c.How}"),
                _ => throw new InvalidOperationException(result.GetType().Name),
            };
            Terminal.Out.WriteLine($"{(isGood ? "ok  " : "FAIL")}{line}");
            (good, bad) = isGood ? (good + 1, bad) : (good, bad + 1);
            worst = result is VerifiedTensor { Error: var error } tensor && error <= tensor.Tolerance ? Math.Max(worst, tensor.Error / tensor.Tolerance) : worst;
        }

        Terminal.Out.WriteLine(bad == 0 ? $"verified: {good} results equal the reference; the farthest is at {worst:0%} of what is allowed"
            : $"not verified: {bad} of {good + bad} results differ from the reference");
        return bad == 0 ? 0 : Failure.AtRunTime;
    }
}
