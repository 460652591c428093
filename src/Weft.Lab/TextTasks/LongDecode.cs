using Weft.Lab.Report;
using Weft.Models;
using Weft.Training;

namespace Weft.Lab.TextTasks;

/// <summary>The time of a token and the bytes of the state against the context, up to a million tokens (<see cref="DecodeSpeed"/>).</summary>
internal sealed class LongDecode : TextTask
{
    private const double Flat = 1.25; // times as long: what counts as no longer

    public override string Name => "decode";

    public override string Line => "generation: the time of a token and the bytes of the state, against the context";

    public override string Source =>
        "arXiv 2312.00752 (Mamba, section 4.5), 2405.21060: a recurrent state and its step are as large whatever the context, a cache of keys and values grows with it. Times do not depend on what weights and states hold: "
        + "both are random, contexts are filled rather than read, and every context is measured, none computed from shorter ones";

    public override string Axis => "tokens of context";

    /// <summary>Attention shares one head of keys and values among its queries, as long contexts need: a million tokens take 1 GB in four layers.</summary>
    public override IReadOnlyList<string> Models =>
    [
        "(attention[heads=4, kv-heads=1, head-dim=32] swiglu)*4",
        "(attention[heads=4, kv-heads=1, head-dim=32, window=1024] swiglu)*4",
        "mamba2[state=64]*8",
        "(gated-deltanet swiglu)*4",
        "(3*mamba2[state=64] attention[heads=4, kv-heads=1, head-dim=32])*2",
    ];

    public override IReadOnlyList<Quantity> Quantities { get; } =
    [
        new("token_ms", "Time of a token", "The median time of generating a token after so many.", Better.Lower) { Unit = "ms", IsLogarithmic = true, HasLogarithmicAxis = true, IsTime = true },
        new("state_bytes", "State", "What is kept of one sequence after so many tokens.", Better.Lower) { Unit = "bytes", IsLogarithmic = true, HasLogarithmicAxis = true },
    ];

    public override BudgetKind Equal => BudgetKind.Data;

    public override bool Trains => false;

    public override IReadOnlyList<Condition> Conditions(Corpus text, ModelConfig model, Budget budget) => [new Condition("untrained", 0, model, text, budget)];

    public override void Measure(TrainedText trained, Action<string, double, double> found, CancellationToken cancel)
    {
        DecodeSpeed.Measure(trained.Model, [DecodeSpeed.Contexts[0]], cancel); // code compiled for speed, before the first figure that counts
        foreach (DecodePoint point in DecodeSpeed.Measure(trained.Model, [.. DecodeSpeed.Contexts, 1 << 20], long.MaxValue, cancel))
        {
            found("token_ms", point.Context, 1000 / point.TokensPerSecond);
            found("state_bytes", point.Context, point.StateBytes);
        }
    }

    public override IEnumerable<string> Findings(TextReport report)
    {
        foreach (TextModel m in report.Models)
        {
            IReadOnlyList<double> axis = m.Axis("token_ms");
            if (axis.Count > 1)
            {
                (double from, double to) = (m.Mean("token_ms", axis[0]), m.Mean("token_ms", axis[^1]));
                (double small, double large) = (m.Mean("state_bytes", axis[0]), m.Mean("state_bytes", axis[^1]));
                yield return $"{m.Name}: From {axis[0] / 1024:0}k to {axis[^1] / 1024:0}k tokens a token's time goes from {from:0.00} to {to:0.00} ms ({(to < Flat * from ? "flat" : $"{Sentence.Ratio(to / from)} times as long")}), "
                    + $"the state from {Sentence.Bytes((long)small)} to {Sentence.Bytes((long)large)} ({(large < Flat * small ? "flat" : $"{Sentence.Ratio(large / small)} times as large")}).";
            }
        }
    }
}
