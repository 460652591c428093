namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    /// <summary>
    /// The chunked form of gated linear attention (arXiv 2312.06635, section 4) in two passes: the first goes along the chunks of each
    /// head for the states between them, the second takes every chunk by itself.
    /// </summary>
    internal override void ChannelDecay(in ChannelDecayInputs inputs, Tensor? initial, Tensor o, Tensor final, Tensor? states)
    {
        using Timed timed = Measure([inputs.Q, inputs.K, inputs.V, inputs.LogDecay, inputs.Bonus, initial, o, final, states]);
        Start(initial, final.Pointer, final.Shape.Count);
        if (o.Shape.Count == 0)
        {
            return;
        }

        var plan = new ChannelDecayPlan(inputs, o, final);
        int chunks = inputs.Chunks, sequences = inputs.Batch * inputs.Heads;
        plan.Cut(Pool.Workers, inputs.Batch);
        bool products = plan.Tile >= Ops.ChannelDecaySteps;
        plan.Slots = states is not null ? chunks : products ? plan.Segment : 0;
        long ring = states is null ? (long)sequences * plan.Slots * plan.StateSize : 0;
        plan.WorkEach = Math.Max(ChannelStatesJob.Work(plan), products ? ChannelOutputsJob.Work(plan) : 0);
        plan.Work = Shared((plan.WorkEach * Pool.Workers) + ring);
        plan.States = states is not null ? states.Pointer : plan.Work + (plan.WorkEach * Pool.Workers);
        for (plan.First = 0; plan.First < chunks; plan.First = plan.End)
        {
            plan.End = Math.Min(chunks, plan.First + plan.Segment);
            var recurrence = new ChannelStatesJob { P = plan };
            Pool.RunWide(ref recurrence, sequences);
            if (products)
            {
                var outputs = new ChannelOutputsJob { P = plan };
                Pool.RunWide(ref outputs, sequences * (plan.End - plan.First));
            }
        }

        CountFlops(inputs.Batch * Ops.ChannelDecayFlops(inputs.Time, inputs.Heads, inputs.KeyWidth, inputs.ValueWidth, inputs.Chunk));
    }

    /// <summary>The same two passes from the end: the state's gradient back along the chunks of each head, then every chunk by itself.</summary>
    internal override void ChannelDecayBackward(in ChannelDecayInputs inputs, Tensor states, Tensor? @do, Tensor? dfinal, in ChannelDecayGrads grads)
    {
        using Timed timed = Measure([inputs.Q, inputs.K, inputs.V, inputs.LogDecay, inputs.Bonus, states, @do, dfinal, grads.Q, grads.K, grads.V, grads.LogDecay, grads.Bonus, grads.Initial]);
        int chunks = inputs.Chunks, sequences = inputs.Batch * inputs.Heads, keys = inputs.Heads * inputs.KeyWidth;
        var plan = new ChannelDecayPlan(inputs, null, null)
        {
            States = states.Pointer,
            Slots = chunks,
            DQ = new Strided(grads.Q),
            DK = new Strided(grads.K),
            DV = new Strided(grads.V),
            DG = new Strided(grads.LogDecay),
            ToInitial = grads.Initial.Tensor is not null,
        };
        plan.Cut(Pool.Workers, inputs.Batch);
        long stateCount = (long)sequences * plan.StateSize, bonuses = inputs.Bonus is null ? 0 : (long)inputs.Batch * chunks * keys;
        long noOutput = @do is null ? inputs.V.Shape.Count : 0;
        plan.WorkEach = Math.Max(ChannelStateGradsJob.Work(plan), ChannelGradsJob.Work(plan));
        plan.Work = Shared((plan.WorkEach * Pool.Workers) + (stateCount * (plan.Segment + 1)) + bonuses + noOutput);
        plan.DStates = plan.Work + (plan.WorkEach * Pool.Workers);
        plan.DState = plan.DStates + (stateCount * plan.Segment);
        plan.DBonus = plan.DState + stateCount;
        float* zeros = plan.DBonus + bonuses;
        Simd.Fill(zeros, (nint)noOutput, 0);
        plan.DO = @do is null ? new Strided(zeros, inputs.V.Shape.Columns) : new Strided(@do);
        Start(dfinal, plan.DState, stateCount);
        for (plan.End = chunks; plan.End > 0; plan.End = plan.First)
        {
            plan.First = Math.Max(0, plan.End - plan.Segment);
            var recurrence = new ChannelStateGradsJob { P = plan };
            Pool.RunWide(ref recurrence, sequences);
            var gradients = new ChannelGradsJob { P = plan };
            Pool.RunWide(ref gradients, sequences * (plan.End - plan.First));
        }

        if (grads.Bonus.Tensor is { } toBonus)
        {
            ColumnSumJob sum = new() { X = plan.DBonus, Stride = keys, Rows = inputs.Batch * chunks, Columns = keys, Y = toBonus.Pointer, Accumulate = grads.Bonus.Accumulate };
            Pool.Run(ref sum, (keys + ColumnSumJob.Width - 1) / ColumnSumJob.Width);
        }

        if (grads.Initial.Tensor is { } toInitial)
        {
            ChannelScores.Put(sequences, plan.StateSize, plan.DState, new Strided(toInitial.Pointer, plan.StateSize, grads.Initial.Accumulate));
        }

        for (int chunk = 0; chunk < chunks; chunk++)
        {
            CountFlops(sequences * plan.BackwardFlops(chunk));
        }
    }
}
