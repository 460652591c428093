using Weft.Lab.Report;
using Weft.Lab.Tasks;
using Weft.Lab.TextTasks;

namespace Weft.Lab.Claims;

/// <summary>
/// What the reports of claims show. Each judge states the figures that a claim is about and applies a fixed rule to them; where the figures
/// that a rule compares cannot be told apart, or nothing was learned, it says that this is too small to tell.
/// </summary>
internal static class Judges
{
    /// <summary>Bits lost to filler hardly at all, state that does not grow, for recurrent models; a cache that grows k-fold.</summary>
    public static ClaimFinding Filler(ClaimReports reports)
    {
        TextReport report = reports.Text();
        TextModel ssm = report.Models.First(m => m.Name == "mamba2"), attention = report.Models.First(m => m.Name == "transformer");
        IReadOnlyList<double> axis = ssm.Axis("bits_per_byte");
        (double from, double to) = (axis[0], axis[^1]);
        string said = string.Join("; ", report.Models.Select(m => $"{m.Name} {Spread(m.At("bits_per_byte", from), Bits)} bits at k = {from}, {Spread(m.At("bits_per_byte", to), Bits)} at k = {to}, state {Times(m, "state_bytes")}, FLOPs {Times(m, "flops_per_byte")}, decoding {Times(m, "bytes_per_second")}"));
        double Loss(TextModel m) => m.Mean("bits_per_byte", to) - m.Mean("bits_per_byte", from);
        bool isFlat = ssm.Mean("state_bytes", to) == ssm.Mean("state_bytes", from), grows = attention.Mean("state_bytes", to) > 0.9 * to / from * attention.Mean("state_bytes", from);
        double spread = Width(ssm.At("bits_per_byte", from)) + Width(ssm.At("bits_per_byte", to));
        return new(said, !isFlat || !grows ? Verdict.DidNotHold : Loss(ssm) <= Math.Max(0.02 * ssm.Mean("bits_per_byte", from), spread) ? Verdict.Held : Loss(ssm) < Loss(attention) ? Verdict.TooSmallToTell : Verdict.DidNotHold);

        string Times(TextModel m, string quantity)
        {
            double ratio = m.Mean(quantity, to) / m.Mean(quantity, from);
            return ratio >= 1 ? $"x {Sentence.Ratio(ratio)}" : $"/ {Sentence.Ratio(1 / ratio)}";
        }
    }

    private static string Bits(double x) => $"{x:0.000}";

    private static string Share(double x) => $"{100 * x:0.#} %";

    /// <summary>The mean, and the lowest and highest in brackets where there are several that differ.</summary>
    private static string Spread(IReadOnlyList<double> values, Func<double, string> told) => values.Count == 0 ? "diverged"
        : values.Count == 1 || told(values.Min()) == told(values.Max()) ? told(values.Average())
        : $"{told(values.Average())} ({told(values.Min())} to {told(values.Max())})";

    private static double Width(IReadOnlyList<double> values) => values.Count == 0 ? 0 : values.Max() - values.Min();
}
