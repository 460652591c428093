using System.Runtime.Intrinsics;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void DeltaRule(in DeltaRuleInputs inputs, Tensor? initial, Tensor o, Tensor final, DeltaRuleSaved? saved)
    {
        DeltaRuleJob job = DeltaRuleJob.Of(inputs);
        job.Initial = initial is null ? null : initial.Pointer;
        job.Final = final.Pointer;
        job.O = o.Pointer;
        job.OStride = o.RowStride;
        job.States = saved is null ? null : saved.Value.States.Pointer;
        job.Errors = saved is null ? null : saved.Value.Errors.Pointer;
        job.ScratchSize = DeltaRuleKernel.Scratch(Math.Min(inputs.Chunk, inputs.Time), inputs.KeyWidth, inputs.ValueWidth);
        job.Scratch = Pool.Scratch(0, (nint)(job.ScratchSize * Pool.Workers));
        Pool.Run(ref job, inputs.Batch * inputs.Heads);
        CountFlops(inputs.Batch * Ops.DeltaRuleFlops(inputs.Time, inputs.Heads, inputs.KeyWidth, inputs.ValueWidth, inputs.Chunk));
    }

    internal override void DeltaRuleBackward(in DeltaRuleInputs inputs, in DeltaRuleSaved saved, Tensor? @do, Tensor? dfinal, in DeltaRuleGrads grads)
    {
        int dk = inputs.KeyWidth, dv = inputs.ValueWidth, chunk = Math.Min(inputs.Chunk, inputs.Time);
        DeltaRuleBackwardJob job = new()
        {
            Inputs = DeltaRuleJob.Of(inputs),
            Do = @do is null ? null : @do.Pointer,
            DoStride = @do is null ? 0 : @do.RowStride,
            DFinal = dfinal is null ? null : dfinal.Pointer,
            Dq = GradRows.Of(grads.Q), Dk = GradRows.Of(grads.K), Dv = GradRows.Of(grads.V), DBeta = GradRows.Of(grads.Beta),
            DDecay = GradRows.Of(grads.LogDecay), DInitial = GradRows.Of(grads.Initial),
        };
        job.Inputs.States = saved.States.Pointer;
        job.Inputs.Errors = saved.Errors.Pointer;
        long zeros = @do is null ? (long)chunk * dv : 0;
        job.Inputs.ScratchSize = ((DeltaRuleKernel.BackwardScratch(chunk, dk, dv) + ((long)dk * dv) + zeros + 31) / 16) * 16;
        job.Inputs.Scratch = Pool.Scratch(0, (nint)(job.Inputs.ScratchSize * Pool.Workers));
        Pool.Run(ref job, inputs.Batch * inputs.KeyHeads);
        CountFlops(inputs.Batch * Ops.DeltaRuleBackwardFlops(inputs.Time, inputs.Heads, dk, dv, inputs.Chunk));
    }

    /// <summary>The forward pass: a head of a sequence an index.</summary>
    private struct DeltaRuleJob : IJob
    {
        public float* Q, K, V, Beta, Decay, O, Initial, Final, States, Errors, Scratch;
        public nint QStride, KStride, VStride, BetaStride, DecayStride, OStride;
        public int Time, Heads, Group, KeyWidth, ValueWidth, Size, Chunks;
        public float Scale;
        public long ScratchSize;

        public static DeltaRuleJob Of(in DeltaRuleInputs x) => new()
        {
            Q = x.Q.Pointer, QStride = x.Q.RowStride, K = x.K.Pointer, KStride = x.K.RowStride, V = x.V.Pointer, VStride = x.V.RowStride,
            Beta = x.Beta.Pointer, BetaStride = x.Beta.RowStride,
            Decay = x.LogDecay is null ? null : x.LogDecay.Pointer, DecayStride = x.LogDecay is null ? 0 : x.LogDecay.RowStride,
            Time = x.Time, Heads = x.Heads, Group = x.Heads / x.KeyHeads, KeyWidth = x.KeyWidth, ValueWidth = x.ValueWidth,
            Size = x.Chunk, Chunks = x.Chunks, Scale = x.Scale,
        };

        /// <summary>The inputs of head <paramref name="head"/> of sequence <paramref name="batch"/>.</summary>
        public readonly DeltaRuleHead Head(int batch, int head)
        {
            nint row = (nint)batch * Time;
            return new DeltaRuleHead
            {
                Q = new(Q + (row * QStride) + (head / Group * KeyWidth), QStride),
                K = new(K + (row * KStride) + (head / Group * KeyWidth), KStride),
                V = new(V + (row * VStride) + (head * ValueWidth), VStride),
                Beta = new(Beta + (row * BetaStride) + head, BetaStride),
                Decay = new(Decay == null ? null : Decay + (row * DecayStride) + head, DecayStride),
                KeyWidth = KeyWidth, ValueWidth = ValueWidth, Scale = Scale,
            };
        }

        public readonly void Run(int index, int worker)
        {
            if (Vector512.IsHardwareAccelerated)
            {
                Run<Simd512, Vector512<float>>(index, worker);
            }
            else if (Vector256.IsHardwareAccelerated)
            {
                Run<Simd256, Vector256<float>>(index, worker);
            }
            else
            {
                Run<Simd128, Vector128<float>>(index, worker);
            }
        }

        private readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int batch = index / Heads, head = index % Heads;
            nint state = (nint)KeyWidth * ValueWidth;
            DeltaRuleHead h = Head(batch, head);
            HeadRows o = new(O + ((nint)batch * Time * OStride) + (head * ValueWidth), OStride);
            float* s = Final + (index * state);
            if (Initial == null)
            {
                Simd.Fill(s, state, 0);
            }
            else if (Initial != Final)
            {
                Simd.Copy(1, (int)state, Initial + (index * state), (int)state, s, (int)state);
            }

            for (int chunk = 0; chunk < Chunks; chunk++)
            {
                int t = chunk * Size, c = Math.Min(Size, Time - t);
                float* y = Errors == null ? null : Errors + ((((nint)index * Time) + t) * ValueWidth);
                if (States != null)
                {
                    Simd.Copy(1, (int)state, s, (int)state, States + ((((nint)index * Chunks) + chunk) * state), (int)state);
                }

                if (c == 1)
                {
                    DeltaRuleKernel.Step<S, V>(h.From(t), s, o[t], y);
                }
                else
                {
                    DeltaRuleKernel.Chunk<S, V>(h.From(t), c, s, new(o[t], o.Stride), y, Scratch + (worker * ScratchSize));
                }
            }
        }
    }

    /// <summary>The backward pass: a key head of a sequence an index, so that heads that share keys add to them one after the other.</summary>
    private struct DeltaRuleBackwardJob : IJob
    {
        public DeltaRuleJob Inputs;
        public float* Do, DFinal;
        public nint DoStride;
        public GradRows Dq, Dk, Dv, DBeta, DDecay, DInitial;

        public readonly void Run(int index, int worker)
        {
            int keyHeads = Inputs.Heads / Inputs.Group, batch = index / keyHeads, first = index % keyHeads * Inputs.Group;
            for (int i = 0; i < Inputs.Group; i++)
            {
                if (Vector512.IsHardwareAccelerated)
                {
                    Run<Simd512, Vector512<float>>(batch, first + i, i > 0, worker);
                }
                else if (Vector256.IsHardwareAccelerated)
                {
                    Run<Simd256, Vector256<float>>(batch, first + i, i > 0, worker);
                }
                else
                {
                    Run<Simd128, Vector128<float>>(batch, first + i, i > 0, worker);
                }
            }
        }

        private readonly void Run<S, V>(int batch, int head, bool shared, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int dk = Inputs.KeyWidth, dv = Inputs.ValueWidth, time = Inputs.Time;
            int index = (batch * Inputs.Heads) + head, state = dk * dv;
            nint row = (nint)batch * time;
            DeltaRuleHead h = Inputs.Head(batch, head);
            var to = new DeltaRuleHeadGrads
            {
                Q = Dq.Head(row, head / Inputs.Group * dk), AddQ = Dq.Add || shared,
                K = Dk.Head(row, head / Inputs.Group * dk), AddK = Dk.Add || shared,
                V = Dv.Head(row, head * dv), AddV = Dv.Add,
                Beta = DBeta.Head(row, head), AddBeta = DBeta.Add,
                Decay = DDecay.Head(row, head), AddDecay = DDecay.Add,
            };

            float* ds = Inputs.Scratch + (worker * Inputs.ScratchSize), scratch = ds + ((state + 15) / 16 * 16);
            if (DFinal == null)
            {
                Simd.Fill(ds, state, 0);
            }
            else
            {
                Simd.Copy(1, state, DFinal + ((nint)index * state), state, ds, state);
            }

            HeadRows o = new(Do + (row * DoStride) + (head * dv), DoStride);
            if (Do == null)
            {
                o = new(scratch, dv); // the same zeros for every chunk
                int zeros = Math.Min(Inputs.Size, time) * dv;
                Simd.Fill(scratch, zeros, 0);
                scratch += zeros;
            }

            for (int chunk = Inputs.Chunks - 1; chunk >= 0; chunk--)
            {
                int t = chunk * Inputs.Size, c = Math.Min(Inputs.Size, time - t);
                DeltaRuleKernel.ChunkBackward<S, V>(h.From(t), c,
                    Inputs.States + ((((nint)index * Inputs.Chunks) + chunk) * state), Inputs.Errors + ((((nint)index * time) + t) * dv),
                    Do == null ? o : new(o[t], o.Stride), ds, to.From(t), scratch);
            }

            if (DInitial.P != null)
            {
                float* target = DInitial.P + ((nint)index * state);
                if (!DInitial.Add)
                {
                    Simd.Fill(target, state, 0);
                }

                Simd.Add(state, ds, target);
            }
        }
    }

    /// <summary>A gradient's memory, or nowhere.</summary>
    private struct GradRows
    {
        public float* P;
        public nint Stride;
        public bool Add;

        public static GradRows Of(GradTarget target) => target.Tensor is { } tensor
            ? new() { P = tensor.Pointer, Stride = tensor.RowStride, Add = target.Accumulate }
            : default;

        /// <summary>The rows from <paramref name="row"/> on, at a column.</summary>
        public readonly HeadRows Head(nint row, nint column) => P == null ? default : new(P + (row * Stride) + column, Stride);
    }
}
