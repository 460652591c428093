using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

internal static partial class RecurrenceTable
{
    private static RecurrenceRow[] AttentionRows =>
    [
        // Every head has queries; a head of keys and values is shared.
        new("forgetting softmax", 64, GroupedKeys: true,
            s => new Drawn(9).Gaussian("q", s.Over(s.Heads * s.KeyWidth)).Gaussian("k", s.Over(s.KeyHeads * s.KeyWidth)).Gaussian("v", s.Over(s.KeyHeads * s.ValueWidth))
                .Decay("f", s.Over(s.Heads), s.Decay)
                .Gaussian("initial k", new(s.Batch, Cached, s.KeyHeads * s.KeyWidth)).Gaussian("initial v", new(s.Batch, Cached, s.KeyHeads * s.ValueWidth))
                .Decay("initial f", new(s.Batch, Cached, s.Heads), s.Decay),
            (s, x) => [ForgettingSoftmax.Scan(x["q"], Behind(x, "k"), Behind(x, "v"), Behind(x, "f"), s.KeyHeads, SoftmaxScale(s))],
            (s, x) => [ForgettingSoftmax.Fast(x["q"], x["k"], x["v"], x["f"], Past(x), s.KeyHeads, SoftmaxScale(s))],
            (s, x) => [SoftmaxInDouble(s, x)]),

        // Queries and keys are coarse, so that products with mean keys are exact and every form chooses the same blocks.
        new("block-sparse softmax", 16, GroupedKeys: true,
            s => Coarse(new Drawn(10).Gaussian("q", s.Over(s.Heads * s.KeyWidth)).Gaussian("k", s.Over(s.KeyHeads * s.KeyWidth)).Gaussian("v", s.Over(s.KeyHeads * s.ValueWidth))
                .Gaussian("initial k", new(s.Batch, Cached, s.KeyHeads * s.KeyWidth)).Gaussian("initial v", new(s.Batch, Cached, s.KeyHeads * s.ValueWidth))),
            (s, x) => [BlockSparseSoftmax.Plain(x["q"], Behind(x, "k"), Behind(x, "v"), s.KeyHeads, SoftmaxScale(s), Sparsity)],
            (s, x) => [BlockSparseSoftmax.Fast(x["q"], x["k"], x["v"], Past(x), s.KeyHeads, SoftmaxScale(s), Sparsity)],
            (s, x) => [BlockSparseInDouble(s, x)]),
        new("vertical-slash softmax", 32, GroupedKeys: true,
            s => new Drawn(11).Gaussian("q", s.Over(s.Heads * s.KeyWidth)).Gaussian("k", s.Over(s.KeyHeads * s.KeyWidth)).Gaussian("v", s.Over(s.KeyHeads * s.ValueWidth))
                .Gaussian("initial q", new(s.Batch, Cached, s.Heads * s.KeyWidth))
                .Gaussian("initial k", new(s.Batch, Cached, s.KeyHeads * s.KeyWidth)).Gaussian("initial v", new(s.Batch, Cached, s.KeyHeads * s.ValueWidth)),
            (s, x) => [Ops.Slice(VerticalSlashSoftmax.Plain(Behind(x, "q"), Behind(x, "k"), Behind(x, "v"), s.KeyHeads, SoftmaxScale(s), Pattern), 1, x.ContainsKey("initial q") ? Cached : 0, s.Time)],
            (s, x) => [VerticalSlashSoftmax.Fast(x["q"], x["k"], x["v"], Past(x), x.GetValueOrDefault("initial q"), s.KeyHeads, SoftmaxScale(s), Pattern)],
            (s, x) => [VerticalSlashInDouble(s, x)]),
    ];

    private static readonly BlockSparsity Sparsity = new(8, 5);

    private static readonly VerticalSlash Pattern = new(Vertical: 12, Slash: 10, Tile: 64, Last: 8);

    private const int Cached = 5; // tokens before the first

    private static Tensor Behind(IReadOnlyDictionary<string, Tensor> x, string name) =>
        x.TryGetValue("initial " + name, out Tensor? initial) ? Ops.Concat(initial, x[name], 1) : x[name];

    private static AttentionPast Past(IReadOnlyDictionary<string, Tensor> x) =>
        x.ContainsKey("initial k") ? new AttentionPast(x["initial k"], x["initial v"], 0, Cached, x.GetValueOrDefault("initial f")) : default;

    /// <summary>Queries and keys rounded to quarters.</summary>
    private static Drawn Coarse(Drawn drawn)
    {
        foreach ((string name, _, float[] values) in drawn.Arrays)
        {
            for (int i = 0; i < values.Length && !name.EndsWith('v'); i++)
            {
                values[i] = MathF.Round(4 * values[i]) / 4;
            }
        }

        return drawn;
    }

    private static float SoftmaxScale(Sizes s) => 1 / MathF.Sqrt(s.KeyWidth);

    /// <summary>Each query by itself, from its own key back until what is left weighs less than e^-100.</summary>
    private static double[] SoftmaxInDouble(Sizes s, IReadOnlyDictionary<string, float[]> x)
    {
        float[] f = Joined(s, x, "f");
        return EachQuery(s, x, token =>
        {
            double lost = 0;
            for (int at = token.At; at >= token.Start && lost > -130; at--)
            {
                token.Add(at, lost);
                lost += f[(at * s.Heads) + token.Head];
            }
        });
    }

    /// <summary>Each query by itself, its choice by sorting.</summary>
    private static double[] BlockSparseInDouble(Sizes s, IReadOnlyDictionary<string, float[]> x)
    {
        (int block, int budget, int sinks, int local) = (Sparsity.Block, Sparsity.Budget, Sparsity.Sinks, Sparsity.Local);
        float[] k = Joined(s, x, "k");
        int width = s.KeyHeads * s.KeyWidth;
        var means = new double[s.Batch][];
        int all = k.Length / width / s.Batch;
        for (int b = 0; b < s.Batch; b++)
        {
            means[b] = new double[all / block * width];
            for (int i = 0; i < means[b].Length; i++)
            {
                (int first, int column) = (i / width * block, i % width);
                means[b][i] = Enumerable.Range((b * all) + first, block).Sum(row => (double)k[(row * width) + column]) / block;
            }
        }

        return EachQuery(s, x, token =>
        {
            int own = (token.At - token.Start) / block, keyHead = token.Head / (s.Heads / s.KeyHeads);
            double[] mean = means[token.Start / all];
            double Product(int j) => Enumerable.Range(0, s.KeyWidth).Sum(i => x["q"][token.Query + i] * mean[(j * width) + (keyHead * s.KeyWidth) + i]);
            IEnumerable<int> seen = own < budget ? Enumerable.Range(0, own + 1)
                : [.. Enumerable.Range(0, sinks), .. Enumerable.Range(sinks, own - local + 1 - sinks).OrderByDescending(Product).Take(budget - sinks - local), .. Enumerable.Range(own - local + 1, local)];
            foreach (int j in seen)
            {
                for (int at = token.Start + (j * block); at < token.Start + ((j + 1) * block) && at <= token.At; at++)
                {
                    token.Add(at, 0);
                }
            }
        });
    }

    /// <summary>Each query by itself; what its tile sees from the whole rows of the queries that choose.</summary>
    private static double[] VerticalSlashInDouble(Sizes s, IReadOnlyDictionary<string, float[]> x)
    {
        (float[] q, float[] k) = (Joined(s, x, "q"), Joined(s, x, "k"));
        (int dk, int all) = (s.KeyWidth, k.Length / s.Batch / s.KeyHeads / s.KeyWidth);
        float scale = SoftmaxScale(s);
        var seen = new (int[] Columns, int[] Distances)[s.Batch * s.Heads, (all / Pattern.Tile) + 1];
        for (int i = 0; i < seen.Length; i++)
        {
            (int owner, int tile) = (i / seen.GetLength(1), i % seen.GetLength(1));
            (int batch, int head, int start) = (owner / s.Heads, owner % s.Heads, tile * Pattern.Tile);
            (var columns, var distances) = (new double[start], new double[start]);
            for (int t = start - Pattern.Last; tile > 0 && t < start; t++)
            {
                double[] p = [.. Enumerable.Range(0, t + 1).Select(key => Math.Exp(scale * Enumerable.Range(0, dk).Sum(c =>
                    (double)q[(((((batch * all) + t) * s.Heads) + head) * dk) + c] * k[(((((batch * all) + key) * s.KeyHeads) + (head / (s.Heads / s.KeyHeads))) * dk) + c])))];
                double sum = p.Sum();
                for (int key = 0; key <= t; key++)
                {
                    columns[key] += p[key] / sum;
                    distances[t - key] += p[key] / sum;
                }
            }

            seen[owner, tile] = tile == 0 ? ([.. Enumerable.Range(0, Pattern.Vertical)], [.. Enumerable.Range(0, Pattern.Slash)])
                : (Largest(columns, Pattern.Sinks, Pattern.Vertical), Largest(distances, Pattern.Near, Pattern.Slash));
        }

        return EachQuery(s, x, token =>
        {
            int t = token.At - token.Start;
            (int[] columns, int[] distances) = seen[(token.Start / all * s.Heads) + token.Head, t / Pattern.Tile];
            foreach (int key in columns.Concat(distances.Select(d => t - d)).Where(key => key >= 0 && key <= t).Distinct())
            {
                token.Add(token.Start + key, 0);
            }
        });

        static int[] Largest(double[] sums, int forced, int count) =>
            [.. Enumerable.Range(0, forced), .. Enumerable.Range(forced, sums.Length - forced).OrderByDescending(i => sums[i]).Take(count - forced)];
    }

    // All tokens of one array, the cached ones of each sequence before its own.
    private static float[] Joined(Sizes s, IReadOnlyDictionary<string, float[]> x, string name)
    {
        if (!x.TryGetValue("initial " + name, out float[]? initial))
        {
            return x[name];
        }

        int old = initial.Length / s.Batch, own = x[name].Length / s.Batch;
        return [.. Enumerable.Range(0, s.Batch).SelectMany(b => initial[(b * old)..((b + 1) * old)].Concat(x[name][(b * own)..((b + 1) * own)]))];
    }

    /// <summary>A query of one head: where its sequence's keys start, where its own lies, where its values lie in q; and how a key is added to what it sees.</summary>
    private readonly record struct QueryOfHead(int Start, int At, int Head, int Query, Action<int, double> Add);

    private static double[] EachQuery(Sizes s, IReadOnlyDictionary<string, float[]> x, Action<QueryOfHead> see)
    {
        (float[] q, float[] k, float[] v) = (x["q"], Joined(s, x, "k"), Joined(s, x, "v"));
        (int dk, int dv, int all) = (s.KeyWidth, s.ValueWidth, k.Length / s.Batch / s.KeyHeads / s.KeyWidth);
        float scale = SoftmaxScale(s);
        var o = new double[s.Batch * s.Time * s.Heads * dv];
        Parallel.For(0, s.Batch * s.Time * s.Heads, index =>
        {
            (int head, int row) = (index % s.Heads, index / s.Heads);
            int start = row / s.Time * all, keyHead = head / (s.Heads / s.KeyHeads);
            var sum = new double[dv];
            double total = 0;
            see(new QueryOfHead(start, start + all - s.Time + (row % s.Time), head, index * dk, (at, bias) =>
            {
                int key = (at * s.KeyHeads) + keyHead;
                double score = 0;
                for (int i = 0; i < dk; i++)
                {
                    score += (double)q[(index * dk) + i] * k[(key * dk) + i];
                }

                double weight = Math.Exp((scale * score) + bias);
                total += weight;
                for (int j = 0; j < dv; j++)
                {
                    sum[j] += weight * v[(key * dv) + j];
                }
            }));
            for (int j = 0; j < dv; j++)
            {
                o[(index * dv) + j] = sum[j] / total;
            }
        });
        return o;
    }
}
