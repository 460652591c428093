namespace Weft.Tensors;

/// <summary>How the angles of rotary positions were changed for a context longer than the one they were learned on.</summary>
public enum RopeScalingKind
{
    /// <summary>They were not.</summary>
    None,

    /// <summary>All frequencies divided by a factor (position interpolation, Chen et al., arXiv 2306.15595).</summary>
    Linear,

    /// <summary>Low frequencies divided by a factor, high ones kept, those between interpolated by wavelength (Llama 3.1, arXiv 2407.21783).</summary>
    Llama3,

    /// <summary>The same with a ramp over the pairs' index, and cosines and sines times an amplitude (YaRN, Peng et al., arXiv 2309.00071).</summary>
    Yarn,
}

/// <summary>A scaling of rotary frequencies.</summary>
/// <param name="Kind">Which.</param>
/// <param name="Factor">What low frequencies are divided by.</param>
/// <param name="Low">Llama3: low_freq_factor; Yarn: beta_slow. In turns over the original context, below which a frequency is low.</param>
/// <param name="High">Llama3: high_freq_factor; Yarn: beta_fast. In turns over the original context, above which a frequency is high.</param>
/// <param name="Original">Tokens of the original context.</param>
/// <param name="Amplitude">What cosines and sines are multiplied by; 0 stands for 1.</param>
public readonly record struct RopeScaling(RopeScalingKind Kind, double Factor, double Low = 0, double High = 0, int Original = 0, double Amplitude = 0)
{
    /// <summary>The scaled frequency of pair <paramref name="i"/> of <paramref name="rotary"/> / 2, whose own is theta^(-2i/rotary).</summary>
    internal double Frequency(int i, int rotary, double theta)
    {
        double own = Math.Pow(theta, -2.0 * i / rotary), divided = own / Factor;
        return Kind switch
        {
            RopeScalingKind.Linear => divided,
            RopeScalingKind.Llama3 => Mix(divided, own, ((Original * own / (2 * Math.PI)) - Low) / (High - Low)),
            RopeScalingKind.Yarn => Mix(own, divided, Ramp(i, rotary, theta)),
            _ => own,
        };
    }

    private static double Mix(double a, double b, double toB)
    {
        double part = Math.Clamp(toB, 0, 1);
        return ((1 - part) * a) + (part * b);
    }

    // 0 for the pairs that turn more often than High over the original context, 1 for those that turn less often than Low.
    private double Ramp(int i, int rotary, double theta)
    {
        int original = Original;
        double first = Math.Max(Math.Floor(Pair(High)), 0), last = Math.Min(Math.Ceiling(Pair(Low)), rotary - 1);
        return (i - first) / (last == first ? 1e-3 : last - first);

        double Pair(double turns) => rotary * Math.Log(original / (turns * 2 * Math.PI)) / (2 * Math.Log(theta));
    }
}
