using System.Diagnostics;

namespace Weft.Lab;

/// <summary>Says when the next progress is due, and smooths the loss between.</summary>
public sealed class Pace
{
    private const double Seconds = 0.15; // between reports: more often than a screen is drawn, and nothing beside a step
    private const double Smoothing = 0.95;

    private long last;

    /// <summary>The smoothed loss; NaN before the first.</summary>
    public double Loss { get; private set; } = double.NaN;

    /// <summary>Takes note of a loss; returns whether it is time for a report.</summary>
    public bool IsDue(double loss)
    {
        Loss = double.IsNaN(Loss) ? loss : (Smoothing * Loss) + ((1 - Smoothing) * loss);
        if (last != 0 && Stopwatch.GetElapsedTime(last).TotalSeconds < Seconds)
        {
            return false;
        }

        last = Stopwatch.GetTimestamp();
        return true;
    }
}
