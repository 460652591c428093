using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// Softmax attention to a fixed number of columns (keys) and diagonals (distances), which all queries of a tile and head share:
/// <code>
/// a_s, b_r  = the probabilities of the last queries before the tile under full attention, summed over each key s, and over each distance r
/// C, D      = the first columns and the nearest distances, and beside them those of the largest a and b
/// o_t       = sum_s softmax_s(scale q_t . k_s) v_s over the s &lt;= t with s in C or t - s in D
/// </code>
/// The first tile, which nothing precedes, has the first columns and the nearest distances. Whatever a query sees depends on nothing after it, and on
/// no cut of the sequence. <see cref="VerticalSlash"/> says how many there are of each.
/// q is [B,T,H dk]; k [B,T,Hk dk] and v [B,T,Hk dv] are shared by the H / Hk heads of a key head.
/// </summary>
public static class VerticalSlashSoftmax
{
    /// <summary>The definition: whole matrices of scores, and choices by sorting, which are constants to gradients.</summary>
    /// <returns>o [B,T,H dv].</returns>
    public static Tensor Plain(Tensor q, Tensor k, Tensor v, int keyHeads, float scale, VerticalSlash pattern)
    {
        (int time, int headDim) = (q.Shape[1], k.Shape.Columns / keyHeads);
        int heads = q.Shape.Columns / headDim;
        (float[] queries, float[] keys) = (q.ToArray(), k.ToArray());
        var seen = new Dictionary<(int, int, int), (HashSet<int> Columns, HashSet<int> Distances)>(); // by sequence, head and tile
        var options = new AttentionOptions(heads, keyHeads, headDim, scale, 0) { ValueDim = v.Shape.Columns / keyHeads };
        return AttentionDefinition.Run(q, k, v, options, sees: (b, h, t, s) =>
        {
            if (!seen.TryGetValue((b, h, t / pattern.Tile), out (HashSet<int> Columns, HashSet<int> Distances) choice))
            {
                seen[(b, h, t / pattern.Tile)] = choice = Choice(b, h, t / pattern.Tile * pattern.Tile);
            }

            return choice.Columns.Contains(s) || choice.Distances.Contains(t - s);
        });

        (HashSet<int> Columns, HashSet<int> Distances) Choice(int b, int h, int start)
        {
            if (start == 0)
            {
                return ([.. Enumerable.Range(0, pattern.Vertical)], [.. Enumerable.Range(0, pattern.Slash)]);
            }

            (var columns, var distances) = (new double[start], new double[start]);
            for (int t = start - pattern.Last; t < start; t++)
            {
                double[] p = [.. Enumerable.Range(0, t + 1).Select(s => Math.Exp(scale * Product(b, h, t, s)))];
                double sum = p.Sum();
                for (int s = 0; s <= t; s++)
                {
                    columns[s] += p[s] / sum;
                    distances[t - s] += p[s] / sum;
                }
            }

            return (Largest(columns, pattern.Sinks, pattern.Vertical), Largest(distances, pattern.Near, pattern.Slash));
        }

        HashSet<int> Largest(double[] sums, int forced, int count) =>
            [.. Enumerable.Range(0, Math.Min(forced, sums.Length)), .. Enumerable.Range(0, sums.Length).Skip(forced).OrderByDescending(i => sums[i]).Take(count - forced)];

        double Product(int b, int h, int t, int s)
        {
            (int query, int key) = ((((b * time) + t) * heads) + h, (((b * time) + s) * keyHeads) + (h / (heads / keyHeads)));
            double sum = 0;
            for (int i = 0; i < headDim; i++)
            {
                sum += (double)queries[(query * headDim) + i] * keys[(key * headDim) + i];
            }

            return sum;
        }
    }

    /// <summary>
    /// The same, up to 64 queries at a time, behind the cache <paramref name="past"/>, whose queries were <paramref name="pastQueries"/>. See
    /// <see cref="Ops.VerticalSlashAttention"/>; mixers keep what the cache's queries leave.
    /// </summary>
    /// <returns>o [B,T,H dv].</returns>
    public static Tensor Fast(Tensor q, Tensor k, Tensor v, in AttentionPast past, Tensor? pastQueries, int keyHeads, float scale, VerticalSlash pattern)
    {
        int headDim = k.Shape.Columns / keyHeads;
        var options = new AttentionOptions(q.Shape.Columns / headDim, keyHeads, headDim, scale, 0) { ValueDim = v.Shape.Columns / keyHeads };
        (Tensor? last, Tensor? inForce) = (null, null);
        if (pastQueries is not null)
        {
            (_, last, inForce) = Ops.ChooseVerticalSlash(pastQueries, Ops.Slice(past.Keys!, 1, 0, past.Length), default, null, null, options, pattern, 0);
        }

        (Tensor choices, _, _) = Ops.ChooseVerticalSlash(q, k, past, last, inForce, options, pattern, past.Length);
        return Ops.VerticalSlashAttention(q, k, v, past, choices, options, pattern, past.Length);
    }
}
