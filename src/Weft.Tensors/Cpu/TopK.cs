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
        if (k == 0)
        {
            return;
        }

        // A heap of the largest so far, the least of them on top.
        new ReadOnlySpan<float>(values, k).CopyTo(new Span<float>(best, k));
        for (int i = (k / 2) - 1; i >= 0; i--)
        {
            Sink(best, k, i, best[i]);
        }

        for (int i = k; i < n; i++)
        {
            if (values[i] > best[0])
            {
                Sink(best, k, 0, values[i]);
            }
        }

        float least = best[0];
        int equal = new ReadOnlySpan<float>(best, k).Count(least), count = 0;
        for (int i = 0; count < k; i++)
        {
            // The last part matters where values are not numbers: there are k indices even then.
            if (values[i] > least || (values[i] == least && equal-- > 0) || n - i <= k - count)
            {
                indices[count++] = i;
            }
        }
    }

    // Puts a value in the place of heap[i] and lets it sink below all smaller ones.
    private static void Sink(float* heap, int count, int i, float value)
    {
        for (int child = (2 * i) + 1; child < count; child = (2 * i) + 1)
        {
            child += child + 1 < count && heap[child + 1] < heap[child] ? 1 : 0;
            if (!(heap[child] < value))
            {
                break;
            }

            heap[i] = heap[child];
            i = child;
        }

        heap[i] = value;
    }
}
