using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// Mamba-3's recurrence (Lahoti et al., arXiv 2603.15569): the trapezoid rule, with keys and queries that turn by angles from the data,
/// and R of them a token. For each head, with the step dt, the log decay a, and lambda from 0 (Euler's rule, late) to 1,
/// <code>
/// theta_t = theta_{t-1} + dt_t rate_t                                    turns, a pair of columns each
/// k_t = turn(B_t + bias_B, theta_t),  q_t = turn(C_t + bias_C, theta_t)
/// h_t = e^{a_t} (h_{t-1} + (1 - lambda_t) dt_t k_{t-1} v_{t-1}^T) + lambda_t dt_t k_t v_t^T
/// y_t = h_t^T q_t + D v_t
/// </code>
/// With R &gt; 1 (MIMO) a token has R keys, queries and outputs, and values v_{t,r} = up_r * x_t; k v^T is then a sum over them, and each
/// query reads it.
/// <para>
/// The fast form splits h_t = u_t + lambda_t dt_t k_t v_t^T. What u_t adds to e^{a_t} u_{t-1} are the last token's pairs, with the gate
/// e^{a_t} (lambda_{t-1} dt_{t-1} + (1 - lambda_t) dt_t): so u is one scalar decay over keys and values that come a token late. The token's
/// own part of the output needs q_t . k_t only, in which the turns cancel: (C + bias_C) . (B + bias_B).
/// </para>
/// </summary>
/// <remarks>
/// Shapes: <see cref="TrapezoidInputs"/>; y [B,T R,H P], a token's rows following each other; state: <see cref="TrapezoidState"/>.
/// </remarks>
public static class Trapezoid
{
    /// <summary>The definition, token by token in plain operations (but for the angles' sum): for tests and for reading.</summary>
    public static (Tensor Y, TrapezoidState Final) Scan(TrapezoidInputs x, TrapezoidState initial)
    {
        Tape tape = x.X.Tape!;
        int batch = x.X.Shape[0], time = x.X.Shape[1], heads = x.Heads, n = x.BiasB.Shape[2], p = x.ValueWidth, rank = x.Rank, pairs = x.Rate.Shape.Columns;
        Shape perHead = new(batch, heads, 1, 1), keys = new(batch, heads, rank, n), values = new(batch, heads, rank, p);
        Tensor k = Definitions.Start(initial.K, tape, new Shape(batch, rank, heads, n)), v = Values(x.Up, Definitions.Start(initial.V, tape, new Shape(batch, 1, heads, p)));
        k = Ops.Transpose(k.Reshape(new Shape(batch, rank, heads, n)), 1, 2);
        Tensor gamma = Definitions.Start(initial.Gamma, tape, new Shape(batch, 1, heads)).Reshape(perHead);
        Tensor h = Ops.Add(Definitions.Start(initial.U, tape, new Shape(batch, heads, n, p)), Written(gamma));
        Tensor? angle = initial.Angle, xt = null, u = null;
        var outputs = new List<Tensor>(time);
        for (int t = 0; t < time; t++)
        {
            (Tensor turns, angle) = Ops.AccumulateTurns(Ops.Slice(x.Rate, 1, t, 1), Ops.Slice(x.Dt, 1, t, 1), angle);
            Tensor dt = Definitions.At(x.Dt, t, perHead), lambda = Definitions.At(x.Lambda, t, perHead);
            gamma = Ops.Multiply(lambda, dt);
            u = Ops.Multiply(Ops.Exp(Definitions.At(x.LogDecay, t, perHead)), Ops.Add(h, Written(Ops.Subtract(dt, gamma))));

            k = Turned(x.B, x.BiasB);
            Tensor q = Turned(x.C, x.BiasC);
            xt = Definitions.At(x.X, t, new Shape(batch, 1, heads, p));
            v = Values(x.Up, xt);
            h = Ops.Add(u, Written(gamma));
            Tensor y = Ops.Add(Ops.MatMul(q, h), Ops.Multiply(v, x.Skip.Reshape(new Shape(1, heads, 1, 1))));
            outputs.Add(Ops.Transpose(y, 1, 2).Reshape(new Shape(batch, rank, heads * p)));

            Tensor Turned(Tensor shared, Tensor bias)
            {
                Tensor all = Ops.Add(Definitions.At(shared, t, new Shape(batch, 1, rank, n)), bias.Reshape(new Shape(1, heads, rank, n)));
                Tensor each = turns.Reshape(new Shape(batch, heads, 1, 2 * pairs));
                Tensor cos = each.Columns(0, pairs), sin = each.Columns(pairs, pairs), first = all.Columns(0, pairs), second = all.Columns(pairs, pairs);
                Tensor result = Ops.Concat(Ops.Subtract(Ops.Multiply(first, cos), Ops.Multiply(second, sin)), Ops.Add(Ops.Multiply(first, sin), Ops.Multiply(second, cos)), 3);
                return 2 * pairs == n ? result : Ops.Concat(result, all.Columns(2 * pairs, n - (2 * pairs)), 3);
            }
        }

        return (Definitions.Join(outputs), new TrapezoidState(u, Ops.Transpose(k, 1, 2).Reshape(new Shape(batch, rank, heads * n)),
            xt!.Reshape(new Shape(batch, 1, heads * p)), gamma.Reshape(new Shape(batch, 1, heads)), angle!));

        // gate k v^T, over the rank.
        Tensor Written(Tensor gate) => Ops.Multiply(Ops.MatMul(k.Reshape(keys), v.Reshape(values), transposeA: true), gate);

        Tensor Values(Tensor? up, Tensor one)
        {
            one = one.Reshape(new Shape(batch, heads, 1, p));
            return up is null ? one : Ops.Multiply(one, up.Reshape(new Shape(1, heads, rank, p)));
        }
    }

    /// <summary>The same in chunks of <paramref name="chunk"/> tokens: what the mixer uses.</summary>
    /// <returns>y and the state after the last token; the states given are overwritten when the tape does not record.</returns>
    public static (Tensor Y, TrapezoidState Final) Chunked(in TrapezoidInputs x, in TrapezoidState initial, int chunk = 64)
    {
        (int batch, int time, int heads, int rank, Shape values) = (x.X.Shape[0], x.X.Shape[1], x.Heads, x.Rank, x.X.Shape.With(1, x.X.Shape[1] * x.Rank));
        (Tensor turns, Tensor angle) = Ops.AccumulateTurns(x.Rate, x.Dt, initial.Angle);
        Tensor q = Ops.TurnHeads(x.C, x.BiasC, turns);
        (Tensor k, Tensor lastK) = Ops.TurnHeadsLater(x.B, x.BiasB, turns, initial.K);
        (Tensor v, Tensor lastV) = Ops.Later(x.X, initial.V);
        Tensor own = Ops.Multiply(x.Lambda, x.Dt);
        (Tensor late, Tensor gamma) = Ops.Later(own, initial.Gamma);
        Tensor gate = Ops.Multiply(Ops.Exp(x.LogDecay), Ops.Add(late, Ops.Subtract(x.Dt, own)));

        // Values of R rows a token, r's times up_r, which has a row [H P] for each r.
        Shape rows = new(batch, time, rank, heads * x.ValueWidth);
        Tensor? up = x.Up is null ? null : Ops.Transpose(Ops.Copy(x.Up, x.X.Tape!), 0, 1).Reshape(new Shape(1, 1, rank, rows.Columns));
        v = up is null ? v : Ops.Multiply(v.Reshape(rows.With(2, 1)), up).Reshape(values);
        (Tensor y, Tensor u) = ScalarDecay.Chunked(q, k, v, x.LogDecay, gate, skip: null, initial.U, heads, chunk: chunk, rank: rank);

        Tensor skip = Ops.Copy(x.Skip, x.X.Tape!), scores = Ops.Multiply(Scores(x), own.Reshape(new Shape(batch * time, 1, heads, 1)));
        if (up is null)
        {
            y = Ops.AddHeads(y, x.X, Ops.Add(scores.Reshape(own.Shape), skip.Reshape(new Shape(1, 1, heads))));
        }
        else
        {
            // sum over s of scores[r,s] up_s, plus D up_r, times x.
            Tensor factor = Ops.BlockLinear(scores.Reshape(new Shape(batch, time * rank, heads * rank)), x.Up!).Reshape(rows);
            Tensor direct = Ops.Multiply(up.Reshape(new Shape(1, rank, heads, x.ValueWidth)), skip.Reshape(new Shape(1, 1, heads, 1)));
            factor = Ops.Add(factor, direct.Reshape(new Shape(1, 1, rank, rows.Columns)));
            y = Ops.Add(y, Ops.Multiply(factor, Ops.Affine(x.X, 1).Reshape(rows.With(2, 1))).Reshape(values));
        }

        return (y, new TrapezoidState(u, lastK, lastV, gamma, angle));
    }

    /// <summary>q_{t,r} . k_{t,s} of each head, [B T,R,H,R]: C . B, C . bias_B, bias_C . B and bias_C . bias_B.</summary>
    private static Tensor Scores(in TrapezoidInputs x)
    {
        int tokens = x.X.Shape[0] * x.X.Shape[1], heads = x.Heads, rank = x.Rank, n = x.BiasB.Shape[2];
        Shape each = new(tokens, rank, n), all = new(tokens, rank, heads, rank), flat = new(heads * rank, n);
        Tensor c = x.C.Reshape(each), b = x.B.Reshape(each), onB = Ops.Copy(x.BiasB, x.X.Tape!), onC = Ops.Copy(x.BiasC, x.X.Tape!);
        Tensor shared = Ops.MatMul(c, b, transposeB: true).Reshape(new Shape(tokens, rank, 1, rank));
        Tensor biasB = Ops.Linear(c, onB.Reshape(flat)).Reshape(all);
        Tensor biasC = Ops.Transpose(Ops.Linear(b, onC.Reshape(flat)).Reshape(all), 1, 3);
        Tensor both = Ops.Multiply(onC.Reshape(new Shape(heads, rank, 1, n)), onB.Reshape(new Shape(heads, 1, rank, n)));
        both = Ops.Transpose(Ops.SumTo(both, new Shape(heads, rank, rank, 1)).Reshape(new Shape(heads, rank, rank)), 0, 1);
        return Ops.Add(Ops.Add(biasB, biasC), Ops.Add(shared, both.Reshape(new Shape(1, rank, heads, rank))));
    }

    /// <summary>The forward FLOPs of <see cref="Chunked"/> on <paramref name="tokens"/> tokens of one sequence, as the kernels count them.</summary>
    public static long Flops(long tokens, int heads, int keyWidth, int valueWidth, int pairs, int rank, int chunk) =>
        ScalarDecay.Flops(tokens, heads, heads, keyWidth, valueWidth, chunk, rank) + Ops.AccumulateTurnsFlops(tokens, heads, pairs)
            + (2 * tokens * rank * rank * keyWidth * (1 + (2 * heads))) + (rank == 1 ? 0 : 2 * tokens * heads * rank * rank * valueWidth);
}

/// <summary>What <see cref="Trapezoid"/> takes; those over time may be column views where it says so.</summary>
/// <param name="B">B [B,T,R N], shared by the heads, contiguous.</param>
/// <param name="C">C [B,T,R N], contiguous.</param>
/// <param name="BiasB">bias_B [H,R,N].</param>
/// <param name="BiasC">bias_C [H,R,N].</param>
/// <param name="X">x [B,T,H P], may be a column view.</param>
/// <param name="Up">What x is multiplied by to give the R values [H,R,P]; null for R = 1 and ones.</param>
/// <param name="Rate">Turns for each unit of dt [B,T,S], S at most N / 2.</param>
/// <param name="Dt">dt [B,T,H].</param>
/// <param name="LogDecay">a [B,T,H].</param>
/// <param name="Lambda">lambda [B,T,H].</param>
/// <param name="Skip">D [H].</param>
public readonly record struct TrapezoidInputs(
    Tensor B, Tensor C, Tensor BiasB, Tensor BiasC, Tensor X, Tensor? Up, Tensor Rate, Tensor Dt, Tensor LogDecay, Tensor Lambda, Tensor Skip)
{
    internal int Heads => Dt.Shape.Columns;

    internal int Rank => BiasB.Shape[1];

    internal int ValueWidth => X.Shape.Columns / Heads;
}

/// <summary>The state of <see cref="Trapezoid"/>; nulls before the first token.</summary>
/// <param name="U">u = h - lambda dt k v^T [B,H,N,P]: what the tokens before the last one left, decayed.</param>
/// <param name="K">The last token's keys [B,R,H N], turned.</param>
/// <param name="V">The last token's x [B,1,H P].</param>
/// <param name="Gamma">The last token's lambda dt [B,1,H].</param>
/// <param name="Angle">The angles, in turns, as the sum of two parts [B,2,H,S]: see <see cref="Ops.AccumulateTurns"/>.</param>
public readonly record struct TrapezoidState(Tensor? U, Tensor? K, Tensor? V, Tensor? Gamma, Tensor? Angle);
