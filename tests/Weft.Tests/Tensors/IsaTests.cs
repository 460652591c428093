using Weft.Tensors.Cpu;

namespace Weft.Tests.Tensors;

/// <summary>The choice of an instruction set: the best there is, what WEFT_ISA asks for, refusals.</summary>
public class IsaTests
{
    private static readonly IsaMachine Zen5 = new([IsaLevel.Sse, IsaLevel.Avx2, IsaLevel.Avx512, IsaLevel.Avx512Bf16], IsaLevel.Avx512Bf16);
    private static readonly IsaMachine Old = new([IsaLevel.Sse], IsaLevel.Sse);
    private static readonly IsaMachine Arm = new([IsaLevel.Neon], IsaLevel.Neon);

    [Theory]
    [InlineData("amx", (int)IsaLevel.Amx)]
    [InlineData("avx512bf16", (int)IsaLevel.Avx512Bf16)]
    [InlineData("avx512", (int)IsaLevel.Avx512)]
    [InlineData("avx2", (int)IsaLevel.Avx2)]
    [InlineData(" AVX2 ", (int)IsaLevel.Avx2)]
    [InlineData("sse", (int)IsaLevel.Sse)]
    [InlineData("neon", (int)IsaLevel.Neon)]
    public void AWordChoosesASet(string word, int level)
    {
        IsaMachine all = new(Enum.GetValues<IsaLevel>(), IsaLevel.Amx);
        Assert.Equal(((IsaLevel)level, true, null), Isa.Choose(word, all));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData(" ")]
    public void NothingChoosesTheBest(string? word)
    {
        Assert.Equal((IsaLevel.Avx512Bf16, false, null), Isa.Choose(word, Zen5));
        Assert.Equal((IsaLevel.Neon, false, null), Isa.Choose(word, Arm));
    }

    [Fact]
    public void WhatTheMachineLacksIsRefusedWithWhatItHas()
    {
        Assert.Equal("WEFT_ISA=amx asks for AMX, which this machine lacks; it has avx512bf16, avx512, avx2, sse: give one of these, or none for the best (avx512bf16)",
            Isa.Choose("amx", Zen5).Mistake);
        Assert.Equal("WEFT_ISA=avx2 asks for AVX2, which this machine lacks; it has neon: give one of these, or none for the best (neon)", Isa.Choose("avx2", Arm).Mistake);
        Assert.Equal("WEFT_ISA=avx1024 is no instruction set that weft knows; this machine has sse: give one of these, or none for the best (sse)",
            Isa.Choose("avx1024", Old).Mistake);
        Assert.Equal(IsaLevel.Sse, Isa.Choose("avx1024", Old).Level);
    }

    [Fact]
    public void TheBestIsTheFastest()
    {
        IsaLevel[] sapphireRapids = [IsaLevel.Sse, IsaLevel.Avx2, IsaLevel.Avx512, IsaLevel.Avx512Bf16, IsaLevel.Amx];
        Assert.Equal(IsaLevel.Amx, Isa.Best(sapphireRapids, isIntel: true, prefersWide: true));
        Assert.Equal(IsaLevel.Avx512, Isa.Best(Zen5.Has, isIntel: true, prefersWide: true));
        Assert.Equal(IsaLevel.Avx512Bf16, Isa.Best(Zen5.Has, isIntel: false, prefersWide: true));
        Assert.Equal(IsaLevel.Avx2, Isa.Best([IsaLevel.Sse, IsaLevel.Avx2, IsaLevel.Avx512], isIntel: true, prefersWide: false));
        Assert.Equal(IsaLevel.None, Isa.Best([], isIntel: false, prefersWide: false));
    }

    [Fact]
    public void OnlyAMachineSlowerThanOneExpectsIsNoticed()
    {
        Assert.Contains("no AVX2", Isa.NoticeOf(IsaLevel.Sse, isForced: false));
        Assert.Null(Isa.NoticeOf(IsaLevel.Sse, isForced: true));
        Assert.Null(Isa.NoticeOf(IsaLevel.Neon, isForced: false));
        Assert.Null(Isa.NoticeOf(IsaLevel.Avx2, isForced: false));
    }

    [Fact]
    public void TheDescriptionSaysWhatThereIsAndWhatIsUsed()
    {
        Assert.Equal("avx512bf16, avx512, avx2, sse; in use: avx2, forced by WEFT_ISA", Isa.Describe(Zen5, IsaLevel.Avx2, isForced: true));
        Assert.Equal("neon; in use: neon, the best here", Isa.Describe(Arm, IsaLevel.Neon, isForced: false));
    }

    [Fact]
    public void KernelsRunAtTheChosenWidth()
    {
        Assert.Equal(Isa.Level >= IsaLevel.Avx512, Isa.Vector512);
        Assert.Equal(Isa.Level >= IsaLevel.Avx2, Isa.Vector256);
        Assert.Contains(Isa.Level, Isa.Machine.Has);
        using var pool = new WorkerPool(1);
        var job = new WidthJob();
        pool.RunWide(ref job, 1);
        Assert.Equal(Isa.Vector512 ? 16 : Isa.Vector256 ? 8 : 4, job.Lanes);
    }

    private struct WidthJob : IWideJob
    {
        public int Lanes;

        public void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged => Lanes = S.Count;
    }
}
