namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void MemoryGradient(in MemoryGradientInputs inputs, Tensor? initial, Tensor z, Tensor final, Tensor? memories)
    {
        using Timed timed = Measure([inputs.Q, inputs.K, inputs.V, inputs.Rate, inputs.Step, inputs.NormWeight, inputs.NormBias, initial, z, final, memories]);
        MemoryGradientJob job = new()
        {
            X = new MemoryGradientPlan(inputs),
            Z = new Strided(z),
            Initial = initial is null ? null : initial.Pointer,
            Final = final.Pointer,
            Memories = memories is null ? null : memories.Pointer,
        };
        job.X.Scratch = Pool.ScratchTable((nint)MemoryGradientKernel.Scratch(job.X.Longest, inputs.Width));
        Pool.RunWide(ref job, inputs.Batch * inputs.Heads);
        CountFlops(inputs.Batch * Ops.MemoryGradientFlops(inputs.Time, inputs.Heads, inputs.Width, inputs.MiniBatch, inputs.Offset));
    }

    internal override void MemoryGradientBackward(in MemoryGradientInputs inputs, Tensor? initial, Tensor memories, Tensor? dz, Tensor? dfinal, in MemoryGradientGrads grads)
    {
        using Timed timed = Measure([inputs.Q, inputs.K, inputs.V, inputs.Rate, inputs.Step, inputs.NormWeight, inputs.NormBias, initial, memories, dz, dfinal, grads.Q, grads.K, grads.V, grads.Rate, grads.Step, grads.NormWeight, grads.NormBias, grads.Initial]);
        int items = inputs.Batch * inputs.Heads, width = inputs.Width;
        MemoryGradientBackwardJob job = new()
        {
            X = new MemoryGradientPlan(inputs),
            Dz = new Strided(dz),
            Initial = initial is null ? null : initial.Pointer,
            DFinal = dfinal is null ? null : dfinal.Pointer,
            Memories = memories.Pointer,
            DInitial = new Strided(grads.Initial),
            To = new MemoryGradientHeadGrads { Q = new(grads.Q), K = new(grads.K), V = new(grads.V), Rate = new(grads.Rate), Step = new(grads.Step) },
            Norms = Shared(2L * items * width),
        };
        job.X.Scratch = Pool.ScratchTable((nint)(job.OwnScratch + MemoryGradientKernel.BackwardScratch(job.X.Longest, width)));
        Pool.RunWide(ref job, items);

        // The norm's gradients, over the sequences in their order.
        for (int b = 1; b < inputs.Batch; b++)
        {
            Simd.Add(2 * inputs.Heads * width, job.Norms + (2L * b * inputs.Heads * width), job.Norms);
        }

        for (int h = 0; h < inputs.Heads; h++)
        {
            Put(grads.NormWeight, job.Norms + (2L * h * width), h * width);
            Put(grads.NormBias, job.Norms + (((2L * h) + 1) * width), h * width);
        }

        CountFlops(inputs.Batch * Ops.MemoryGradientBackwardFlops(inputs.Time, inputs.Heads, width, inputs.MiniBatch, inputs.Offset));

        void Put(GradTarget target, float* from, int at)
        {
            if (target.Tensor is { } to)
            {
                if (target.Accumulate)
                {
                    Simd.Add(width, from, to.Pointer + at);
                }
                else
                {
                    Simd.Copy(1, width, from, width, to.Pointer + at, width);
                }
            }
        }
    }

    /// <summary>What both passes know: the inputs' places and sizes, and where mini-batches begin.</summary>
    private struct MemoryGradientPlan
    {
        public readonly int Time, Heads, Width, MiniBatch, MiniBatches, Offset;
        public float** Scratch;
        private readonly Strided q, k, v, rate, step;
        private readonly float* weight, bias;
        private readonly float epsilon;

        public MemoryGradientPlan(in MemoryGradientInputs x)
        {
            (Time, Heads, Width, MiniBatch, MiniBatches, Offset, epsilon) = (x.Time, x.Heads, x.Width, x.MiniBatch, x.MiniBatches, x.Offset, x.Epsilon);
            (q, k, v, rate, step) = (new(x.Q), new(x.K), new(x.V), new(x.Rate), new(x.Step));
            weight = x.NormWeight.Pointer;
            bias = x.NormBias.Pointer;
        }

        public readonly int Longest => Math.Min(MiniBatch, Time);

        /// <summary>A mini-batch's tokens in this call: the first and the number; and whether they begin and end it.</summary>
        public readonly (int Start, int Count, bool First, bool Last) Tokens(int miniBatch)
        {
            long from = Math.Max(0, ((long)miniBatch * MiniBatch) - Offset), end = ((miniBatch + 1L) * MiniBatch) - Offset;
            return ((int)from, (int)(Math.Min(end, Time) - from), from > 0 || Offset == 0, end <= Time);
        }

        public readonly MemoryGradientHead Head(int index)
        {
            int head = index % Heads, column = head * Width;
            long row = (long)(index / Heads) * Time;
            return new MemoryGradientHead
            {
                Q = q.From(row, column),
                K = k.From(row, column),
                V = v.From(row, column),
                Rate = rate.From(row, head),
                Step = step.From(row, head),
                Weight = weight + column,
                Bias = bias + column,
                Width = Width,
                Epsilon = epsilon,
            };
        }
    }

    /// <summary>The forward pass: a head of a sequence an index.</summary>
    private struct MemoryGradientJob : IWideJob
    {
        public MemoryGradientPlan X;
        public Strided Z;
        public float* Initial, Final, Memories;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            MemoryGradientHead h = X.Head(index);
            Strided z = Z.From((long)(index / X.Heads) * X.Time, index % X.Heads * X.Width);
            int size = (int)MemoryGradientState.Size(X.Width), memory = size / 2;
            float* state = Final + ((long)index * size);
            if (Initial == null)
            {
                Simd.Fill(state, size, 0);
            }
            else if (Initial != Final)
            {
                Simd.Copy(1, size, Initial + ((long)index * size), size, state, size);
            }

            for (int i = 0; i < X.MiniBatches; i++)
            {
                (int start, int count, bool first, bool last) = X.Tokens(i);
                if (Memories != null)
                {
                    Simd.Copy(1, memory, state, memory, Memories + ((((long)index * X.MiniBatches) + i) * memory), memory);
                }

                MemoryGradientKernel.Tokens<S, V>(h.From(start), count, first, last, new MemoryGradientState(state, X.Width), z.From(start), X.Scratch[worker]);
            }
        }
    }

    /// <summary>The backward pass: a head of a sequence an index.</summary>
    private struct MemoryGradientBackwardJob : IWideJob
    {
        public MemoryGradientPlan X;
        public Strided Dz, DInitial;
        public float* Initial, DFinal, Memories, Norms;
        public MemoryGradientHeadGrads To;

        /// <summary>Two states, and outputs' gradients of zero.</summary>
        public readonly long OwnScratch => (2 * MemoryGradientState.Size(X.Width)) + ((long)X.Longest * X.Width) + 48;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            MemoryGradientHead h = X.Head(index);
            int d = X.Width, column = index % X.Heads * d, size = (int)MemoryGradientState.Size(d), memory = size / 2;
            long row = (long)(index / X.Heads) * X.Time;
            float* state = X.Scratch[worker], gradient = state + ((size + 15) / 16 * 16), zeros = gradient + ((size + 15) / 16 * 16);
            float* scratch = zeros + (((X.Longest * d) + 15) / 16 * 16), norm = Norms + (2L * index * d);
            Simd.Fill(norm, 2 * d, 0);
            Simd.Fill(zeros, X.Longest * d, 0);
            if (DFinal == null)
            {
                Simd.Fill(gradient, size, 0);
            }
            else
            {
                Simd.Copy(1, size, DFinal + ((long)index * size), size, gradient, size);
            }

            var to = new MemoryGradientHeadGrads
            {
                Q = To.Q.From(row, column),
                K = To.K.From(row, column),
                V = To.V.From(row, column),
                Rate = To.Rate.From(row, index % X.Heads),
                Step = To.Step.From(row, index % X.Heads),
                Weight = norm,
                Bias = norm + d,
            };
            Strided dz = Dz.From(row, column);
            for (int i = X.MiniBatches - 1; i >= 0; i--)
            {
                (int start, int count, bool first, bool last) = X.Tokens(i);
                Simd.Copy(1, memory, Memories + ((((long)index * X.MiniBatches) + i) * memory), memory, state, memory);
                if (!first)
                {
                    if (Initial == null)
                    {
                        Simd.Fill(state + memory, memory, 0);
                    }
                    else
                    {
                        Simd.Copy(1, memory, Initial + ((long)index * size) + memory, memory, state + memory, memory);
                    }
                }

                MemoryGradientKernel.TokensBackward<S, V>(h.From(start), count, first, last, new MemoryGradientState(state, d),
                    dz.IsNone ? new Strided(zeros, d) : dz.From(start), new MemoryGradientState(gradient, d), to.From(start), scratch);
            }

            if (!DInitial.IsNone)
            {
                float* target = DInitial.At + ((long)index * size);
                if (DInitial.Add)
                {
                    Simd.Add(size, gradient, target);
                }
                else
                {
                    Simd.Copy(1, size, gradient, size, target, size);
                }
            }
        }
    }
}
