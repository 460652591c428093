namespace Weft.Tensors.Cpu;

/// <summary>The largest of some values.</summary>
internal static unsafe class TopK
{
    /// <summary>
    /// Writes the indices, ascending, of the <paramref name="k"/> largest of n values, k &lt;= n; of equal values the earlier ones.
    /// <paramref name="best"/> has room for k.
    /// </summary>
    public static void Indices(float* values, int n, int k, float* best, int* indices)
    {
        int count = 0;
        for (int i = 0; i < n && k > 0; i++)
        {
            float value = values[i];
            if (count == k && !(value > best[k - 1]))
            {
                continue;
            }

            int at = count < k ? count++ : k - 1;
            for (; at > 0 && value > best[at - 1]; at--)
            {
                (best[at], indices[at]) = (best[at - 1], indices[at - 1]);
            }

            (best[at], indices[at]) = (value, i);
        }

        new Span<int>(indices, k).Sort();
    }
}
