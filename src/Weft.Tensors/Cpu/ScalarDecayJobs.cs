namespace Weft.Tensors.Cpu;

/// <summary>Goes along a head's chunks, leaving the state before each and, at the end, the state after the last; short chunks are computed wholly.</summary>
internal unsafe struct ChunkStatesJob : IWideJob
{
    public ScalarDecayPlan P;

    public static long Work(in ScalarDecayPlan p) => (3L * p.Ld) + ((long)p.Tile * p.Dv);

    public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
    {
        int batch = P.Batch + (index / P.Heads), head = index % P.Heads, size = P.StateSize, sequence = (batch * P.Heads) + head;
        float* a = P.WorkOf(worker), decays = a + P.Ld, gates = decays + P.Ld, scaled = gates + P.Ld;
        float* final = P.State + ((long)sequence * size), before = final;
        if (P.Slots > 0)
        {
            before = P.StateBefore(sequence, P.First);
            Simd.Copy(1, size, final, size, before, size);
        }

        for (int chunk = P.First; chunk < P.End; chunk++)
        {
            float* after = P.Slots > 0 && chunk + 1 < P.End ? P.StateBefore(sequence, chunk + 1) : final;
            int n = P.Length(chunk);
            long row = P.Row(batch, chunk);
            P.LogDecays(row, head, n, a);
            if (n < Ops.ScalarDecaySteps)
            {
                if (after != before)
                {
                    Simd.Copy(1, size, before, size, after, size);
                }

                Steps<S, V>(row, head, n, a, after);
            }
            else
            {
                float total = ScalarDecayKernel.ToEnd<S, V>(a, n, decays);
                ScalarDecayKernel.ScaleRows<S, V>(n, P.Dv, decays, P.Gates(row, head, n, gates), P.V[row] + (head * P.Dv), P.V.Stride, scaled, P.Dv);
                SmallGemm.TN(P.Dk, P.Dv, n, P.K[row] + (head / P.Sharing * P.Dk), (nint)P.K.Stride, scaled, P.Dv, after, P.Dv, 0);
                Simd.Axpy(size, total, before, after);
            }

            before = after;
        }
    }

    private readonly void Steps<S, V>(long row, int head, int n, float* a, float* state) where S : struct, ISimd<V> where V : unmanaged
    {
        ScalarDecayKernel.Decays<S, V>(a, n, 1);
        float skip = P.Skip is null ? 0 : P.Skip[head];
        int key = head / P.Sharing * P.Dk, value = head * P.Dv;
        for (int t = 0; t < n; t++)
        {
            float gate = P.Gate.IsNone ? 1 : P.Gate[(row + t) / P.Rank][head];
            ScalarDecayKernel.Step<S, V>(P.Dk, P.Dv, P.Q[row + t] + key, P.K[row + t] + key, P.V[row + t] + value,
                a[t], gate, P.Scale, skip, state, P.O[row + t] + value);
            for (long i = row + t + 1 - P.Rank; i < row + t && (t + 1) % P.Rank == 0; i++)
            {
                // A token's earlier queries, now that all its pairs are written.
                SmallGemm.NN(1, P.Dv, P.Dk, P.Q[i] + key, P.Dk, state, P.Dv, P.O[i] + value, P.Dv, 0, P.Scale);
                Simd.Axpy(P.Dv, skip, P.V[i] + value, P.O[i] + value);
            }
        }
    }
}

/// <summary>The outputs of one chunk, for the heads of one key head: o = (q k^T o decays) v + decays o (q S) + skip v.</summary>
internal unsafe struct ChunkOutputsJob : IWideJob
{
    public ScalarDecayPlan P;

    public static long Work(in ScalarDecayPlan p) => p.Ld * (3L + (2L * p.Tile) + p.Dk);

    public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
    {
        int segment = P.End - P.First, chunk = P.First + (index % segment), group = index / segment % P.KeyHeads, batch = P.Batch + (index / segment / P.KeyHeads);
        int n = P.Length(chunk), ld = P.Ld;
        if (n < Ops.ScalarDecaySteps)
        {
            return; // computed with its states
        }

        float* a = P.WorkOf(worker), decays = a + ld, gates = decays + ld, p = gates + ld, w = p + ((long)P.Tile * ld), keys = w + ((long)P.Tile * ld);
        long row = P.Row(batch, chunk);
        float* q = P.Q[row] + (group * P.Dk);
        SmallGemm.Transpose(n, P.Dk, P.K[row] + (group * P.Dk), (nint)P.K.Stride, keys, ld);
        Triangle.Scores(n, P.Dk, q, P.Q.Stride, keys, p, ld);
        for (int head = group * P.Sharing; head < (group + 1) * P.Sharing; head++)
        {
            float* v = P.V[row] + (head * P.Dv), o = P.O[row] + (head * P.Dv);
            P.LogDecays(row, head, n, a);
            ScalarDecayKernel.Weights<S, V>(n, ld, p, a, P.Gates(row, head, n, gates), P.Scale, P.Rank, w);
            ScalarDecayKernel.AddToDiagonal(n, ld, P.Skip is null ? 0 : P.Skip[head], w);
            ScalarDecayKernel.FromStart<S, V>(a, n, P.Scale, decays);
            SmallGemm.NN(n, P.Dv, P.Dk, q, (nint)P.Q.Stride, P.StateBefore((batch * P.Heads) + head, chunk), P.Dv, o, (nint)P.O.Stride, 0);
            ScalarDecayKernel.ScaleRows<S, V>(n, P.Dv, decays, null, o, P.O.Stride, o, P.O.Stride);
            Triangle.Apply(n, P.Dv, w, ld, v, P.V.Stride, o, P.O.Stride);
        }
    }
}

/// <summary>Goes back along a head's chunks, leaving the gradient of the state after each and, at the end, of the state before the first.</summary>
internal unsafe struct ChunkStateGradsJob : IWideJob
{
    public ScalarDecayPlan P;

    public static long Work(in ScalarDecayPlan p) => (2L * p.Ld) + ((long)p.Tile * p.Dv);

    // dS before = exp(sum a) dS after + sum_i scale exp(a_0 + .. + a_i) q_i do_i^T
    public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
    {
        int batch = P.Batch + (index / P.Heads), head = index % P.Heads, size = P.StateSize, sequence = (batch * P.Heads) + head;
        float* a = P.WorkOf(worker), decays = a + P.Ld, scaled = decays + P.Ld;
        float* carried = P.D.State + ((long)sequence * size);
        for (int chunk = P.End - 1; chunk >= P.First; chunk--)
        {
            float* after = P.GradAfter(sequence, chunk);
            Simd.Copy(1, size, carried, size, after, size);
            if (chunk == 0 && !P.D.Initial)
            {
                return;
            }

            int n = P.Length(chunk);
            long row = P.Row(batch, chunk);
            P.LogDecays(row, head, n, a);
            float total = ScalarDecayKernel.FromStart<S, V>(a, n, P.Scale, decays);
            ScalarDecayKernel.ScaleRows<S, V>(n, P.Dv, decays, null, P.D.O[row] + (head * P.Dv), P.D.O.Stride, scaled, P.Dv);
            SmallGemm.TN(P.Dk, P.Dv, n, P.Q[row] + (head / P.Sharing * P.Dk), (nint)P.Q.Stride, scaled, P.Dv, carried, P.Dv, 0);
            Simd.Axpy(size, total, after, carried);
        }
    }
}

/// <summary>All gradients of one chunk, for the heads of one key head, from the state before it and the gradient of the state after it.</summary>
internal unsafe struct ChunkGradsJob : IWideJob
{
    public ScalarDecayPlan P;

    public static long Work(in ScalarDecayPlan p) =>
        (p.Ld * (8L + (4L * p.Tile) + p.Dk + p.Dv)) + (p.Tile * ((2L * p.Dk) + p.Dv + Math.Max(p.Dk, p.Dv))) + p.StateSize;

    public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
    {
        int segment = P.End - P.First, chunk = P.First + (index % segment), group = index / segment % P.KeyHeads, batch = P.Batch + (index / segment / P.KeyHeads);
        int n = P.Length(chunk), ld = P.Ld, dk = P.Dk, dv = P.Dv;
        long row = P.Row(batch, chunk), square = (long)P.Tile * ld;

        float* a = P.WorkOf(worker), gates = a + ld, fromStart = gates + ld, toEnd = fromStart + ld, da = toEnd + ld, dgate = da + ld, reads = dgate + ld, writes = reads + ld;
        float* p = writes + ld, r = p + square, w = r + square, dp = w + square, keys = dp + square, values = keys + ((long)dk * ld);
        float* dq = values + ((long)dv * ld), dkeys = dq + ((long)P.Tile * dk), scaled = dkeys + ((long)P.Tile * dk), part = scaled + ((long)P.Tile * dv);
        float* transposed = part + ((long)P.Tile * Math.Max(dk, dv));

        float* q = P.Q[row] + (group * dk), k = P.K[row] + (group * dk);
        SmallGemm.Transpose(n, dk, k, (nint)P.K.Stride, keys, ld);
        Triangle.Scores(n, dk, q, P.Q.Stride, keys, p, ld);
        for (int member = 0; member < P.Sharing; member++)
        {
            int head = (group * P.Sharing) + member;
            bool add = member > 0;
            float* v = P.V[row] + (head * dv), dO = P.D.O[row] + (head * dv);
            float* before = P.StateBefore((batch * P.Heads) + head, chunk), after = P.GradAfter((batch * P.Heads) + head, chunk);
            P.LogDecays(row, head, n, a);
            float* gate = P.Gates(row, head, n, gates);
            ScalarDecayKernel.FromStart<S, V>(a, n, P.Scale, fromStart);
            float total = ScalarDecayKernel.ToEnd<S, V>(a, n, toEnd);

            // Within the chunk.
            SmallGemm.Transpose(n, dv, v, (nint)P.V.Stride, values, ld);
            Triangle.Scores(n, dv, dO, P.D.O.Stride, values, r, ld);
            P.D.Skips[((((long)batch * P.Chunks) + chunk) * P.Heads) + head] = Trace(n, r, ld); // sum of do_i v_i
            ScalarDecayKernel.WeightsBackward<S, V>(n, ld, p, r, a, gate, P.Scale, P.Rank, w, dp, add, dgate);
            ScalarDecayKernel.DecaySums<S, V>(n, ld, r, reads, da);

            // What the outputs read from the state before the chunk: dq_i = decay_i S do_i.
            ScalarDecayKernel.ScaleRows<S, V>(n, dv, fromStart, null, dO, P.D.O.Stride, scaled, dv);
            SmallGemm.NT(n, dk, dv, scaled, dv, before, dv, part, dk, 0, transposed);
            ScalarDecayKernel.DotAndAdd<S, V>(n, dk, q, P.Q.Stride, part, null, dq, add, reads);

            // What the chunk writes to the state after it: dk_j = decay_j g_j dS v_j, dv_j = decay_j g_j dS^T k_j.
            ScalarDecayKernel.ScaleRows<S, V>(n, dv, toEnd, null, v, P.V.Stride, scaled, dv);
            SmallGemm.NT(n, dk, dv, scaled, dv, after, dv, part, dk, 0, transposed);
            ScalarDecayKernel.DotAndAdd<S, V>(n, dk, k, P.K.Stride, part, gate, dkeys, add, writes);
            if (!P.D.V.IsNone)
            {
                float* dvalues = P.D.V[row] + (head * dv);
                SmallGemm.NN(n, dv, dk, k, (nint)P.K.Stride, after, dv, part, dv, 0);
                ScalarDecayKernel.ScaleRows<S, V>(n, dv, toEnd, gate, part, dv, dvalues, P.D.V.Stride, P.D.V.Add);
                ScalarDecayKernel.AddToDiagonal(n, ld, P.Skip is null ? 0 : P.Skip[head], w);
                Triangle.ApplyTransposed(n, dv, w, ld, dO, P.D.O.Stride, dvalues, P.D.V.Stride);
            }

            Decays(row, head, n, gate, da, dgate, reads, writes, total * Simd.Dot(P.StateSize, before, after));
        }

        Triangle.Apply(n, dk, dp, ld, k, P.K.Stride, dq, dk);
        Triangle.ApplyTransposed(n, dk, dp, ld, q, P.Q.Stride, dkeys, dk);
        Put(dq, n, dk, P.D.Q, row, group * dk);
        Put(dkeys, n, dk, P.D.K, row, group * dk);
    }

    /// <summary>
    /// Writes the gradients of one head's gates and log decays. Token s's decay counts in the reads of the state before the chunk from s
    /// on, in the writes to the state after it before s, in what passes through the chunk, and in the pairs across s, already in da.
    /// </summary>
    private readonly void Decays(long row, int head, int n, float* gate, float* da, float* dgate, float* reads, float* writes, float through)
    {
        float sum = through;
        for (int s = 0; s < n; s++)
        {
            da[s] += sum;
            sum += gate is null ? writes[s] : gate[s] * writes[s];
        }

        sum = 0;
        for (int s = n - 1; s >= 0; s--)
        {
            sum += reads[s];
            da[s] += sum;
        }

        for (int s = 0; s < n; s++)
        {
            bool first = s % P.Rank == 0; // a token's decay is its first row's, its gate that of all its rows
            if (!P.D.A.IsNone && first)
            {
                float* to = P.D.A[(row + s) / P.Rank] + head;
                *to = da[s] + (P.D.A.Add ? *to : 0);
            }

            if (!P.D.Gate.IsNone)
            {
                float* to = P.D.Gate[(row + s) / P.Rank] + head;
                *to = dgate[s] + writes[s] + (P.D.Gate.Add || !first ? *to : 0);
            }
        }
    }

    private static void Put(float* from, int n, int columns, Strided target, long row, int column)
    {
        if (target.IsNone)
        {
            return;
        }

        for (int i = 0; i < n; i++, from += columns)
        {
            if (target.Add)
            {
                Simd.Add(columns, from, target[row + i] + column);
            }
            else
            {
                Simd.Copy(1, columns, from, columns, target[row + i] + column, columns);
            }
        }
    }

    private static float Trace(int n, float* r, int ld)
    {
        float sum = 0;
        for (int i = 0; i < n; i++)
        {
            sum += r[((long)i * ld) + i];
        }

        return sum;
    }
}

/// <summary>Products with a lower triangle [n, n], by blocks of rows: what lies right of the diagonal's block is neither computed nor read.</summary>
internal static unsafe class Triangle
{
    /// <summary>t = x y^T, with y given transposed, [columns, ld].</summary>
    public static void Scores(int n, int columns, float* x, long xRow, float* transposed, float* t, int ld)
    {
        for (int r = 0; r < n; r += Ops.ScalarDecayBlock)
        {
            int rows = Math.Min(Ops.ScalarDecayBlock, n - r);
            SmallGemm.NN(rows, r + rows, columns, x + (r * xRow), (nint)xRow, transposed, ld, t + ((long)r * ld), ld, 0);
        }
    }

    /// <summary>y += t x.</summary>
    public static void Apply(int n, int columns, float* t, int ld, float* x, long xRow, float* y, long yRow)
    {
        for (int r = 0; r < n; r += Ops.ScalarDecayBlock)
        {
            int rows = Math.Min(Ops.ScalarDecayBlock, n - r);
            SmallGemm.NN(rows, columns, r + rows, t + ((long)r * ld), ld, x, (nint)xRow, y + (r * yRow), (nint)yRow, 1);
        }
    }

    /// <summary>y += t^T x.</summary>
    public static void ApplyTransposed(int n, int columns, float* t, int ld, float* x, long xRow, float* y, long yRow)
    {
        for (int r = 0; r < n; r += Ops.ScalarDecayBlock)
        {
            int rows = Math.Min(Ops.ScalarDecayBlock, n - r);
            SmallGemm.TN(rows, columns, n - r, t + ((long)r * ld) + r, ld, x + (r * xRow), (nint)xRow, y + (r * yRow), (nint)yRow, 1);
        }
    }
}
