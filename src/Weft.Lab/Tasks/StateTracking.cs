namespace Weft.Lab.Tasks;

/// <summary>
/// What tasks of a finite automaton share: short examples to learn from, long ones to score. Its state is asked as it goes, not only at the end,
/// because that is learned in far fewer steps; the exact score needs every state right, the last one included. Answers are tokens that no
/// example contains, so that none can be read off and each position counts for itself.
/// </summary>
/// <remarks>
/// Learning is followed at the longest length that is scored, since what answers 99 % at length 40 may fail at 256. Without weight decay and at high rates: near a loss
/// of 0 little is left that would make a reflection or a turn exact, and both drift with length where it is not (docs/measurements.md).
/// </remarks>
internal abstract class StateTracking : LabTask
{
    /// <summary>The longest that is trained on.</summary>
    protected const int Longest = 40;

    public override string Axis => "tokens";

    public override IReadOnlyList<int> TrainOn { get; } = [.. Enumerable.Range(3, Longest - 2)];

    public override IReadOnlyList<int> ScoreOn => [20, 40, 80, 160, 256];

    public override int MainOf(IReadOnlyList<int> trainOn, IReadOnlyList<int> scoreOn) => scoreOn.Max();

    public override IReadOnlyList<double> Rates => [0.003, 0.008];

    public override IReadOnlyList<double> Decays { get; } = [0];

    public override IReadOnlyList<string> Models =>
    [
        "(attention swiglu)*2",
        "(mamba2 swiglu)*2",
        "(gated-deltanet swiglu)*2",
        "(gated-deltanet[negative-eigenvalues] swiglu)*2",
        "(mamba3[decay=softplus] swiglu)*2",
        "(slstm swiglu)*2",
    ];

    public override bool Takes(int difficulty) => difficulty is >= 2 and <= 1 << 16;

    public override int Length(int difficulty) => difficulty;
}
