using System.Numerics;

namespace Weft.Models.Recurrences;

/// <summary>
/// HiPPO-LegS (Gu et al., arXiv 2008.07669) in the basis in which its normal part is diagonal: what S4 and S5 start from. With
/// A_nk = -sqrt(2n+1) sqrt(2k+1) for n &gt; k, -(n+1) for n = k and 0 above, and P_n = sqrt(n + 1/2), A + P P^T is normal (S4, arXiv 2111.00396,
/// theorem 1): -1/2 times the identity plus a real skew-symmetric matrix, whose eigenvalues are pairs +-i omega. Half of them are kept.
/// <code>
/// A = V (diag(-1/2 + i omega) - p p*) V*,   p = V* P,   b = V* B,   B_n = sqrt(2n + 1)
/// </code>
/// </summary>
internal sealed class Hippo
{
    /// <summary>The largest size that is decomposed: beyond, building a model would take seconds.</summary>
    public const int Largest = 256;

    private static readonly Dictionary<int, Hippo> Known = [];

    private readonly double[] frequencies;

    private Hippo(int size)
    {
        Size = size;

        // -i times the skew-symmetric part is Hermitian; its eigenvalues are the omegas.
        var hermitian = new Complex[size, size];
        for (int n = 0; n < size; n++)
        {
            for (int k = 0; k < n; k++)
            {
                double skew = -0.5 * Math.Sqrt(((2 * n) + 1) * ((2 * k) + 1.0)); // A_nk + P_n P_k
                hermitian[n, k] = new Complex(0, -skew);
                hermitian[k, n] = new Complex(0, skew);
            }
        }

        (double[] values, Complex[,] vectors) = HermitianEigen.Decompose(hermitian);
        int half = size / 2;
        frequencies = values[half..]; // ascending: the upper half is positive
        Vectors = new Complex[size, half];
        (LowRank, Input) = (new Complex[half], new Complex[half]);
        for (int i = 0; i < size; i++)
        {
            for (int p = 0; p < half; p++)
            {
                Vectors[i, p] = vectors[i, half + p];
                LowRank[p] += Complex.Conjugate(Vectors[i, p]) * Math.Sqrt(i + 0.5);
                Input[p] += Complex.Conjugate(Vectors[i, p]) * Math.Sqrt((2 * i) + 1);
            }
        }
    }

    /// <summary>The number of states, N; even.</summary>
    public int Size { get; }

    /// <summary>The eigenvectors of the kept half, as columns: V [N, N/2]. Of length 1; their phases are arbitrary.</summary>
    public Complex[,] Vectors { get; }

    /// <summary>p = V* P [N/2].</summary>
    public Complex[] LowRank { get; }

    /// <summary>b = V* B [N/2].</summary>
    public Complex[] Input { get; }

    /// <summary>The omegas [N/2], positive and ascending.</summary>
    public IReadOnlyList<double> Frequencies => frequencies;

    /// <summary>The decomposition of a size, computed once.</summary>
    public static Hippo LegS(int size)
    {
        lock (Known)
        {
            if (!Known.TryGetValue(size, out Hippo? hippo))
            {
                Known[size] = hippo = new Hippo(size);
            }

            return hippo;
        }
    }

    /// <summary>The omegas, again and again.</summary>
    public void FillFrequencies(Span<float> values)
    {
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (float)frequencies[i % frequencies.Length];
        }
    }
}

/// <summary>Eigenvalues and eigenvectors of Hermitian matrices by Jacobi's rotations (Golub and Van Loan, section 8.5): slow, short, accurate.</summary>
internal static class HermitianEigen
{
    /// <summary>The eigenvalues in ascending order, and the eigenvectors as columns; <paramref name="a"/> is overwritten.</summary>
    public static (double[] Values, Complex[,] Vectors) Decompose(Complex[,] a)
    {
        int n = a.GetLength(0);
        var v = new Complex[n, n];
        double size = 0;
        for (int i = 0; i < n; i++)
        {
            v[i, i] = 1;
            for (int j = 0; j < n; j++)
            {
                size += Square(a[i, j]);
            }
        }

        for (int sweep = 0; sweep < 60 && OffDiagonal() > 1e-30 * size; sweep++)
        {
            for (int p = 0; p < n - 1; p++)
            {
                for (int q = p + 1; q < n; q++)
                {
                    Rotate(p, q);
                }
            }
        }

        double[] values = [.. Enumerable.Range(0, n).Select(i => a[i, i].Real)];
        int[] order = [.. Enumerable.Range(0, n).OrderBy(i => values[i])];
        var vectors = new Complex[n, n];
        for (int i = 0; i < n; i++)
        {
            for (int j = 0; j < n; j++)
            {
                vectors[i, j] = v[i, order[j]];
            }
        }

        return ([.. order.Select(i => values[i])], vectors);

        double OffDiagonal()
        {
            double sum = 0;
            for (int i = 0; i < n; i++)
            {
                for (int j = 0; j < i; j++)
                {
                    sum += 2 * Square(a[i, j]);
                }
            }

            return sum;
        }

        // A' = J* A J and V' = V J, where J turns columns p and q so that A'_pq is 0.
        void Rotate(int p, int q)
        {
            double modulus = a[p, q].Magnitude;
            if (modulus == 0)
            {
                return;
            }

            Complex phase = a[p, q] / modulus;
            double tau = (a[q, q].Real - a[p, p].Real) / (2 * modulus);
            double t = (tau >= 0 ? 1 : -1) / (Math.Abs(tau) + Math.Sqrt(1 + (tau * tau)));
            double cos = 1 / Math.Sqrt(1 + (t * t));
            Complex sin = t * cos * phase;
            for (int i = 0; i < n; i++)
            {
                (a[i, p], a[i, q]) = ((cos * a[i, p]) - (Complex.Conjugate(sin) * a[i, q]), (sin * a[i, p]) + (cos * a[i, q]));
                (v[i, p], v[i, q]) = ((cos * v[i, p]) - (Complex.Conjugate(sin) * v[i, q]), (sin * v[i, p]) + (cos * v[i, q]));
            }

            for (int i = 0; i < n; i++)
            {
                (a[p, i], a[q, i]) = ((cos * a[p, i]) - (sin * a[q, i]), (Complex.Conjugate(sin) * a[p, i]) + (cos * a[q, i]));
            }
        }
    }

    private static double Square(Complex x) => (x.Real * x.Real) + (x.Imaginary * x.Imaginary);
}
