namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void DeltaRule(in DeltaRuleInputs inputs, Tensor? initial, Tensor o, Tensor final, DeltaRuleSaved? saved)
    {
        using Timed timed = Measure([inputs.Q, inputs.K, inputs.V, inputs.Beta, inputs.LogDecay, initial, o, final, saved?.States, saved?.Errors]);
        DeltaRuleJob job = new()
        {
            X = new DeltaRulePlan(inputs),
            O = new Strided(o),
            Initial = initial is null ? null : initial.Pointer,
            Final = final.Pointer,
            States = saved is null ? null : saved.Value.States.Pointer,
            Errors = saved is null ? null : saved.Value.Errors.Pointer,
        };
        job.X.SetScratch(Pool, DeltaRuleKernel.Scratch(job.X.Longest, job.X.KeyWidth, job.X.ValueWidth));
        Pool.RunWide(ref job, inputs.Batch * inputs.Heads);
        CountFlops(inputs.Batch * Ops.DeltaRuleFlops(inputs.Time, inputs.Heads, inputs.KeyWidth, inputs.ValueWidth, inputs.Chunk));
    }

    internal override void DeltaRuleBackward(in DeltaRuleInputs inputs, in DeltaRuleSaved saved, Tensor? @do, Tensor? dfinal, in DeltaRuleGrads grads)
    {
        using Timed timed = Measure([inputs.Q, inputs.K, inputs.V, inputs.Beta, inputs.LogDecay, saved.States, saved.Errors, @do, dfinal, grads.V, grads.Beta, grads.LogDecay, grads.Q, grads.K, grads.Initial]);
        DeltaRuleBackwardJob job = new()
        {
            X = new DeltaRulePlan(inputs),
            Do = new Strided(@do),
            DFinal = dfinal is null ? null : dfinal.Pointer,
            States = saved.States.Pointer,
            Errors = saved.Errors.Pointer,
            DInitial = new Strided(grads.Initial),
            To = new DeltaRuleHeadGrads
            {
                Q = new Strided(grads.Q),
                K = new Strided(grads.K),
                V = new Strided(grads.V),
                Beta = new Strided(grads.Beta),
                Decay = new Strided(grads.LogDecay),
            },
        };
        job.X.SetScratch(Pool, DeltaRuleKernel.BackwardScratch(job.X.Longest, job.X.KeyWidth, job.X.ValueWidth) + job.X.StateSize + (job.X.Longest * job.X.ValueWidth));
        Pool.RunWide(ref job, inputs.Batch * inputs.KeyHeads);
        CountFlops(inputs.Batch * Ops.DeltaRuleBackwardFlops(inputs.Time, inputs.Heads, inputs.KeyWidth, inputs.ValueWidth, inputs.Chunk));
    }

    /// <summary>What both passes know: the inputs' places and sizes, and the workers' scratch.</summary>
    private struct DeltaRulePlan
    {
        public readonly int Time, Heads, Group, KeyWidth, ValueWidth, Chunk, Chunks;
        private readonly Strided q, k, v, beta, decay;
        private readonly float scale;
        private float* scratch;
        private long scratchEach;

        public DeltaRulePlan(in DeltaRuleInputs x)
        {
            (Time, Heads, Group, KeyWidth, ValueWidth) = (x.Time, x.Heads, x.Heads / x.KeyHeads, x.KeyWidth, x.ValueWidth);
            (Chunk, Chunks, scale) = (x.Chunk, x.Chunks, x.Scale);
            (q, k, v, beta, decay) = (new(x.Q), new(x.K), new(x.V), new(x.Beta), new(x.LogDecay));
        }

        public readonly int Longest => Math.Min(Chunk, Time);

        public readonly int StateSize => KeyWidth * ValueWidth;

        public void SetScratch(WorkerPool pool, long each)
        {
            scratchEach = (each + 15) / 16 * 16;
            scratch = pool.Scratch(0, (nint)(scratchEach * pool.Workers));
        }

        public readonly float* Scratch(int worker) => scratch + (worker * scratchEach);

        /// <summary>The key head's first column in q and k.</summary>
        public readonly int KeyColumn(int head) => head / Group * KeyWidth;

        /// <summary>The inputs of a head of a sequence, from its first token on.</summary>
        public readonly DeltaRuleHead Head(int batch, int head)
        {
            long row = (long)batch * Time;
            return new DeltaRuleHead
            {
                Q = q.From(row, KeyColumn(head)),
                K = k.From(row, KeyColumn(head)),
                V = v.From(row, head * ValueWidth),
                Beta = beta.From(row, head),
                Decay = decay.From(row, head),
                KeyWidth = KeyWidth,
                ValueWidth = ValueWidth,
                Scale = scale,
            };
        }

        /// <summary>Where a chunk's saved state begins, in states.</summary>
        public readonly long StateAt(int index, int chunk) => (((long)index * Chunks) + chunk) * StateSize;

        /// <summary>Where a token's saved error begins.</summary>
        public readonly long ErrorAt(int index, int t) => (((long)index * Time) + t) * ValueWidth;
    }

    /// <summary>The forward pass: a head of a sequence an index.</summary>
    private struct DeltaRuleJob : IWideJob
    {
        public DeltaRulePlan X;
        public Strided O;
        public float* Initial, Final, States, Errors;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int batch = index / X.Heads, head = index % X.Heads, size = X.StateSize;
            DeltaRuleHead h = X.Head(batch, head);
            Strided o = O.From((long)batch * X.Time, head * X.ValueWidth);
            float* s = Final + ((long)index * size);
            if (Initial == null)
            {
                Simd.Fill(s, size, 0);
            }
            else if (Initial != Final)
            {
                Simd.Copy(1, size, Initial + ((long)index * size), size, s, size);
            }

            for (int chunk = 0; chunk < X.Chunks; chunk++)
            {
                int t = chunk * X.Chunk, c = Math.Min(X.Chunk, X.Time - t);
                float* y = Errors == null ? null : Errors + X.ErrorAt(index, t);
                if (States != null)
                {
                    Simd.Copy(1, size, s, size, States + X.StateAt(index, chunk), size);
                }

                if (c == 1)
                {
                    DeltaRuleKernel.Step<S, V>(h.From(t), s, o[t], y);
                }
                else
                {
                    DeltaRuleKernel.Chunk<S, V>(h.From(t), c, s, o.From(t), y, X.Scratch(worker));
                }
            }
        }
    }

    /// <summary>The backward pass: a key head of a sequence an index, so that heads that share keys add to them one after the other.</summary>
    private struct DeltaRuleBackwardJob : IWideJob
    {
        public DeltaRulePlan X;
        public Strided Do, DInitial;
        public float* DFinal, States, Errors;
        public DeltaRuleHeadGrads To;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int keyHeads = X.Heads / X.Group, batch = index / keyHeads, first = index % keyHeads * X.Group;
            for (int head = first; head < first + X.Group; head++)
            {
                Head<S, V>(batch, head, head > first, worker);
            }
        }

        private readonly void Head<S, V>(int batch, int head, bool addKeys, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int index = (batch * X.Heads) + head, size = X.StateSize, dv = X.ValueWidth;
            long row = (long)batch * X.Time;
            DeltaRuleHead h = X.Head(batch, head);
            Strided q = To.Q.From(row, X.KeyColumn(head)), k = To.K.From(row, X.KeyColumn(head));
            var to = new DeltaRuleHeadGrads
            {
                Q = new Strided(q.At, q.Stride, q.Add || addKeys),
                K = new Strided(k.At, k.Stride, k.Add || addKeys),
                V = To.V.From(row, head * dv),
                Beta = To.Beta.From(row, head),
                Decay = To.Decay.From(row, head),
            };

            float* ds = X.Scratch(worker), zeros = ds + size, scratch = zeros + (X.Longest * dv);
            if (DFinal == null)
            {
                Simd.Fill(ds, size, 0);
            }
            else
            {
                Simd.Copy(1, size, DFinal + ((long)index * size), size, ds, size);
            }

            if (Do.IsNone)
            {
                Simd.Fill(zeros, X.Longest * dv, 0);
            }

            Strided o = Do.From(row, head * dv);
            for (int chunk = X.Chunks - 1; chunk >= 0; chunk--)
            {
                int t = chunk * X.Chunk, c = Math.Min(X.Chunk, X.Time - t);
                DeltaRuleKernel.ChunkBackward<S, V>(h.From(t), c, States + X.StateAt(index, chunk), Errors + X.ErrorAt(index, t),
                    Do.IsNone ? new Strided(zeros, dv) : o.From(t), ds, to.From(t), scratch);
            }

            if (!DInitial.IsNone)
            {
                float* target = DInitial.At + ((long)index * size);
                if (DInitial.Add)
                {
                    Simd.Add(size, ds, target);
                }
                else
                {
                    Simd.Copy(1, size, ds, size, target, size);
                }
            }
        }
    }
}
