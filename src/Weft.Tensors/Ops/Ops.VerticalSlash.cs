namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// Chooses the columns and diagonals that the queries of vertical-slash attention see; see <see cref="VerticalSlash"/>. The tokens of
    /// <paramref name="q"/> [B,T,H d] and <paramref name="k"/> [B,T,H_kv d] follow <paramref name="past"/>, which holds all earlier ones.
    /// <paramref name="lastQueries"/> [B,last,H d] keeps the query of position p in row p mod last, <paramref name="inForce"/>
    /// [B,1,H,vertical + slash] the choice for the tile in which the tokens begin. Not recorded on a tape: gradients do not pass.
    /// </summary>
    /// <returns>
    /// The choices for the tiles that the tokens touch and for the tile of the token after them, [B,tiles,H,vertical + slash]; and the last
    /// queries and the choice in force after the tokens, which overwrite those before unless the tape records.
    /// </returns>
    public static (Tensor Choices, Tensor LastQueries, Tensor InForce) ChooseVerticalSlash(Tensor q, Tensor k, in AttentionPast past, Tensor? lastQueries, Tensor? inForce,
        in AttentionOptions options, in VerticalSlash pattern, long position)
    {
        (int batch, int tokens, int heads) = (q.Shape[0], q.Shape[1], options.Heads);
        CheckAttention(q, k, null, past, options, position);
        Shape queryShape = q.Shape.With(1, pattern.Last), choiceShape = new(batch, 1, heads, pattern.Vertical + pattern.Slash);
        Require(past.Length == position && (lastQueries is null || lastQueries.Shape == queryShape) && (inForce is null || inForce.Shape == choiceShape), "ChooseVerticalSlash", q, lastQueries, inForce);
        if (position + tokens > VerticalSlash.MostTokens)
        {
            throw new InputException($"a sequence of {position} tokens cannot grow by {tokens}: vertical-slash attention counts to {VerticalSlash.MostTokens}");
        }

        Tape tape = TapeOf(q, k);
        int tiles = (int)(((position + tokens) / pattern.Tile) - (position / pattern.Tile)) + 1;
        Tensor choices = tape.Empty(choiceShape.With(1, tiles));
        tape.Device.ChooseVerticalSlash(new AttentionOperands(q, k, k, past, default, options, position), pattern, lastQueries, inForce, choices);

        Tensor nextQueries = Kept(lastQueries, queryShape), next = Kept(inForce, choiceShape);
        for (int count, from = Math.Max(0, tokens - pattern.Last); from < tokens; from += count)
        {
            int row = (int)((position + from) % pattern.Last);
            count = Math.Min(tokens - from, pattern.Last - row);
            CopyTokens(q, from, nextQueries, row, count);
        }

        Boxes.Copy(choices, Boxes.Part(choices, 1, tiles - 1), next, Boxes.Whole(next), choiceShape, false);
        return (choices, nextQueries, next);

        Tensor Kept(Tensor? before, Shape shape)
        {
            if (before is not null && !tape.Recording)
            {
                return before;
            }

            Tensor fresh = tape.Empty(shape);
            if (before is null)
            {
                tape.Device.Fill(fresh, 0);
            }
            else
            {
                Boxes.Copy(before, Boxes.Whole(before), fresh, Boxes.Whole(fresh), shape, false);
            }

            return fresh;
        }
    }

    /// <summary>
    /// Causal softmax attention as <see cref="Attention"/>, but each head sees only some columns and diagonals of the matrix of scores:
    /// those of <paramref name="choices"/>, from <see cref="ChooseVerticalSlash"/>. <paramref name="past"/> holds all earlier tokens. Gradients pass
    /// through the pairs seen; the choice is a constant.
    /// </summary>
    /// <returns>[B,T,H d_v].</returns>
    public static Tensor VerticalSlashAttention(Tensor q, Tensor k, Tensor v, in AttentionPast past, Tensor choices, in AttentionOptions options, in VerticalSlash pattern, long position)
    {
        CheckAttention(q, k, v, past, options, position);
        (int batch, int tokens, int heads) = (q.Shape[0], q.Shape[1], options.Heads);
        int tiles = (int)(((position + tokens) / pattern.Tile) - (position / pattern.Tile)) + 1;
        Require(options.Window == 0 && options.LocalHeads == 0 && past.Length == position && choices.Shape == new Shape(batch, tiles, heads, pattern.Vertical + pattern.Slash), "VerticalSlashAttention", q, k, choices);
        Tape tape = TapeOf(q, k, v);
        Tensor y = tape.Empty(q.Shape.With(^1, heads * options.ValueDim));
        bool records = Records(tape, q, k, v, past.Keys, past.Values);
        Tensor? logSums = records ? tape.Empty(new Shape(batch, heads, tokens)) : null;
        var operands = new AttentionOperands(q, k, v, past, default, options, position);
        tape.Device.VerticalSlashAttention(operands, pattern, choices, y, logSums);
        if (records)
        {
            VerticalSlashNode node = tape.Record<VerticalSlashNode>(y);
            (node.Operands, node.Pattern, node.Choices, node.LogSums) = (operands, pattern, choices, logSums!);
        }

        return y;
    }

    private sealed class VerticalSlashNode : Node
    {
        internal AttentionOperands Operands;
        internal VerticalSlash Pattern;
        internal Tensor Choices = null!, LogSums = null!;

        internal override void Backward(Tape tape)
        {
            var gradients = new AttentionGradients(GradTarget.Of(Operands.Q, tape), GradTarget.Of(Operands.K, tape), GradTarget.Of(Operands.V, tape), default,
                Cleared(Operands.Past.Keys, tape), Cleared(Operands.Past.Values, tape), null);
            tape.Device.VerticalSlashAttentionBackward(Operands, Pattern, Choices, Output, LogSums, Output.GradToRead!, gradients);
        }
    }
}

/// <summary>
/// Which keys a query of vertical-slash attention sees: columns (keys, whatever the query) and diagonals (distances from the query). Positions are
/// cut into tiles at multiples of <paramref name="Tile"/>; all queries of a tile and head see the same columns and diagonals, which the
/// <paramref name="Last"/> queries before the tile chose: those whose probabilities, under full attention, sum to the most. The first
/// <see cref="Sinks"/> columns and the first <see cref="Near"/> diagonals are always among them. The first tile, before which there is no query,
/// has the first columns and the first diagonals.
/// </summary>
/// <param name="Vertical">The columns seen.</param>
/// <param name="Slash">The diagonals seen.</param>
/// <param name="Tile">The positions of a tile: up to 64, or a multiple of 64.</param>
/// <param name="Last">The queries that choose, at most a tile's.</param>
public readonly record struct VerticalSlash(int Vertical, int Slash, int Tile, int Last)
{
    /// <summary>The longest sequence: columns are kept as float32, which holds integers up to here.</summary>
    public const long MostTokens = 1L << 24;

    /// <summary>The first columns, always seen.</summary>
    public int Sinks => Math.Min(4, Vertical);

    /// <summary>The nearest diagonals, the query's own key among them, always seen.</summary>
    public int Near => Math.Min(64, (Slash + 1) / 2);

    /// <summary>The columns that a tile starting at a position has.</summary>
    public int Columns(long start) => start == 0 ? Vertical : (int)Math.Min(Vertical, start);

    /// <summary>The diagonals that a tile starting at a position has.</summary>
    public int Diagonals(long start) => start == 0 ? Slash : (int)Math.Min(Slash, start);

    /// <summary>Whether the tile starting at a position leaves anything out, so that there is something to choose.</summary>
    public bool Chooses(long start) => start > Vertical || start > Slash;

    /// <summary>
    /// The products of a query and a key of one head when <paramref name="tokens"/> queries follow <paramref name="past"/> tokens. A key that lies
    /// in a column and on a diagonal takes two, and counts as seen once.
    /// </summary>
    public long Pairs(long tokens, long past)
    {
        long pairs = 0;
        for (long next, p = past; p < past + tokens; p = next)
        {
            long start = p / Tile * Tile;
            next = Math.Min(past + tokens, start + Tile);
            pairs += start == 0 ? Within(next, Vertical) - Within(p, Vertical) + Within(next, Slash) - Within(p, Slash)
                : (next - p) * (Columns(start) + Diagonals(start));
        }

        return pairs;

        // The sum of min(budget, i) over i = 1 .. n.
        static long Within(long n, long budget) => n <= budget ? n * (n + 1) / 2 : (budget * (budget + 1) / 2) + ((n - budget) * budget);
    }

    /// <summary>
    /// The forward FLOPs of one sequence: q k^T and p v over <see cref="Pairs"/>, and at each tile's end the scores of the queries that choose
    /// with all keys, twice: for the sums of their softmax, then for the sums of columns and diagonals.
    /// </summary>
    public long Flops(in AttentionOptions options, long tokens, long past) =>
        (2L * options.Heads * Pairs(tokens, past) * (options.HeadDim + options.ValueDim)) + ChoiceFlops(options, tokens, past);

    /// <summary>The part of <see cref="Flops"/> that choosing takes.</summary>
    public long ChoiceFlops(in AttentionOptions options, long tokens, long past)
    {
        long pairs = 0;
        for (long start = ((past / Tile) + 1) * Tile; start <= past + tokens; start += Tile)
        {
            pairs += Chooses(start) ? (Last * (start - Last)) + (Last * (Last + 1L) / 2) : 0;
        }

        return 4L * options.Heads * options.HeadDim * pairs;
    }
}
