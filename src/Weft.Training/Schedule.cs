using Weft.Tensors;

namespace Weft.Training;

/// <summary>How the learning rate goes down after the warm-up.</summary>
public enum ScheduleKind
{
    /// <summary>Half a cosine from the peak to the final rate (Loshchilov and Hutter, arXiv 1608.03983).</summary>
    Cosine,
    /// <summary>Stable at the peak, then a straight line to the final rate (warm-up, stable, decay: MiniCPM, arXiv 2404.06395).</summary>
    Wsd,
    /// <summary>As <see cref="Wsd"/>, going down as 1 - sqrt of the progress (Haegele et al., arXiv 2405.18392).</summary>
    WsdSqrt,
    /// <summary>The peak to the end.</summary>
    Constant,
}

/// <summary>
/// The learning rate as a pure function of the step and the number of steps: a linear warm-up to the peak, then the way down that
/// <see cref="Kind"/> names. The first step has already a part of the peak, and the last one exactly the final rate.
/// </summary>
public sealed record Schedule
{
    /// <summary>How the rate goes down.</summary>
    public ScheduleKind Kind { get; init; } = ScheduleKind.Cosine;

    /// <summary>The part of all steps that the warm-up takes, 0 to 1; it has at least one step unless this is 0.</summary>
    public double WarmUp { get; init => field = Check.Within(value, 0, 1, "warm-up", "the part of all steps"); } = 0.05;

    /// <summary>The part of all steps, at their end, in which a WSD schedule goes down, 0 to 1.</summary>
    public double Decline { get; init => field = Check.Within(value, 0, 1, "decline", "the part of all steps"); } = 0.2;

    /// <summary>The final rate as a part of the peak, 0 to 1; a constant schedule has none.</summary>
    public double Final { get; init => field = Check.Within(value, 0, 1, "final", "the part of the peak rate"); } = 0.1;

    /// <summary>The rate of step <paramref name="step"/>, 0 .. <paramref name="total"/> - 1, as a part of the peak.</summary>
    public double Factor(long step, long total)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        long warm = WarmUp == 0 ? 0 : Math.Max(1, (long)Math.Round(WarmUp * total));
        if (step < warm)
        {
            return (step + 1.0) / warm;
        }

        long start = Kind == ScheduleKind.Cosine ? warm : Math.Max(warm, total - (long)Math.Round(Decline * total));
        double progress = Math.Clamp((step + 1.0 - start) / Math.Max(1, total - start), 0, 1);
        double height = Kind switch
        {
            ScheduleKind.Cosine => (1 + Math.Cos(Math.PI * progress)) / 2,
            ScheduleKind.Wsd => 1 - progress,
            ScheduleKind.WsdSqrt => 1 - Math.Sqrt(progress),
            _ => 1,
        };
        return Kind == ScheduleKind.Constant ? 1 : Final + ((1 - Final) * height);
    }
}

/// <summary>The ranges of options.</summary>
internal static class Check
{
    public static double Within(double value, double min, double max, string name, string what) => value >= min && value <= max ? value
        : throw new InputException($"{name} {value:R} is out of range; it is {what}, from {min:R} to {max:R}");

    public static int Within(int value, int min, int max, string name, string what) => value >= min && value <= max ? value
        : throw new InputException($"{name} {value} is out of range; it is {what}, from {min} to {max}");
}
