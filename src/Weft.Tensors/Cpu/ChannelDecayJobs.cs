namespace Weft.Tensors.Cpu;

/// <summary>Goes along a head's chunks, leaving the state before each and, at the end, the state after the last; short chunks are computed wholly.</summary>
internal unsafe struct ChannelStatesJob : IWideJob
{
    public ChannelDecayPlan P;

    public static long Work(in ChannelDecayPlan p) => ((3L * p.Square) + 1) * p.Ld;

    public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
    {
        int size = P.StateSize, head = index % P.Heads, ld = P.Ld, dk = P.Dk, dv = P.Dv;
        float* at = P.WorkOf(worker), g = P.Take(ref at, ld), rows = P.Take(ref at, ld), factors = P.Take(ref at, ld), whole = at;
        float* final = P.State + ((long)index * size), before = final;
        if (P.Slots > 0)
        {
            before = P.StateBefore(index, P.First);
            Simd.Copy(1, size, final, size, before, size);
        }

        for (int chunk = P.First; chunk < P.End; chunk++)
        {
            float* after = P.Slots > 0 && chunk + 1 < P.End ? P.StateBefore(index, chunk + 1) : final;
            int n = P.Length(chunk);
            long row = P.Row(index, chunk);
            float* k = P.K[row] + (head * dk), v = P.V[row] + (head * dv);
            DecayedScores.Load(n, P.Width, P.G.From(row, head * P.Width), g);
            if (n < Ops.ChannelDecaySteps)
            {
                if (after != before)
                {
                    Simd.Copy(1, size, before, size, after, size);
                }

                Steps<S, V>(row, head, n, g, after);
            }
            else
            {
                // S_c = decay S_0 + (k decayed to the end)^T v, or k^T (v decayed to the end).
                DecayedScores.ToEnd<S, V>(n, ld, g, factors, whole);
                DecayedScores.Load(n, P.Width, (P.OfValues ? P.V : P.K).From(row, head * P.Width), rows);
                DecayedScores.Multiply<S, V>((long)n * ld, 1, factors, rows, rows);
                if (P.OfValues)
                {
                    SmallGemm.TN(dk, dv, n, k, (nint)P.K.Stride, rows, ld, after, dv, 0);
                    ChannelDecayKernel.AddDecayed<S, V, ValueChannels>(dk, dv, whole, before, after);
                }
                else
                {
                    SmallGemm.TN(dk, dv, n, rows, ld, v, (nint)P.V.Stride, after, dv, 0);
                    ChannelDecayKernel.AddDecayed<S, V, KeyChannels>(dk, dv, whole, before, after);
                }
            }

            before = after;
        }
    }

    private readonly void Steps<S, V>(long row, int head, int n, float* g, float* state) where S : struct, ISimd<V> where V : unmanaged
    {
        int key = head * P.Dk, value = head * P.Dv, ld = P.Ld;
        for (int t = 0; t < n; t++, row++, g += ld)
        {
            float* q = P.Q[row] + key, k = P.K[row] + key, v = P.V[row] + value, o = P.O[row] + value;
            DecayedScores.Exponentials<S, V>(ld, g, g);
            if (P.OfValues)
            {
                ChannelDecayKernel.Step<S, V, ValueChannels>(P.Dk, P.Dv, q, k, v, g, P.Scale, 0, state, o);
            }
            else if (P.Bonus == null)
            {
                ChannelDecayKernel.Step<S, V, KeyChannels>(P.Dk, P.Dv, q, k, v, g, P.Scale, 0, state, o);
            }
            else
            {
                float direct = ChannelDecayKernel.Dot<S, V>(P.Dk, P.Bonus + key, q, k);
                ChannelDecayKernel.Step<S, V, KeyChannelsBefore>(P.Dk, P.Dv, q, k, v, g, P.Scale, direct, state, o);
            }
        }
    }
}

/// <summary>The outputs of one chunk of one head: from within the chunk, and from the state before it.</summary>
internal unsafe struct ChannelOutputsJob : IWideJob
{
    public ChannelDecayPlan P;

    public static long Work(in ChannelDecayPlan p) =>
        (p.Square * ((5L * p.Ld) + p.Square + p.Dk + p.Dv)) + p.Ld + DecayedScores.Scratch(p.Tile, p.Ld);

    public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
    {
        int segment = P.End - P.First, chunk = P.First + (index % segment), sequence = index / segment, n = P.Length(chunk);
        if (n < Ops.ChannelDecaySteps)
        {
            return; // computed with its states
        }

        long row = P.Row(sequence, chunk);
        int head = sequence % P.Heads;
        float* before = P.StateBefore(sequence, chunk), o = P.O[row] + (head * P.Dv);
        if (P.OfValues)
        {
            OfValues<S, V>(row, head, n, before, o, P.WorkOf(worker));
        }
        else
        {
            OfKeys<S, V>(row, head, n, before, o, P.WorkOf(worker));
        }
    }

    // o = scale (decays o q) S_0 + A v with A the decayed scores, on whose diagonal the bonus stands.
    private readonly void OfKeys<S, V>(long row, int head, int n, float* before, float* o, float* at) where S : struct, ISimd<V> where V : unmanaged
    {
        int dk = P.Dk, dv = P.Dv, ld = P.Ld, square = P.Square;
        float* g = P.Take(ref at, ld), q = P.Take(ref at, ld), k = P.Take(ref at, ld), scaled = P.Take(ref at, ld), a = P.Take(ref at, square);
        DecayedScores.Load(n, dk, P.G.From(row, head * dk), g);
        DecayedScores.Load(n, dk, P.Q.From(row, head * dk), q);
        DecayedScores.Load(n, dk, P.K.From(row, head * dk), k);
        ChannelScores.Of<S, V>(P, head, n, g, q, k, a, at);
        DecayedScores.FromStart<S, V>(n, ld, P.Lag, g, scaled);
        DecayedScores.Multiply<S, V>((long)n * ld, P.Scale, scaled, q, scaled);
        SmallGemm.NN(n, dv, dk, scaled, ld, before, dv, o, (nint)P.O.Stride, 0);
        Triangle.Apply(n, dv, a, square, P.V[row] + (head * dv), P.V.Stride, o, P.O.Stride);
    }

    // o = decays o (scale q S_0) + what scale q k^T makes of the decaying values.
    private readonly void OfValues<S, V>(long row, int head, int n, float* before, float* o, float* at) where S : struct, ISimd<V> where V : unmanaged
    {
        int dk = P.Dk, dv = P.Dv, ld = P.Ld, square = P.Square;
        float* g = P.Take(ref at, ld), v = P.Take(ref at, ld), factors = P.Take(ref at, ld), read = P.Take(ref at, ld), a = P.Take(ref at, square), keys = P.Take(ref at, dk);
        float* q = P.Q[row] + (head * dk);
        DecayedScores.Load(n, dv, P.G.From(row, head * dv), g);
        DecayedScores.Load(n, dv, P.V.From(row, head * dv), v);
        ChannelScores.Plain(n, dk, P.Scale, q, P.Q.Stride, P.K[row] + (head * dk), P.K.Stride, a, square, keys);
        Simd.Fill(read, n * ld, 0);
        SmallGemm.NN(n, dv, dk, q, (nint)P.Q.Stride, before, dv, read, ld, 0, P.Scale);
        DecayedScores.FromStart<S, V>(n, ld, 0, g, factors);
        DecayedScores.Multiply<S, V>((long)n * ld, 1, factors, read, read);
        DecayedScores.Gradients<S, V>(n, ld, 0, 1, g, v, v, a, square, read, null, null, at);
        DecayedScores.Store(n, dv, read, new Strided(o, P.O.Stride));
    }
}

/// <summary>Goes back along a head's chunks, leaving the gradient of the state after each and, at the end, of the state before the first.</summary>
internal unsafe struct ChannelStateGradsJob : IWideJob
{
    public ChannelDecayPlan P;

    public static long Work(in ChannelDecayPlan p) => ((3L * p.Square) + 1) * p.Ld;

    // dS before = decay dS after + sum_i scale (q_i decayed from the start) do_i^T, or q_i (do_i decayed from the start)^T
    public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
    {
        int size = P.StateSize, head = index % P.Heads, ld = P.Ld, dk = P.Dk, dv = P.Dv;
        float* at = P.WorkOf(worker), g = P.Take(ref at, ld), rows = P.Take(ref at, ld), factors = P.Take(ref at, ld), whole = at;
        float* carried = P.DState + ((long)index * size);
        for (int chunk = P.End - 1; chunk >= P.First; chunk--)
        {
            float* after = P.GradAfter(index, chunk);
            Simd.Copy(1, size, carried, size, after, size);
            if (chunk == 0 && !P.ToInitial)
            {
                return;
            }

            int n = P.Length(chunk);
            long row = P.Row(index, chunk);
            float* q = P.Q[row] + (head * dk), dO = P.DO[row] + (head * dv);
            DecayedScores.Load(n, P.Width, P.G.From(row, head * P.Width), g);
            DecayedScores.Load(n, P.Width, (P.OfValues ? P.DO : P.Q).From(row, head * P.Width), rows);
            DecayedScores.FromStart<S, V>(n, ld, P.Lag, g, factors);
            DecayedScores.Multiply<S, V>((long)n * ld, P.Scale, factors, rows, rows);
            DecayedScores.ToEnd<S, V>(n, ld, g, factors, whole);
            if (P.OfValues)
            {
                SmallGemm.TN(dk, dv, n, q, (nint)P.Q.Stride, rows, ld, carried, dv, 0);
                ChannelDecayKernel.AddDecayed<S, V, ValueChannels>(dk, dv, whole, after, carried);
            }
            else
            {
                SmallGemm.TN(dk, dv, n, rows, ld, dO, (nint)P.DO.Stride, carried, dv, 0);
                ChannelDecayKernel.AddDecayed<S, V, KeyChannels>(dk, dv, whole, after, carried);
            }
        }
    }
}

/// <summary>All gradients of one chunk of one head, from the state before it and the gradient of the state after it.</summary>
internal unsafe struct ChannelGradsJob : IWideJob
{
    public ChannelDecayPlan P;

    public static long Work(in ChannelDecayPlan p) =>
        (p.Square * ((9L * p.Ld) + (2L * p.Square) + (3L * p.Dk) + p.Dv)) + (2L * p.Ld) + p.StateSize + DecayedScores.Scratch(p.Tile, p.Ld);

    public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
    {
        int segment = P.End - P.First, chunk = P.First + (index % segment), sequence = index / segment;
        float* before = P.StateBefore(sequence, chunk), after = P.GradAfter(sequence, chunk);
        if (P.OfValues)
        {
            OfValues<S, V>(sequence, chunk, before, after, P.WorkOf(worker));
        }
        else
        {
            OfKeys<S, V>(sequence, chunk, before, after, P.WorkOf(worker));
        }
    }

    private readonly void OfKeys<S, V>(int sequence, int chunk, float* before, float* after, float* at) where S : struct, ISimd<V> where V : unmanaged
    {
        int n = P.Length(chunk), head = sequence % P.Heads, dk = P.Dk, dv = P.Dv, ld = P.Ld, square = P.Square, key = head * dk;
        long row = P.Row(sequence, chunk), count = (long)n * ld;
        float* g = P.Take(ref at, ld), q = P.Take(ref at, ld), k = P.Take(ref at, ld), factors = P.Take(ref at, ld), t = P.Take(ref at, ld);
        float* dq = P.Take(ref at, ld), dkeys = P.Take(ref at, ld), dg = P.Take(ref at, ld), scaled = P.Take(ref at, ld);
        float* a = P.Take(ref at, square), da = P.Take(ref at, square), values = P.Take(ref at, dv), transposed = at;
        float* whole = transposed + P.StateSize, through = whole + ld, scratch = through + ld;
        float* v = P.V[row] + (head * dv), dO = P.DO[row] + (head * dv);
        DecayedScores.Load(n, dk, P.G.From(row, key), g);
        DecayedScores.Load(n, dk, P.Q.From(row, key), q);
        DecayedScores.Load(n, dk, P.K.From(row, key), k);
        Simd.Fill(dq, (nint)count, 0);
        Simd.Fill(dkeys, (nint)count, 0);
        Simd.Fill(dg, (nint)count, 0);

        // Within the chunk.
        ChannelScores.Plain(n, dv, 1, dO, P.DO.Stride, v, P.V.Stride, da, square, values);
        ChannelScores.Of<S, V>(P, head, n, g, q, k, a, scratch);
        if (P.Bonus != null)
        {
            float* u = ChannelScores.Bonus(P, head, scratch), du = u + ld;
            ChannelDecayKernel.AddScaledRows<S, V>(n, ld, P.Scale, da, square + 1, u, k, dq);
            ChannelDecayKernel.AddScaledRows<S, V>(n, ld, P.Scale, da, square + 1, u, q, dkeys);
            ChannelDecayKernel.SumScaledRows<S, V>(n, ld, P.Scale, da, square + 1, q, k, du);
            Simd.Copy(1, dk, du, dk, P.DBonus + ((((long)(sequence / P.Heads) * P.Chunks) + chunk) * P.Heads * dk) + key, dk);
        }

        DecayedScores.Gradients<S, V>(n, ld, P.Lag, P.Scale, g, q, k, da, square, dq, dkeys, dg, scratch);

        // What the outputs read from the state before the chunk.
        SmallGemm.NT(n, dk, dv, dO, (nint)P.DO.Stride, before, dv, t, ld, 0, transposed);
        DecayedScores.FromStart<S, V>(n, ld, P.Lag, g, factors);
        DecayedScores.FromStartGradients<S, V>(n, ld, P.Lag, P.Scale, factors, t, q, dq, dg);

        // What the chunk writes to the state after it, and what passes through.
        DecayedScores.ToEnd<S, V>(n, ld, g, factors, whole);
        ChannelDecayKernel.RowDots(dk, dv, whole, before, after, through);
        SmallGemm.NT(n, dk, dv, v, (nint)P.V.Stride, after, dv, t, ld, 0, transposed);
        DecayedScores.ToEndGradients<S, V>(n, ld, factors, t, k, through, dkeys, dg);

        DecayedScores.Store(n, dk, dq, P.DQ.From(row, key));
        DecayedScores.Store(n, dk, dkeys, P.DK.From(row, key));
        if (!P.DV.IsNone)
        {
            float* dvalues = P.DV[row] + (head * dv);
            DecayedScores.Multiply<S, V>(count, 1, factors, k, scaled);
            SmallGemm.NN(n, dv, dk, scaled, ld, after, dv, dvalues, (nint)P.DV.Stride, P.DV.Add ? 1 : 0);
            Triangle.ApplyTransposed(n, dv, a, square, dO, P.DO.Stride, dvalues, P.DV.Stride);
        }

        DecayedScores.Store(n, dk, dg, P.DG.From(row, key));
    }

    private readonly void OfValues<S, V>(int sequence, int chunk, float* before, float* after, float* at) where S : struct, ISimd<V> where V : unmanaged
    {
        int n = P.Length(chunk), head = sequence % P.Heads, dk = P.Dk, dv = P.Dv, ld = P.Ld, square = P.Square, value = head * dv;
        long row = P.Row(sequence, chunk), count = (long)n * ld;
        float* g = P.Take(ref at, ld), v = P.Take(ref at, ld), dO = P.Take(ref at, ld), factors = P.Take(ref at, ld), t = P.Take(ref at, ld);
        float* dread = P.Take(ref at, ld), dvalues = P.Take(ref at, ld), dg = P.Take(ref at, ld);
        float* a = P.Take(ref at, square), da = P.Take(ref at, square), keys = P.Take(ref at, dk), dq = P.Take(ref at, dk), dkeys = P.Take(ref at, dk), transposed = at;
        float* whole = transposed + P.StateSize, through = whole + ld, scratch = through + ld;
        float* q = P.Q[row] + (head * dk), k = P.K[row] + (head * dk);
        DecayedScores.Load(n, dv, P.G.From(row, value), g);
        DecayedScores.Load(n, dv, P.V.From(row, value), v);
        DecayedScores.Load(n, dv, P.DO.From(row, value), dO);
        Simd.Fill(dvalues, (nint)count, 0);
        Simd.Fill(dg, (nint)count, 0);

        // Within the chunk: o = A applied to decaying values, whose adjoints are scores between do and v.
        ChannelScores.Plain(n, dk, P.Scale, q, P.Q.Stride, k, P.K.Stride, a, square, keys);
        DecayedScores.Scores<S, V>(n, ld, 0, P.Scale, g, dO, v, da, square, scratch);
        Simd.Fill(dread, (nint)count, 0); // and for now what dx would be, the outputs
        DecayedScores.Gradients<S, V>(n, ld, 0, 1, g, dO, v, a, square, dread, dvalues, dg, scratch);

        // What the outputs read from the state before the chunk: decays o (scale q S_0).
        Simd.Fill(dread, (nint)count, 0);
        Simd.Fill(t, (nint)count, 0);
        SmallGemm.NN(n, dv, dk, q, (nint)P.Q.Stride, before, dv, t, ld, 0, P.Scale);
        DecayedScores.FromStart<S, V>(n, ld, 0, g, factors);
        DecayedScores.FromStartGradients<S, V>(n, ld, 0, 1, factors, dO, t, dread, dg);
        SmallGemm.NT(n, dk, dv, dread, ld, before, dv, dq, dk, 0, transposed, P.Scale);
        Triangle.Apply(n, dk, da, square, k, P.K.Stride, dq, dk);

        // What the chunk writes to the state after it, and what passes through.
        DecayedScores.ToEnd<S, V>(n, ld, g, factors, whole);
        ChannelDecayKernel.ColumnDots<S, V>(dk, dv, whole, before, after, through);
        SmallGemm.NN(n, dv, dk, k, (nint)P.K.Stride, after, dv, t, ld, 0);
        DecayedScores.ToEndGradients<S, V>(n, ld, factors, t, v, through, dvalues, dg);
        DecayedScores.Multiply<S, V>(count, 1, factors, v, v);
        SmallGemm.NT(n, dk, dv, v, ld, after, dv, dkeys, dk, 0, transposed);
        Triangle.ApplyTransposed(n, dk, da, square, q, P.Q.Stride, dkeys, dk);

        ChannelScores.Put(n, dk, dq, P.DQ.From(row, head * dk));
        ChannelScores.Put(n, dk, dkeys, P.DK.From(row, head * dk));
        DecayedScores.Store(n, dv, dvalues, P.DV.From(row, value));
        DecayedScores.Store(n, dv, dg, P.DG.From(row, value));
    }
}

/// <summary>The scores between a chunk's tokens, as the jobs of both passes want them.</summary>
internal static unsafe class ChannelScores
{
    /// <summary>The decayed scores of a chunk, with the bonus on their diagonal.</summary>
    public static void Of<S, V>(in ChannelDecayPlan p, int head, int n, float* g, float* q, float* k, float* a, float* scratch) where S : struct, ISimd<V> where V : unmanaged
    {
        int ld = p.Ld, square = p.Square;
        DecayedScores.Scores<S, V>(n, ld, p.Lag, p.Scale, g, q, k, a, square, scratch);
        if (p.Bonus != null)
        {
            float* u = Bonus(p, head, scratch);
            for (int i = 0; i < n; i++)
            {
                a[i * (square + 1)] = p.Scale * ChannelDecayKernel.Dot<S, V>(ld, u, q + (i * ld), k + (i * ld));
            }
        }
    }

    /// <summary>A head's bonus, padded, in the place given.</summary>
    public static float* Bonus(in ChannelDecayPlan p, int head, float* to)
    {
        DecayedScores.Load(1, p.Dk, new Strided(p.Bonus + (head * p.Dk), p.Dk), to);
        return to;
    }

    /// <summary>scale x y^T for pairs j &lt;= i, zeros right of the diagonal up to its block's end; transposed [columns, square] is scratch.</summary>
    public static void Plain(int n, int columns, float scale, float* x, long xRow, float* y, long yRow, float* a, int square, float* transposed)
    {
        SmallGemm.Transpose(n, columns, y, (nint)yRow, transposed, square);
        for (int r = 0; r < n; r += DecayedScores.Block)
        {
            int rows = Math.Min(DecayedScores.Block, n - r);
            SmallGemm.NN(rows, r + rows, columns, x + (r * xRow), (nint)xRow, transposed, square, a + ((long)r * square), square, 0, scale);
            for (int i = 0; i < rows; i++)
            {
                Simd.Fill(a + ((long)(r + i) * square) + r + i + 1, rows - i - 1, 0);
            }
        }
    }

    /// <summary>Writes or adds contiguous rows to where a gradient goes; nothing where there is nowhere.</summary>
    public static void Put(int n, int columns, float* from, Strided to)
    {
        for (int i = 0; i < n && !to.IsNone; i++, from += columns)
        {
            if (to.Add)
            {
                Simd.Add(columns, from, to[i]);
            }
            else
            {
                Simd.Copy(1, columns, from, columns, to[i], columns);
            }
        }
    }
}
