using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void GatedRecurrence(in GatedInputs inputs, in GatedStates initial, Tensor h, in GatedStates final, GatedSaved? saved)
    {
        using Timed timed = Measure([inputs.A, inputs.B, inputs.C, inputs.D, inputs.R, inputs.Bias, initial.H, initial.C, initial.N, initial.M, h, final.H, final.C, final.N, final.M, saved?.Gates, saved?.Cells]);
        var plan = new GatedPlan(inputs, h, saved, Pool.Workers);
        for (int s = 0; s < inputs.States; s++)
        {
            if (initial[s] is null)
            {
                Fill(final[s]!, 0);
            }
            else if (initial[s] != final[s])
            {
                Affine(initial[s]!, 1, 0, final[s]!, false);
            }
        }

        switch (inputs.Cell)
        {
            case GatedCell.Lstm: Run<LstmCell>(ref plan, final); break;
            case GatedCell.Gru: Run<GruCell>(ref plan, final); break;
            default: Run<SlstmCell>(ref plan, final); break;
        }

        CountFlops(inputs.Batch * Ops.GatedRecurrenceFlops(inputs.Time, inputs.Width, inputs.Heads, inputs.Gates));

        void Run<TCell>(ref GatedPlan plan, in GatedStates final) where TCell : struct, IGatedCell
        {
            plan.Place(Shared((long)Pool.Workers * plan.Rows * plan.GateFloats), (long)plan.Rows * plan.GateFloats);
            GatedJob<TCell> job = new() { P = plan, S0 = new(final.H), S1 = new(final.C), S2 = new(final.N), S3 = new(final.M) };
            Pool.RunWide(ref job, plan.Items);
        }
    }

    /// <summary>
    /// Back through time for every head of every few sequences, each step one product with R^T; then R's gradient, the sum over all
    /// tokens of h_{t-1}^T times the gates' gradients, as one product a head and sequence.
    /// </summary>
    internal override void GatedRecurrenceBackward(in GatedInputs inputs, in GatedStates initial, Tensor h, in GatedSaved saved, Tensor? dh, Tensor? dfinal, in GatedGrads grads)
    {
        using Timed timed = Measure([inputs.A, inputs.B, inputs.C, inputs.D, inputs.R, inputs.Bias, initial.H, initial.C, initial.N, initial.M, h, saved.Gates, saved.Cells, dh, dfinal, grads.A, grads.B, grads.C, grads.D, grads.R, grads.Bias, grads.H0, grads.C0, grads.N0, grads.M0]);
        var plan = new GatedPlan(inputs, h, saved, Pool.Workers);
        int batch = inputs.Batch, time = inputs.Time, width = inputs.Width, heads = inputs.Heads, each = inputs.HeadWidth, gates = plan.Gates * each, kept = 4 * width;
        long carried = (long)inputs.States * batch * width, transposed = (long)width * gates;
        float* scratch = Shared(carried + transposed);
        for (int head = 0; head < heads; head++)
        {
            SmallGemm.Transpose(each, gates, plan.R + ((long)head * each * gates), gates, scratch + carried + ((long)head * each * gates), each);
        }

        plan.Place(scratch, 0);
        switch (inputs.Cell)
        {
            case GatedCell.Lstm: Run<LstmCell>(plan, initial, grads); break;
            case GatedCell.Gru: Run<GruCell>(plan, initial, grads); break;
            default: Run<SlstmCell>(plan, initial, grads); break;
        }

        if (grads.R.Tensor is { } dr)
        {
            if (!grads.R.Accumulate)
            {
                Fill(dr, 0);
            }

            for (int item = 0; item < batch * heads; item++)
            {
                int b = item / heads, head = item % heads;
                float* to = dr.Pointer + ((long)head * each * gates), dgates = saved.Gates.Pointer + ((long)b * time * kept) + (head * 4L * each);
                float* before = h.Pointer + ((long)b * time * width) + (head * each);
                if (initial.H is { } first)
                {
                    SmallGemm.TN(each, gates, 1, first.Pointer + ((long)b * first.RowStride) + (head * each), each, dgates, gates, to, gates, 1);
                }

                Gemm.Run(Pool, true, false, each, gates, time - 1, before, width, dgates + kept, kept, 1, to, gates);
            }
        }

        if (grads.Bias.Tensor is { } dbias)
        {
            for (int head = 0; head < heads; head++)
            {
                float* from = saved.Gates.Pointer + (head * 4L * each), to = dbias.Pointer + ((long)head * gates);
                ColumnSumJob sum = new() { X = from, Stride = kept, Rows = batch * time, Columns = gates, Y = to, Accumulate = grads.Bias.Accumulate };
                Pool.Run(ref sum, (gates + ColumnSumJob.Width - 1) / ColumnSumJob.Width);
            }
        }

        CountFlops(2 * batch * Ops.GatedRecurrenceFlops(time, width, heads, plan.Gates));

        void Run<TCell>(in GatedPlan plan, in GatedStates initial, in GatedGrads grads) where TCell : struct, IGatedCell
        {
            GatedBackwardJob<TCell> job = new()
            {
                P = plan,
                Transposed = plan.Work + carried,
                H0 = new(initial.H),
                C0 = new(initial.C),
                N0 = new(initial.N),
                M0 = new(initial.M),
                Dh = new(dh),
                Dfinal = new(dfinal),
                DA = new(grads.A),
                DB = new(grads.B),
                DC = new(grads.C),
                DD = new(grads.D),
                DH0 = new(grads.H0),
                DC0 = new(grads.C0),
                DN0 = new(grads.N0),
                DM0 = new(grads.M0),
            };
            Pool.RunWide(ref job, plan.Items);
        }
    }

    /// <summary>A gated recurrence as its jobs see it; an item is one head of a few sequences, whose products share R.</summary>
    private struct GatedPlan
    {
        public readonly Strided A, B, C, D;
        public readonly float* R, Bias, H, Kept, Cells;
        public readonly int Batch, Time, Width, Heads, Each, Gates, CellFloats;

        /// <summary>Sequences of an item. Results do not depend on it.</summary>
        public readonly int Rows;

        public float* Work;
        private long workEach;

        public GatedPlan(in GatedInputs x, Tensor h, GatedSaved? saved, int workers)
        {
            (A, B, C, D) = (new(x.A), new(x.B), new(x.C), new(x.D));
            R = x.R.Pointer;
            Bias = x.Bias is null ? null : x.Bias.Pointer;
            H = h.Pointer;
            Kept = saved is null ? null : saved.Value.Gates.Pointer;
            Cells = saved?.Cells is { } cells ? cells.Pointer : null;
            (Batch, Time, Width, Heads, Each, Gates) = (x.Batch, x.Time, x.Width, x.Heads, x.HeadWidth, x.Gates);
            CellFloats = (x.States - 1) * x.Width;
            int parts = Heads % workers == 0 ? 1 : Math.Min(Batch, workers);
            Rows = (Batch + parts - 1) / Math.Max(1, parts);
        }

        public readonly int Items => Heads * ((Batch + Rows - 1) / Math.Max(1, Rows));

        /// <summary>A head's gates at one token.</summary>
        public readonly int GateFloats => Gates * Each;

        public readonly (int Head, int First, int Count) Item(int index) => (index % Heads, index / Heads * Rows, Math.Min(Rows, Batch - (index / Heads * Rows)));

        public readonly float* RecurrentOf(int head) => R + ((long)head * Each * GateFloats);

        public void Place(float* work, long each)
        {
            Work = work;
            workEach = each;
        }

        public readonly float* WorkOf(int worker) => Work + (worker * workEach);

        /// <summary>What is kept of a head's gates at a token (row over batch and time).</summary>
        public readonly float* KeptAt(long row, int head) => Kept + (((row * Heads) + head) * 4 * Each);
    }

    private struct GatedJob<TCell> : IWideJob where TCell : struct, IGatedCell
    {
        public GatedPlan P;
        public Strided S0, S1, S2, S3; // the states, in place

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            (int head, int first, int count) = P.Item(index);
            int each = P.Each, gates = P.GateFloats, column = head * each;
            float* recurrent = P.WorkOf(worker);
            for (int t = 0; t < P.Time; t++)
            {
                float* before = t == 0 ? S0[first] + column : P.H + ((((long)first * P.Time) + t - 1) * P.Width) + column;
                for (int b = 0; b < count && P.Bias != null; b++)
                {
                    Simd.Copy(1, gates, P.Bias + ((long)head * gates), gates, recurrent + ((long)b * gates), gates);
                }

                SmallGemm.NN(count, gates, each, before, t == 0 ? (nint)S0.Stride : (nint)P.Time * P.Width, P.RecurrentOf(head), gates, recurrent, gates, P.Bias == null ? 0 : 1);
                for (int b = 0; b < count; b++)
                {
                    Token<S, V>(head, first + b, t, recurrent + ((long)b * gates));
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Token<S, V>(int head, int b, int t, float* recurrent) where S : struct, ISimd<V> where V : unmanaged
        {
            int each = P.Each, column = head * each;
            long row = ((long)b * P.Time) + t;
            float* x0 = P.A[row] + column, x1 = P.B[row] + column, x2 = P.C[row] + column, x3 = P.D.IsNone ? x2 : P.D[row] + column;
            float* r1 = recurrent + each, r2 = r1 + each, r3 = TCell.Gates > 3 ? r2 + each : r2, h = P.H + (row * P.Width) + column;
            float* s0 = S0[b] + column, s1 = S1[b] + column, s2 = S2[b] + column, s3 = S3[b] + column;
            float* kept = P.Kept == null ? null : P.KeptAt(row, head), cells = P.Cells == null ? null : P.Cells + (row * P.CellFloats) + column;
            for (int j = 0; j < each; j += S.Count)
            {
                int rest = each - j;
                Four<V> state = default;
                state.A = Simd.LoadUpTo<S, V>(s0 + j, rest);
                if (TCell.States > 1)
                {
                    state.B = Simd.LoadUpTo<S, V>(s1 + j, rest);
                }

                if (TCell.States > 2)
                {
                    state.C = Simd.LoadUpTo<S, V>(s2 + j, rest);
                    state.D = Simd.LoadUpTo<S, V>(s3 + j, rest);
                }

                Four<V> gate = TCell.Forward<S, V>(
                    new(Simd.LoadUpTo<S, V>(x0 + j, rest), Simd.LoadUpTo<S, V>(x1 + j, rest), Simd.LoadUpTo<S, V>(x2 + j, rest), Simd.LoadUpTo<S, V>(x3 + j, rest)),
                    new(Simd.LoadUpTo<S, V>(recurrent + j, rest), Simd.LoadUpTo<S, V>(r1 + j, rest), Simd.LoadUpTo<S, V>(r2 + j, rest), Simd.LoadUpTo<S, V>(r3 + j, rest)), ref state);
                Simd.StoreUpTo<S, V>(state.A, h + j, rest);
                Simd.StoreUpTo<S, V>(state.A, s0 + j, rest);
                if (TCell.States > 1)
                {
                    Simd.StoreUpTo<S, V>(state.B, s1 + j, rest);
                }

                if (TCell.States > 2)
                {
                    Simd.StoreUpTo<S, V>(state.C, s2 + j, rest);
                    Simd.StoreUpTo<S, V>(state.D, s3 + j, rest);
                }

                if (kept != null)
                {
                    Simd.StoreUpTo<S, V>(gate.A, kept + j, rest);
                    Simd.StoreUpTo<S, V>(gate.B, kept + each + j, rest);
                    Simd.StoreUpTo<S, V>(gate.C, kept + (2 * each) + j, rest);
                    Simd.StoreUpTo<S, V>(gate.D, kept + (3 * each) + j, rest);
                    if (TCell.States > 1)
                    {
                        Simd.StoreUpTo<S, V>(state.B, cells + j, rest);
                    }

                    if (TCell.States > 2)
                    {
                        Simd.StoreUpTo<S, V>(state.C, cells + P.Width + j, rest);
                        Simd.StoreUpTo<S, V>(state.D, cells + (2 * P.Width) + j, rest);
                    }
                }
            }
        }
    }

    private struct GatedBackwardJob<TCell> : IWideJob where TCell : struct, IGatedCell
    {
        public GatedPlan P; // Work: the gradients of the states [states,B,D] on the way back
        public float* Transposed; // R^T [H,gates D/H,D/H]
        public Strided H0, C0, N0, M0, Dh, Dfinal, DA, DB, DC, DD, DH0, DC0, DN0, DM0;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            (int head, int first, int count) = P.Item(index);
            int each = P.Each, gates = P.GateFloats, column = head * each;
            for (int b = first; b < first + count; b++)
            {
                for (int s = 0; s < TCell.States; s++)
                {
                    float* to = GradOf(s, b) + column;
                    if (Dfinal.IsNone)
                    {
                        Simd.Fill(to, each, 0);
                    }
                    else
                    {
                        Simd.Copy(1, each, Dfinal[b] + (s * P.Width) + column, each, to, each);
                    }
                }
            }

            for (int t = P.Time - 1; t >= 0; t--)
            {
                for (int b = first; b < first + count; b++)
                {
                    Token<S, V>(head, b, t);
                }

                SmallGemm.NN(count, each, gates, P.KeptAt(((long)first * P.Time) + t, head), (nint)P.Time * P.Width * 4,
                    Transposed + ((long)head * each * gates), each, GradOf(0, first) + column, P.Width, 1);
            }

            for (int b = first; b < first + count; b++)
            {
                Put<S, V>(DH0, 0, b, column);
                Put<S, V>(DC0, 1, b, column);
                Put<S, V>(DN0, 2, b, column);
                Put<S, V>(DM0, 3, b, column);
            }
        }

        private readonly float* GradOf(int state, int b) => P.Work + ((((long)state * P.Batch) + b) * P.Width);

        private readonly void Put<S, V>(Strided to, int state, int b, int column) where S : struct, ISimd<V> where V : unmanaged
        {
            for (int j = 0; j < P.Each && !to.IsNone; j += S.Count)
            {
                Simd.StoreUpTo<S, V>(Simd.LoadUpTo<S, V>(GradOf(state, b) + column + j, P.Each - j), to[b] + column + j, P.Each - j, to.Add);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Token<S, V>(int head, int b, int t) where S : struct, ISimd<V> where V : unmanaged
        {
            int each = P.Each, column = head * each;
            long row = ((long)b * P.Time) + t;
            float* kept = P.KeptAt(row, head), cells = P.Cells + (row * P.CellFloats) + column, dh = Dh.IsNone ? null : Dh[row] + column;
            float* h0, c0, n0, m0; // the states before the token
            if (t > 0)
            {
                h0 = P.H + ((row - 1) * P.Width) + column;
                c0 = cells - P.CellFloats;
                n0 = c0 + P.Width;
                m0 = n0 + P.Width;
            }
            else
            {
                h0 = H0.IsNone ? null : H0[b] + column;
                c0 = C0.IsNone ? null : C0[b] + column;
                n0 = N0.IsNone ? null : N0[b] + column;
                m0 = M0.IsNone ? null : M0[b] + column;
            }

            for (int j = 0; j < each; j += S.Count)
            {
                int rest = each - j;
                Four<V> before = default, after = default, grad = default;
                before.A = From<S, V>(h0, j, rest);
                grad.A = S.Add(Simd.LoadUpTo<S, V>(GradOf(0, b) + column + j, rest), From<S, V>(dh, j, rest));
                if (TCell.States > 1)
                {
                    before.B = From<S, V>(c0, j, rest);
                    after.B = Simd.LoadUpTo<S, V>(cells + j, rest);
                    grad.B = Simd.LoadUpTo<S, V>(GradOf(1, b) + column + j, rest);
                }

                if (TCell.States > 2)
                {
                    before.C = From<S, V>(n0, j, rest);
                    before.D = From<S, V>(m0, j, rest);
                    after.C = Simd.LoadUpTo<S, V>(cells + P.Width + j, rest);
                    after.D = Simd.LoadUpTo<S, V>(cells + (2 * P.Width) + j, rest);
                    grad.C = Simd.LoadUpTo<S, V>(GradOf(2, b) + column + j, rest);
                    grad.D = Simd.LoadUpTo<S, V>(GradOf(3, b) + column + j, rest);
                }

                Four<V> gates = TCell.Backward<S, V>(
                    new(Simd.LoadUpTo<S, V>(kept + j, rest), Simd.LoadUpTo<S, V>(kept + each + j, rest), Simd.LoadUpTo<S, V>(kept + (2 * each) + j, rest), Simd.LoadUpTo<S, V>(kept + (3 * each) + j, rest)),
                    before, after, ref grad);
                Simd.StoreUpTo<S, V>(grad.A, GradOf(0, b) + column + j, rest);
                if (TCell.States > 1)
                {
                    Simd.StoreUpTo<S, V>(grad.B, GradOf(1, b) + column + j, rest);
                }

                if (TCell.States > 2)
                {
                    Simd.StoreUpTo<S, V>(grad.C, GradOf(2, b) + column + j, rest);
                    Simd.StoreUpTo<S, V>(grad.D, GradOf(3, b) + column + j, rest);
                }

                // In place of what was kept, for R's gradient; and to the tokens'.
                Simd.StoreUpTo<S, V>(gates.A, kept + j, rest);
                Simd.StoreUpTo<S, V>(gates.B, kept + each + j, rest);
                Simd.StoreUpTo<S, V>(gates.C, kept + (2 * each) + j, rest);
                Simd.StoreUpTo<S, V>(gates.D, kept + (3 * each) + j, rest);
                To<S, V>(gates.A, DA, row, column + j, rest);
                To<S, V>(gates.B, DB, row, column + j, rest);
                To<S, V>(TCell.Gates > 3 ? gates.C : gates.D, DC, row, column + j, rest);
                To<S, V>(gates.D, DD, row, column + j, rest);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static V From<S, V>(float* p, int j, int rest) where S : struct, ISimd<V> where V : unmanaged => p == null ? S.Zero : Simd.LoadUpTo<S, V>(p + j, rest);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void To<S, V>(V x, Strided to, long row, int column, int rest) where S : struct, ISimd<V> where V : unmanaged
        {
            if (!to.IsNone)
            {
                Simd.StoreUpTo<S, V>(x, to[row] + column, rest, to.Add);
            }
        }
    }
}
