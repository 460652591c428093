namespace Weft.Lab.ScalingLaws;

/// <summary>A term A x^-alpha of a <see cref="PowerLaw"/>.</summary>
/// <param name="Scale">A.</param>
/// <param name="Exponent">alpha.</param>
public readonly record struct PowerTerm(double Scale, double Exponent);

/// <summary>
/// A loss that falls by powers of what is spent, towards a floor: L(x) = E + sum_j A_j x_j^-alpha_j with no E, A or alpha below 0. Of FLOPs alone it
/// is L(C); of parameters and bytes Hoffmann et al.'s L(N, D) (arXiv 2203.15556, equation 10).
/// </summary>
/// <param name="Floor">E: what no spending goes below; 0 where the law has none.</param>
/// <param name="Terms">One a variable.</param>
public sealed record PowerLaw(double Floor, IReadOnlyList<PowerTerm> Terms)
{
    private const double LeastExponent = 0.01, MostExponent = 2, Finest = 1e-6, FinestNear = 1e-3; // of exponents, and the last step of their search, in logarithms
    private const int GridPoints = 18, Reweightings = 15;

    /// <summary>The loss at x.</summary>
    public double At(params ReadOnlySpan<double> x)
    {
        double loss = Floor;
        for (int j = 0; j < Terms.Count; j++)
        {
            loss += Terms[j].Scale * Math.Pow(x[j], -Terms[j].Exponent);
        }

        return loss;
    }

    /// <summary>
    /// Fits logarithms of losses: least squares, or Huber's loss, which counts what is off by more than <paramref name="delta"/> by its distance
    /// alone. Given the exponents the rest is linear (variable projection), so that only they are searched: a grid, then ever smaller steps
    /// from its best point. No random start: the same numbers give the same law.
    /// </summary>
    /// <param name="x">The values of each variable, a run each: above 0.</param>
    /// <param name="losses">The runs' losses, above 0.</param>
    /// <param name="hasFloor">Whether the law has an E.</param>
    /// <param name="delta">Huber's; infinite for least squares.</param>
    /// <param name="near">A law near the one sought, in place of the grid.</param>
    public static PowerLaw Fit(IReadOnlyList<double[]> x, double[] losses, bool hasFloor = true, double delta = double.PositiveInfinity, PowerLaw? near = null)
    {
        ArgumentNullException.ThrowIfNull(x);
        ArgumentNullException.ThrowIfNull(losses);
        double[] middles = [.. x.Select(v => Math.Exp(v.Average(Math.Log)))]; // columns near 1, whatever the units
        double[][] logs = [.. x.Select((v, j) => Array.ConvertAll(v, value => Math.Log(value / middles[j])))];
        double low = Math.Log(LeastExponent), high = Math.Log(MostExponent), step = (high - low) / (GridPoints - 1);
        IEnumerable<double[]> starts = near is not null ? [[.. near.Terms.Select(t => Math.Clamp(Math.Log(t.Exponent), low, high))]] : Grid(x.Count, low, step);
        (double Cost, double[] Shares, double[] At) best = (double.PositiveInfinity, [], []);
        foreach (double[] start in starts)
        {
            Try(start);
        }

        step = near is null ? step : step / 4;
        double[][] ways = [.. Ways(x.Count).Where(way => way.Any(w => w != 0))];
        while (step > (near is null ? Finest : FinestNear))
        {
            double before = best.Cost;
            double[] from = best.At;
            foreach (double[] way in ways)
            {
                Try([.. from.Select((a, j) => Math.Clamp(a + (step * way[j]), low, high))]);
            }

            step = best.Cost < before - 1e-15 ? step : step / 2;
        }

        int first = hasFloor ? 1 : 0;
        return new PowerLaw(hasFloor ? best.Shares[0] : 0, [.. best.At.Select((a, j) => new PowerTerm(best.Shares[first + j] * Math.Pow(middles[j], Math.Exp(a)), Math.Exp(a)))]);

        void Try(double[] at)
        {
            double[][] columns = [.. (hasFloor ? [Array.ConvertAll(losses, _ => 1.0)] : Array.Empty<double[]>()), .. logs.Select((l, j) => Array.ConvertAll(l, v => Math.Exp(-Math.Exp(at[j]) * v)))];
            (double cost, double[] shares) = Project(columns, losses, delta);
            if (cost < best.Cost)
            {
                best = (cost, shares, at);
            }
        }
    }

    private static IEnumerable<double[]> Grid(int dimensions, double low, double step) => dimensions == 0 ? [[]]
        : Grid(dimensions - 1, low, step).SelectMany(rest => Enumerable.Range(0, GridPoints).Select(i => (double[])[.. rest, low + (i * step)]));

    private static IEnumerable<double[]> Ways(int dimensions) => dimensions == 0 ? [[]]
        : Ways(dimensions - 1).SelectMany(rest => new[] { -1.0, 0, 1 }.Select(w => (double[])[.. rest, w]));

    // The non-negative shares of the columns whose sum f is nearest to the losses: Gauss-Newton steps on log f - log L, with Huber's weights.
    private static (double Cost, double[] Shares) Project(double[][] columns, double[] losses, double delta)
    {
        double[] f = [.. losses], weights = new double[losses.Length], targets = new double[losses.Length], shares = [];
        double cost = double.PositiveInfinity;
        for (int i = 0; i < Reweightings; i++)
        {
            for (int n = 0; n < losses.Length; n++)
            {
                double off = Math.Log(f[n] / losses[n]);
                weights[n] = Math.Min(1, delta / Math.Max(Math.Abs(off), 1e-300)) / (f[n] * f[n]);
                targets[n] = f[n] * (1 - off);
            }

            double[] found = LinearFit.NonNegative(columns, targets, weights);
            double[] sums = new double[losses.Length];
            for (int n = 0; n < sums.Length; n++)
            {
                for (int j = 0; j < columns.Length; j++)
                {
                    sums[n] += found[j] * columns[j][n];
                }
            }

            double now = 0;
            for (int n = 0; n < sums.Length; n++)
            {
                now += sums[n] > 0 ? Huber(Math.Log(sums[n] / losses[n]), delta) : double.PositiveInfinity;
            }

            if (!(now < cost))
            {
                break;
            }

            bool isSettled = cost - now <= 1e-12 * now;
            (cost, shares, f) = (now, found, sums);
            if (isSettled)
            {
                break;
            }
        }

        return (cost, shares);
    }

    private static double Huber(double off, double delta) => Math.Abs(off) <= delta ? off * off / 2 : delta * (Math.Abs(off) - (delta / 2));
}
