using Weft.Models;
using Weft.Tensors;
using Weft.Tensors.Cpu;
using Weft.Tests.Models;
using Weft.Training;

namespace Weft.Tests.Training;

/// <summary>What does not fit is refused before it is taken, by name, with its size and what to lower.</summary>
public class OutOfMemoryTests
{
    private const long Limit = 100_000_000;

    [Fact]
    public void AParameterIsNamed()
    {
        using var device = new CpuDevice(1) { MemoryLimit = Limit };
        Refused.With(() => TinyModels.Create(device, "swiglu[hidden=10000]", width: 4096),
            "there is not enough memory for parameter 'blocks.0.mixer.", ", 4096]: it takes ", ", and 100.0 MB are free; a smaller width, or fewer or smaller blocks, would need less");
    }

    [Fact]
    public void TheActivationsOfAStepAreNamed()
    {
        const int context = 1 << 21;
        using var device = new CpuDevice(1) { MemoryLimit = Limit };
        LanguageModel model = TinyModels.Create(device, "swiglu[hidden=24]", context: context);
        using var learner = new Learner(model, TrainerTests.Options().For(model.Config) with { BatchSize = 1, MicroBatch = 1 });
        Refused.With(() => learner.Backward(new int[context + 1]),
            "there is not enough memory for the activations of a step (1 x 2097152 tokens): it takes 134.2 MB, and 100.0 MB are free; a smaller context or width would need less");
    }

    [Fact]
    public void AStateIsNamed()
    {
        using var device = new CpuDevice(1);
        using var cache = new TokenCache(device, "cache", 64, 65536);
        Refused.With(() => cache.Reserve(int.MaxValue - 1000),
            "there is not enough memory for the state 'cache.keys' of 64 sequences of 2147482688 tokens [64, 2147482688, 65536]: it takes ",
            " are free; a smaller batch, a shorter sequence or a window would need less");
        Refused.With(() => new StateTensor(device, "memory", new Shape(1 << 20, 64, 128, 128)),
            "the state 'memory' of 1048576 sequences [1048576, 64, 128, 128]: it takes 4398.0 GB, and ", "; a smaller batch would need less");
    }

    [Fact]
    public void MomentsAndGradientsAreNamed()
    {
        using var device = new CpuDevice(1);
        using Tensor weight = device.Zeros(new Shape(17_000, 1024), new MemoryUse("parameter 'head.weight'", "a smaller width")).WithGrad();
        using var tape = new Tape(device);
        device.MemoryLimit = 1_000_000;
        Refused.With(() => new AdamW([new Parameter("head.weight", weight, true)], TrainerTests.Options()),
            "AdamW's mean of 'head.weight' [17000, 1024]: it takes 69.6 MB, and 1.0 MB are free; a smaller width, or fewer");
        Refused.With(() => weight.GradToWrite(tape, out _), "the gradient of parameter 'head.weight' [17000, 1024]: it takes 69.6 MB", "; a smaller width would need less");
    }

    [Fact]
    public void WhatIsFreeIsLessThanThereIs()
    {
        Assert.InRange(MachineMemory.Available(), 1 << 20, Math.Max(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes * 2, 1L << 40));
    }
}
