using Weft.Tensors;

namespace Weft.Lab.ScalingLaws;

/// <summary>
/// How far losses lie from a law, as a part of them, and what that leaves open: a bootstrap draws the losses anew around the law, with the scatter
/// found and tails as wide as so few degrees of freedom ask for (Student's t), and fits each draw as the first.
/// </summary>
/// <param name="Sigma">The standard deviation of log losses.</param>
/// <param name="Freedom">The degrees of freedom that it was found with; 0: nothing is known.</param>
internal readonly record struct Scatter(double Sigma, int Freedom)
{
    /// <summary>Draws of a bootstrap.</summary>
    public const int Draws = 200;

    /// <summary>The part of the draws that an interval holds.</summary>
    public const double Confidence = 0.9;

    /// <summary>The scatter of residuals that so many degrees of freedom are left to.</summary>
    public static Scatter Of(IEnumerable<double> residuals, int freedom) => freedom > 0 ? new(Math.Sqrt(residuals.Sum(r => r * r) / freedom), freedom) : default;

    /// <summary>Two findings as one, each counting by its degrees of freedom.</summary>
    public Scatter With(Scatter other) => Freedom + other.Freedom == 0 ? default
        : new(Math.Sqrt(((Sigma * Sigma * Freedom) + (other.Sigma * other.Sigma * other.Freedom)) / (Freedom + other.Freedom)), Freedom + other.Freedom);

    /// <summary>Draws losses around those of a law; none where nothing is known of the scatter.</summary>
    public T[] Bootstrap<T>(double[] expected, ulong seed, Func<double[], T> fit)
    {
        if (Freedom == 0)
        {
            return [];
        }

        var results = new T[Draws];
        Scatter self = this;
        Parallel.For(0, Draws, draw =>
        {
            var random = new RandomSource(seed, (ulong)draw);
            double square = 0;
            for (int i = 0; i < self.Freedom; i++)
            {
                double z = random.NextGaussian();
                square += z * z;
            }

            double wide = self.Sigma * Math.Sqrt(self.Freedom / square);
            results[draw] = fit(Array.ConvertAll(expected, loss => loss * Math.Exp(wide * random.NextGaussian())));
        });
        return results;
    }

    /// <summary>A figure with the middle of what the draws made of it; bare where there are none.</summary>
    public static Estimate Interval(double value, IEnumerable<double> draws)
    {
        double[] sorted = [.. draws.Order()];
        return sorted.Length == 0 ? new(value, double.NaN, double.NaN) : new(value, At((1 - Confidence) / 2), At((1 + Confidence) / 2));

        double At(double part)
        {
            double place = part * (sorted.Length - 1);
            int below = (int)place;
            return sorted[below] + ((place - below) * (sorted[Math.Min(below + 1, sorted.Length - 1)] - sorted[below]));
        }
    }
}
