namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// Rotary positions (Su et al., arXiv 2104.09864): in each head of <paramref name="headDim"/> columns of <paramref name="x"/>
    /// [B,T,heads headDim], the pair (i, i + r/2) turns by the angle p theta^(-2i/r), where p is the token's position - the first
    /// token's is <paramref name="position"/> - and r = <paramref name="rotary"/> the columns that turn (0: all); the other columns
    /// pass. Halves, not neighbours, are paired, as in Llama and GPT-NeoX. With a <paramref name="period"/>, positions count from 0 again
    /// after so many. With a <paramref name="scaling"/>, the angles are those of a context that was made longer.
    /// </summary>
    public static Tensor Rope(Tensor x, int headDim, long position, float theta, int rotary = 0, int period = 0, in RopeScaling scaling = default)
    {
        rotary = rotary == 0 ? headDim : rotary;
        Require(x.Shape.Rank == 3 && headDim > 0 && x.Shape.Columns % headDim == 0, "Rope", x);
        if (rotary < 2 || rotary > headDim || rotary % 2 != 0 || position < 0 || period < 0 || !(theta > 0))
        {
            throw new ArgumentException($"rotary positions need an even number of columns up to {headDim}, a position from 0 and a positive theta, not {rotary}, {position} and {theta}");
        }

        var options = new RopeOptions(headDim, rotary, theta, position, period, scaling);
        Tape tape = TapeOf(x);
        Tensor y = tape.Empty(x.Shape);
        tape.Device.Rope(x, options, inverse: false, y, accumulate: false);
        if (Records(tape, x))
        {
            RopeNode node = tape.Record<RopeNode>(y);
            (node.X, node.Options) = (x, options);
        }

        return y;
    }

    private sealed class RopeNode : Node
    {
        internal Tensor X = null!;
        internal RopeOptions Options;

        // A rotation's transpose is its inverse (with a scaling's amplitude, which stays).
        internal override void Backward(Tape tape)
        {
            GradTarget dx = GradTarget.Of(X, tape);
            tape.Device.Rope(Output.GradToRead!, Options, inverse: true, dx.Tensor!, dx.Accumulate);
        }
    }

    /// <summary>
    /// Causal softmax attention (Vaswani et al., arXiv 1706.03762) with grouped queries (arXiv 2305.13245): head h of
    /// <paramref name="q"/> [B,T,H d] reads head h / (H / H_kv) of <paramref name="k"/> [B,T,H_kv d] and <paramref name="v"/>
    /// [B,T,H_kv d_v]. The query at position p sees the keys at positions up to p, with a window only those from p - window + 1 on: those of
    /// <paramref name="past"/>, which end before <paramref name="position"/>, and then the sequence's own, which begin there.
    /// <paramref name="bias"/> lowers the scores of keys farther back.
    /// No T x T matrix is ever held (FlashAttention, arXiv 2205.14135). The operands may be columns of wider tensors.
    /// </summary>
    /// <returns>softmax(scale q k^T + bias) v of each head, [B,T,H d_v].</returns>
    public static Tensor Attention(Tensor q, Tensor k, Tensor v, in AttentionPast past, in AttentionOptions options, long position, in AttentionBias bias = default)
    {
        CheckAttention(q, k, v, past, options, position);
        (int heads, Tensor? forget) = (options.Heads, bias.LogForget);
        Require(options.LocalHeads is >= 0 && options.LocalHeads <= heads && (bias.Slopes is null || bias.Slopes.Shape == new Shape(heads)), "Attention", q, bias.Slopes);
        Require(forget is null || forget.Shape == q.Shape.With(^1, heads), "Attention", q, forget);
        if (past.Length > 0)
        {
            Require((forget is null) == (past.LogForget is null) && (forget is null || past.LogForget!.Shape == past.Keys!.Shape.With(^1, heads)), "Attention", q, past.LogForget);
        }

        Tape tape = TapeOf(q, k, v);
        Tensor y = tape.Empty(q.Shape.With(^1, heads * options.ValueDim));
        bool records = Records(tape, q, k, v, forget, past.Keys, past.Values) || (past.LogForget is { } log && Records(tape, log));
        Tensor? logSums = records ? tape.Empty(new Shape(q.Shape[0], heads, q.Shape[1])) : null;
        var operands = new AttentionOperands(q, k, v, past, bias, options, position);
        tape.Device.Attention(operands, y, logSums);
        if (records)
        {
            AttentionNode node = tape.Record<AttentionNode>(y);
            (node.Operands, node.LogSums) = (operands, logSums!);
        }

        return y;
    }

    // What all kinds of attention ask of their operands.
    private static void CheckAttention(Tensor q, Tensor k, Tensor? v, in AttentionPast past, in AttentionOptions options, long position)
    {
        (int heads, int keyHeads) = (options.Heads, options.KeyHeads);
        Require(q.Shape.Rank == 3 && keyHeads > 0 && heads % keyHeads == 0 && options.Window >= 0 && q.Shape.Columns == heads * options.HeadDim
            && k.Shape == q.Shape.With(^1, keyHeads * options.HeadDim) && (v is null || v.Shape == q.Shape.With(^1, keyHeads * options.ValueDim)), "Attention", q, k, v);
        if (past.Length > 0)
        {
            int rows = past.Keys!.Shape[1];
            Require(past.Keys.Shape == k.Shape.With(1, rows) && (v is null || past.Values!.Shape == v.Shape.With(1, rows)), "Attention", k, past.Keys, past.Values);
        }

        int room = past.Length > 0 ? past.Keys!.Shape[1] : 0;
        if (past.Length < 0 || past.Length > room || past.Start < 0 || past.Start > room || position < past.Length)
        {
            throw new ArgumentException($"a past of {past.Length} tokens from row {past.Start} of {room} does not end before position {position}", nameof(past));
        }
    }

    private sealed class AttentionNode : Node
    {
        internal AttentionOperands Operands;
        internal Tensor LogSums = null!;

        internal override void Backward(Tape tape)
        {
            (Tensor? forget, AttentionPast past) = (Operands.Bias.LogForget, Operands.Past);
            var gradients = new AttentionGradients(
                GradTarget.Of(Operands.Q, tape), GradTarget.Of(Operands.K, tape), GradTarget.Of(Operands.V, tape), forget is null ? default : GradTarget.Of(forget, tape),
                Cleared(past.Keys, tape), Cleared(past.Values, tape), Cleared(past.LogForget, tape));
            tape.Device.AttentionBackward(Operands, Output, LogSums, Output.GradToRead!, gradients);
        }
    }

    // Only rows of a past that a query saw get a gradient: the kernel adds to those and leaves the others alone.
    private static Tensor? Cleared(Tensor? past, Tape tape)
    {
        bool fresh = false;
        Tensor? gradient = past?.GradToWrite(tape, out fresh);
        if (gradient is not null && fresh)
        {
            tape.Device.Fill(gradient, 0);
        }

        return gradient;
    }

    /// <summary>
    /// Copies <paramref name="count"/> tokens' rows from one tensor [B,T,W] to another [B,T',W]: what keeps a cache. Not recorded on a
    /// tape: gradients do not pass.
    /// </summary>
    public static void CopyTokens(Tensor source, int sourceStart, Tensor destination, int destinationStart, int count)
    {
        (Shape from, Shape to) = (source.Shape, destination.Shape);
        Require(from.Rank == 3 && from == to.With(1, from[1]), "CopyTokens", source, destination);
        if (count < 0 || sourceStart < 0 || sourceStart > from[1] - count || destinationStart < 0 || destinationStart > to[1] - count)
        {
            throw new ArgumentOutOfRangeException(nameof(count), $"{count} tokens from row {sourceStart} of {from} to row {destinationStart} of {to}");
        }

        Boxes.Copy(source, Boxes.Part(source, 1, sourceStart), destination, Boxes.Part(destination, 1, destinationStart), from.With(1, count), false);
    }
}

/// <summary>The sizes of attention and who sees whom; see <see cref="Ops.Attention"/>.</summary>
/// <param name="Heads">The heads of queries, H.</param>
/// <param name="KeyHeads">The heads of keys and values, H_kv, which divides H: each serves H / H_kv heads of queries.</param>
/// <param name="HeadDim">The columns of a head of queries or keys, d.</param>
/// <param name="Scale">What scores are multiplied by, as a rule 1 / sqrt(d).</param>
/// <param name="Window">How many keys a query sees, its own the last; 0 for all.</param>
public readonly record struct AttentionOptions(int Heads, int KeyHeads, int HeadDim, float Scale, int Window)
{
    /// <summary>The columns of a head of values, d_v; d unless told.</summary>
    public int ValueDim { get; init; } = HeadDim;

    /// <summary>
    /// How many heads have a window of their own: head h of them sees the last h + 1 keys, the others what <see cref="Window"/> shows
    /// (Hard-ALiBi; Jelassi et al., "Repeat After Me", arXiv 2402.01032, section 3.1).
    /// </summary>
    public int LocalHeads { get; init; }

    /// <summary>How many keys a query of one head sees; 0 for all.</summary>
    public int HeadWindow(int head) => head >= LocalHeads ? Window : Window == 0 ? head + 1 : Math.Min(Window, head + 1);

    /// <summary>
    /// The pairs (query, visible key) of all heads when <paramref name="tokens"/> queries follow <paramref name="past"/> remembered
    /// tokens: for each head the sum of min(past + i, window) over i = 1 .. tokens.
    /// </summary>
    public long Pairs(long tokens, long past)
    {
        long pairs = (Heads - LocalHeads) * OfHead(Window);
        for (int head = 0; head < LocalHeads; head++)
        {
            pairs += OfHead(HeadWindow(head));
        }

        return pairs;

        long OfHead(long window)
        {
            window = window == 0 ? long.MaxValue : window;
            long partial = Math.Clamp(window - past, 0, tokens); // the first queries see all there is; the others a whole window
            return (partial * past) + (partial * (partial + 1) / 2) + (partial == tokens ? 0 : (tokens - partial) * window);
        }
    }

    /// <summary>
    /// The forward FLOPs of one sequence: two products, q k^T and p v, over the visible pairs of every head. The backward pass counts
    /// five such products against the forward's two.
    /// </summary>
    public long Flops(long tokens, long past) => 2 * Pairs(tokens, past) * (HeadDim + ValueDim);
}

/// <summary>
/// The keys and values of earlier tokens: <paramref name="Length"/> rows of tensors [B, capacity, columns], the oldest in row
/// <paramref name="Start"/>, going on in row 0 after the last one. The default is an empty past.
/// </summary>
/// <param name="Keys">The keys, as they entered attention (rotated): H_kv d columns.</param>
/// <param name="Values">The values: H_kv d_v columns.</param>
/// <param name="Start">The row of the oldest token.</param>
/// <param name="Length">The tokens remembered.</param>
/// <param name="LogForget">The log forget gates, H columns, where attention has them.</param>
public readonly record struct AttentionPast(Tensor? Keys, Tensor? Values, int Start, int Length, Tensor? LogForget = null);

/// <summary>What is added to attention's scores: c_t - c_s for the query at t and the key at s, where c is a sum along positions.</summary>
/// <param name="Slopes">
/// ALiBi (Press et al., arXiv 2108.12409): [H], each head's loss of score per position, -slope (t - s). No gradient passes to it.
/// </param>
/// <param name="LogForget">
/// Forget gates (Lin et al., arXiv 2503.02130): log f [B,T,H], each token's and head's; the score loses log f of the tokens s + 1 .. t.
/// </param>
public readonly record struct AttentionBias(Tensor? Slopes = null, Tensor? LogForget = null);

/// <summary>All that <see cref="Ops.Attention"/> reads.</summary>
internal readonly record struct AttentionOperands(Tensor Q, Tensor K, Tensor V, AttentionPast Past, AttentionBias Bias, AttentionOptions Options, long Position);

/// <summary>What <see cref="Device.Rope"/> needs to know; see <see cref="Ops.Rope"/>.</summary>
internal readonly record struct RopeOptions(int HeadDim, int Rotary, float Theta, long Position, int Period, RopeScaling Scaling);

/// <summary>Where the gradients of <see cref="Ops.Attention"/> go; a past's are added to what is there.</summary>
internal readonly record struct AttentionGradients(
    GradTarget Q, GradTarget K, GradTarget V, GradTarget LogForget, Tensor? PastKeys, Tensor? PastValues, Tensor? PastLogForget);
