namespace Weft.Lab.ScalingLaws;

/// <summary>Weighted linear least squares of a few columns.</summary>
internal static class LinearFit
{
    /// <summary>The shares s that make sum_n w_n (sum_j s_j column_j[n] - target[n])^2 least.</summary>
    public static double[] Of(IReadOnlyList<double[]> columns, double[] targets, double[] weights)
    {
        int k = columns.Count;
        var a = new double[k, k + 1]; // the normal equations
        for (int i = 0; i < k; i++)
        {
            for (int j = 0; j <= k; j++)
            {
                double[] other = j < k ? columns[j] : targets;
                for (int n = 0; n < targets.Length; n++)
                {
                    a[i, j] += weights[n] * columns[i][n] * other[n];
                }
            }
        }

        for (int i = 0; i < k; i++)
        {
            a[i, i] *= 1 + 1e-12; // columns that hardly differ share alike
        }

        return Solve(a);
    }

    /// <summary>The same among shares not below 0: the best of the solutions with some shares at 0.</summary>
    public static double[] NonNegative(double[][] columns, double[] targets, double[] weights)
    {
        double[] free = Of(columns, targets, weights);
        if (free.All(s => s >= 0))
        {
            return free;
        }

        double[] best = new double[columns.Length];
        double least = double.PositiveInfinity;
        for (int set = 1; set < (1 << columns.Length) - 1; set++)
        {
            int[] used = [.. Enumerable.Range(0, columns.Length).Where(j => (set >> j & 1) == 1)];
            double[] some = Of([.. used.Select(j => columns[j])], targets, weights);
            if (some.Any(s => s < 0))
            {
                continue;
            }

            double cost = 0;
            for (int n = 0; n < targets.Length; n++)
            {
                double off = used.Select((j, i) => some[i] * columns[j][n]).Sum() - targets[n];
                cost += weights[n] * off * off;
            }

            if (cost < least)
            {
                least = cost;
                best = new double[columns.Length];
                for (int i = 0; i < used.Length; i++)
                {
                    best[used[i]] = some[i];
                }
            }
        }

        return best;
    }

    // Gauss's elimination with the largest pivot; a column of nothing gets a share of 0.
    private static double[] Solve(double[,] a)
    {
        int k = a.GetLength(0);
        for (int i = 0; i < k; i++)
        {
            int pivot = i;
            for (int r = i + 1; r < k; r++)
            {
                pivot = Math.Abs(a[r, i]) > Math.Abs(a[pivot, i]) ? r : pivot;
            }

            for (int j = 0; j <= k; j++)
            {
                (a[i, j], a[pivot, j]) = (a[pivot, j], a[i, j]);
            }

            for (int r = i + 1; r < k && a[i, i] != 0; r++)
            {
                double factor = a[r, i] / a[i, i];
                for (int j = i; j <= k; j++)
                {
                    a[r, j] -= factor * a[i, j];
                }
            }
        }

        double[] x = new double[k];
        for (int i = k - 1; i >= 0; i--)
        {
            double rest = a[i, k];
            for (int j = i + 1; j < k; j++)
            {
                rest -= a[i, j] * x[j];
            }

            x[i] = a[i, i] == 0 ? 0 : rest / a[i, i];
        }

        return x;
    }
}
