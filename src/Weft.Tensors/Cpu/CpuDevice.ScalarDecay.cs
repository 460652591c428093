using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    /// <summary>
    /// The four steps of SSD (arXiv 2405.21060, section 6) in two passes. The first goes along the chunks of each head: (2) what the
    /// chunk adds to the state and (3) the recurrence between chunks. The second takes every chunk by itself: (1) the outputs from
    /// within the chunk, its q k^T computed once for all heads of a key head, and (4) those from the state before it.
    /// </summary>
    internal override void ScalarDecay(in ScalarDecayInputs inputs, Tensor? initial, Tensor o, Tensor final, Tensor? states)
    {
        using Timed timed = Measure([inputs.Q, inputs.K, inputs.V, inputs.LogDecay, inputs.Gate, inputs.Skip, initial, o, final, states]);
        Start(initial, final.Pointer, final.Shape.Count);
        if (o.Shape.Count == 0)
        {
            return;
        }

        var plan = new ScalarDecayPlan(inputs, o, final);
        int chunks = inputs.Chunks, batch = inputs.Batch;
        plan.Cut(Pool.Workers);
        bool products = plan.Tile >= Ops.ScalarDecaySteps;
        plan.Slots = states is not null ? chunks : products ? plan.Segment : 0;
        long ring = states is null ? (long)batch * plan.Heads * plan.Slots * plan.StateSize : 0;
        plan.WorkEach = products ? Math.Max(ChunkStatesJob.Work(plan), ChunkOutputsJob.Work(plan)) : plan.Ld;
        plan.Work = Shared((plan.WorkEach * Pool.Workers) + ring);
        plan.States = states is not null ? states.Pointer : plan.Work + (plan.WorkEach * Pool.Workers);
        for (plan.Batch = 0; plan.Batch < batch; plan.Batch += plan.Sequences)
        {
            int sequences = Math.Min(plan.Sequences, batch - plan.Batch);
            for (plan.First = 0; plan.First < chunks; plan.First = plan.End)
            {
                plan.End = Math.Min(chunks, plan.First + plan.Segment);
                var recurrence = new ChunkStatesJob { P = plan };
                Pool.RunWide(ref recurrence, sequences * plan.Heads);
                if (products)
                {
                    var outputs = new ChunkOutputsJob { P = plan };
                    Pool.RunWide(ref outputs, sequences * plan.KeyHeads * (plan.End - plan.First));
                }
            }
        }

        for (int chunk = 0; chunk < chunks; chunk++)
        {
            CountFlops(batch * plan.Flops(plan.Length(chunk)));
        }
    }

    /// <summary>
    /// The same two passes from the end: the first carries the state's gradient back along the chunks of each head, the second
    /// takes every chunk by itself, adding up queries' and keys' gradients over the heads of a key head in their order.
    /// </summary>
    internal override void ScalarDecayBackward(in ScalarDecayInputs inputs, Tensor states, Tensor? @do, Tensor? dfinal, in ScalarDecayGrads grads)
    {
        using Timed timed = Measure([inputs.Q, inputs.K, inputs.V, inputs.LogDecay, inputs.Gate, inputs.Skip, states, @do, dfinal, grads.V, grads.Q, grads.K, grads.LogDecay, grads.Gate, grads.Skip, grads.Initial]);
        int chunks = inputs.Chunks, batch = inputs.Batch, heads = inputs.Heads;
        var plan = new ScalarDecayPlan(inputs, null, null) { States = states.Pointer, Slots = chunks };
        plan.Cut(Pool.Workers);
        long stateCount = (long)batch * heads * plan.StateSize, skips = (long)batch * chunks * heads;
        long noOutput = @do is null ? (long)batch * inputs.Time * heads * plan.Dv : 0;
        plan.WorkEach = Math.Max(ChunkStateGradsJob.Work(plan), ChunkGradsJob.Work(plan));
        plan.Work = Shared((plan.WorkEach * Pool.Workers) + (stateCount * (plan.Segment + 1)) + skips + noOutput);
        float* ring = plan.Work + (plan.WorkEach * Pool.Workers), carried = ring + (stateCount * plan.Segment), dskip = carried + stateCount, zeros = dskip + skips;
        Simd.Fill(zeros, (nint)noOutput, 0);
        Start(dfinal, carried, stateCount);
        plan.D = new ScalarDecayGradPlan(grads, @do is null ? new Strided(zeros, (long)heads * plan.Dv) : new Strided(@do))
        {
            State = carried,
            States = ring,
            Slots = plan.Segment,
            Skips = dskip,
        };
        for (plan.Batch = 0; plan.Batch < batch; plan.Batch += plan.Sequences)
        {
            int sequences = Math.Min(plan.Sequences, batch - plan.Batch);
            for (plan.End = chunks; plan.End > 0; plan.End = plan.First)
            {
                plan.First = Math.Max(0, plan.End - plan.Segment);
                var recurrence = new ChunkStateGradsJob { P = plan };
                Pool.RunWide(ref recurrence, sequences * heads);
                var gradients = new ChunkGradsJob { P = plan };
                Pool.RunWide(ref gradients, sequences * plan.KeyHeads * (plan.End - plan.First));
            }
        }

        if (grads.Skip.Tensor is { } toSkip)
        {
            ColumnSumJob sum = new() { X = dskip, Stride = heads, Rows = batch * chunks, Columns = heads, Y = toSkip.Pointer, Accumulate = grads.Skip.Accumulate };
            Pool.Run(ref sum, (heads + ColumnSumJob.Width - 1) / ColumnSumJob.Width);
        }

        if (grads.Initial.Tensor is { } toInitial)
        {
            if (grads.Initial.Accumulate)
            {
                Simd.Add((nint)stateCount, carried, toInitial.Pointer);
            }
            else
            {
                Buffer.MemoryCopy(carried, toInitial.Pointer, toInitial.Bytes, toInitial.Bytes);
            }
        }

        for (int chunk = 0; chunk < chunks; chunk++)
        {
            CountFlops(batch * plan.BackwardFlops(chunk));
        }
    }

    /// <summary>A copy of a state, of zeros where there is none.</summary>
    private static void Start(Tensor? from, float* to, long count)
    {
        if (from is null)
        {
            Simd.Fill(to, (nint)count, 0);
        }
        else if (from.Pointer != to)
        {
            Buffer.MemoryCopy(from.Pointer, to, from.Bytes, from.Bytes);
        }
    }
}
