namespace Weft.Lab.ScalingLaws;

/// <summary>
/// The conditional scaling law of arXiv 2510.18245 (equation 3): L = (a0 + a1 log x + a2 / x)(b0 + b1 log r + b2 / r) L_opt(N, D), where x is the width over
/// the square root of the parameters without embeddings, and r the MLPs' parameters over the attention's. Only the product of the two factors
/// is determined: here the second is 1 on average over the shapes fitted, which leaves five free numbers of six.
/// </summary>
/// <param name="Width">a0, a1, a2.</param>
/// <param name="Ratio">b0, b1, b2.</param>
public sealed record ShapeLaw(IReadOnlyList<double> Width, IReadOnlyList<double> Ratio)
{
    /// <summary>The free numbers.</summary>
    public const int Free = 5;

    private const int Rounds = 500;

    /// <summary>What a shape's loss is, over the best known for as many parameters and bytes.</summary>
    public double At(double x, double r) => Factor(Width, x) * Factor(Ratio, r);

    /// <summary>
    /// Fits L / L_opt by least squares, in turn one factor given the other, each of which is linear. Null where shapes are too few or too alike:
    /// it takes three values of either, and more shapes than free numbers.
    /// </summary>
    public static ShapeLaw? Fit(double[] x, double[] r, double[] relative)
    {
        ArgumentNullException.ThrowIfNull(x);
        ArgumentNullException.ThrowIfNull(r);
        ArgumentNullException.ThrowIfNull(relative);
        if (relative.Length <= Free || Kinds(x) < 3 || Kinds(r) < 3)
        {
            return null;
        }

        double[] a = [1, 0, 0], b = [1, 0, 0];
        double before = double.PositiveInfinity;
        for (int i = 0; i < Rounds; i++)
        {
            a = Half(x, Array.ConvertAll(r, v => Factor(b, v)), relative);
            b = Half(r, Array.ConvertAll(x, v => Factor(a, v)), relative);
            double off = relative.Select((l, n) => Square((Factor(a, x[n]) * Factor(b, r[n]) / l) - 1)).Sum();
            if (before - off <= 1e-14 * off)
            {
                break;
            }

            before = off;
        }

        double mean = r.Average(v => Factor(b, v));
        return new ShapeLaw([.. a.Select(v => v * mean)], [.. b.Select(v => v / mean)]);
    }

    private static double Factor(IReadOnlyList<double> c, double x) => c[0] + (c[1] * Math.Log(x)) + (c[2] / x);

    private static double Square(double x) => x * x;

    // One factor, given the other's values.
    private static double[] Half(double[] x, double[] other, double[] relative) => LinearFit.Of(
        [other, [.. other.Select((o, n) => o * Math.Log(x[n]))], [.. other.Select((o, n) => o / x[n])]], relative, Array.ConvertAll(relative, l => 1 / (l * l)));

    // Values that differ by more than roundings of shapes do.
    private static int Kinds(double[] values) => values.Select(v => Math.Round(Math.Log(v) / 0.1)).Distinct().Count();
}
