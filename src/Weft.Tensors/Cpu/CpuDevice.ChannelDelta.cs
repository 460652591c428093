namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void ChannelDelta(in ChannelDeltaInputs inputs, Tensor? initial, Tensor o, Tensor final, ChannelDeltaSaved? saved)
    {
        using Timed timed = Measure([inputs.Q, inputs.K, inputs.V, inputs.LogDecay, inputs.Beta, inputs.A, inputs.B, initial, o, final, saved?.States, saved?.Recalled]);
        ChannelDeltaJob job = new()
        {
            X = new ChannelDeltaPlan(inputs),
            O = new Strided(o),
            Initial = initial is null ? null : initial.Pointer,
            Final = final.Pointer,
            States = saved is null ? null : saved.Value.States.Pointer,
            Recalled = saved is null ? null : saved.Value.Recalled.Pointer,
        };
        ref ChannelDeltaPlan x = ref job.X;
        x.SetScratch(Pool, x.Longest == 1 ? 4L * x.KeyWidth : ChannelDeltaKernel.Scratch(x.Longest, x.KeyWidth, x.ValueWidth));
        Pool.RunWide(ref job, inputs.Batch * inputs.Heads);
        CountFlops(inputs.Batch * Ops.ChannelDeltaFlops(inputs.Time, inputs.Heads, inputs.KeyWidth, inputs.ValueWidth, inputs.Beta is null, inputs.Chunk));
    }

    internal override void ChannelDeltaBackward(in ChannelDeltaInputs inputs, in ChannelDeltaSaved saved, Tensor? @do, Tensor? dfinal, in ChannelDeltaGrads grads)
    {
        using Timed timed = Measure([inputs.Q, inputs.K, inputs.V, inputs.LogDecay, inputs.Beta, inputs.A, inputs.B, saved.States, saved.Recalled, @do, dfinal, grads.V, grads.Beta, grads.Q, grads.K, grads.A, grads.B, grads.LogDecay, grads.Initial]);
        ChannelDeltaBackwardJob job = new()
        {
            X = new ChannelDeltaPlan(inputs),
            Do = new Strided(@do),
            DFinal = dfinal is null ? null : dfinal.Pointer,
            States = saved.States.Pointer,
            Recalled = saved.Recalled.Pointer,
            DInitial = new Strided(grads.Initial),
            To = new ChannelDeltaHeadGrads
            {
                Q = new Strided(grads.Q),
                K = new Strided(grads.K),
                V = new Strided(grads.V),
                Decay = new Strided(grads.LogDecay),
                Beta = new Strided(grads.Beta),
                A = new Strided(grads.A),
                B = new Strided(grads.B),
            },
        };
        ref ChannelDeltaPlan x = ref job.X;
        x.SetScratch(Pool, ChannelDeltaKernel.BackwardScratch(x.Longest, x.KeyWidth, x.ValueWidth) + x.StateSize + (x.Longest * x.ValueWidth));
        Pool.RunWide(ref job, inputs.Batch * inputs.Heads);
        CountFlops(inputs.Batch * Ops.ChannelDeltaBackwardFlops(inputs.Time, inputs.Heads, inputs.KeyWidth, inputs.ValueWidth, inputs.Beta is null, inputs.Chunk));
    }

    /// <summary>What both passes know: the inputs' places and sizes, and the workers' scratch.</summary>
    private struct ChannelDeltaPlan
    {
        public readonly int Time, Heads, KeyWidth, ValueWidth, Chunk, Chunks;
        private readonly Strided q, k, v, decay, beta, a, b;
        private readonly float scale;
        private float* scratch;
        private long scratchEach;

        public ChannelDeltaPlan(in ChannelDeltaInputs x)
        {
            (Time, Heads, KeyWidth, ValueWidth, Chunk, Chunks, scale) = (x.Time, x.Heads, x.KeyWidth, x.ValueWidth, x.Chunk, x.Chunks, x.Scale);
            (q, k, v, decay, beta, a, b) = (new(x.Q), new(x.K), new(x.V), new(x.LogDecay), new(x.Beta), new(x.A), new(x.B));
        }

        public readonly int Longest => Math.Min(Chunk, Time);

        public readonly int StateSize => KeyWidth * ValueWidth;

        public void SetScratch(WorkerPool pool, long each)
        {
            scratchEach = (each + 15) / 16 * 16;
            scratch = pool.Scratch(0, (nint)(scratchEach * pool.Workers));
        }

        public readonly float* Scratch(int worker) => scratch + (worker * scratchEach);

        public readonly int Length(int chunk) => Math.Min(Chunk, Time - (chunk * Chunk));

        /// <summary>The inputs of a head of a sequence, from its first token on.</summary>
        public readonly ChannelDeltaHead Head(int index)
        {
            long row = (long)(index / Heads) * Time;
            int head = index % Heads, key = head * KeyWidth;
            return new ChannelDeltaHead
            {
                Q = q.From(row, key),
                K = k.From(row, key),
                V = v.From(row, head * ValueWidth),
                Decay = decay.From(row, key),
                Beta = beta.From(row, head),
                A = a.From(row, key),
                B = b.From(row, key),
                KeyWidth = KeyWidth,
                ValueWidth = ValueWidth,
                Scale = scale,
            };
        }

        /// <summary>Where a chunk's saved state begins, in states.</summary>
        public readonly long StateAt(int index, int chunk) => (((long)index * Chunks) + chunk) * StateSize;

        /// <summary>Where what a chunk's tokens recalled begins.</summary>
        public readonly long RecalledAt(int index, int chunk) => (((long)index * Time) + ((long)chunk * Chunk)) * ValueWidth;
    }

    /// <summary>The forward pass: a head of a sequence an index.</summary>
    private struct ChannelDeltaJob : IWideJob
    {
        public ChannelDeltaPlan X;
        public Strided O;
        public float* Initial, Final, States, Recalled;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int size = X.StateSize;
            ChannelDeltaHead h = X.Head(index);
            Strided o = O.From((long)(index / X.Heads) * X.Time, index % X.Heads * X.ValueWidth);
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
                int t = chunk * X.Chunk, c = X.Length(chunk);
                float* y = Recalled == null ? null : Recalled + X.RecalledAt(index, chunk);
                if (States != null)
                {
                    Simd.Copy(1, size, s, size, States + X.StateAt(index, chunk), size);
                }

                if (c == 1)
                {
                    ChannelDeltaKernel.Step<S, V>(h.From(t), s, o[t], y, X.Scratch(worker));
                }
                else
                {
                    ChannelDeltaKernel.Chunk<S, V>(h.From(t), c, s, o.From(t), y, X.Scratch(worker));
                }
            }
        }
    }

    /// <summary>The backward pass: a head of a sequence an index, from its last chunk to its first.</summary>
    private struct ChannelDeltaBackwardJob : IWideJob
    {
        public ChannelDeltaPlan X;
        public Strided Do, DInitial;
        public float* DFinal, States, Recalled;
        public ChannelDeltaHeadGrads To;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int size = X.StateSize, dv = X.ValueWidth, head = index % X.Heads, key = head * X.KeyWidth;
            long row = (long)(index / X.Heads) * X.Time;
            ChannelDeltaHead h = X.Head(index);
            var to = new ChannelDeltaHeadGrads
            {
                Q = To.Q.From(row, key),
                K = To.K.From(row, key),
                V = To.V.From(row, head * dv),
                Decay = To.Decay.From(row, key),
                Beta = To.Beta.From(row, head),
                A = To.A.From(row, key),
                B = To.B.From(row, key),
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
                int t = chunk * X.Chunk;
                ChannelDeltaKernel.ChunkBackward<S, V>(h.From(t), X.Length(chunk), States + X.StateAt(index, chunk), Recalled + X.RecalledAt(index, chunk),
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
