using Weft.Tensors.Cpu;

namespace Weft.Tests.Tensors;

public unsafe class WorkerPoolTests
{
    private struct CountJob : IJob
    {
        public int* Hits;
        public int Workers;

        public readonly void Run(int index, int worker)
        {
            if ((uint)worker >= (uint)Workers)
                throw new InvalidOperationException("worker out of range");
            Interlocked.Increment(ref Hits[index]);
        }
    }

    private struct ThrowJob : IJob
    {
        public int Bad;

        public readonly void Run(int index, int worker)
        {
            if (index == Bad)
                throw new InvalidDataException($"index {index}");
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void RunsEveryIndexOnce(int workers)
    {
        using var pool = new WorkerPool(workers);
        int* hits = stackalloc int[1000];
        foreach (int count in new[] { 0, 1, 2, 3, 17, 1000 })
        {
            new Span<int>(hits, 1000).Clear();
            for (int round = 1; round <= 300; round++)
            {
                var job = new CountJob { Hits = hits, Workers = workers };
                pool.Run(ref job, count);
                for (int i = 0; i < count; i++)
                    Assert.Equal(round, hits[i]);
            }
        }
    }

    [Fact]
    public void WorkersThatSleptWakeUp()
    {
        using var pool = new WorkerPool(3);
        int* hits = stackalloc int[8];
        for (int round = 1; round <= 5; round++)
        {
            Thread.Sleep(3);
            var job = new CountJob { Hits = hits, Workers = 3 };
            pool.Run(ref job, 8);
            for (int i = 0; i < 8; i++)
                Assert.Equal(round, hits[i]);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void ExceptionsReachTheCallerAndThePoolGoesOn(int workers)
    {
        using var pool = new WorkerPool(workers);
        int* hits = stackalloc int[50];
        for (int bad = 0; bad < 50; bad++)
        {
            var job = new ThrowJob { Bad = bad };
            var e = Assert.Throws<InvalidDataException>(() => pool.Run(ref job, 50));
            Assert.Equal($"index {bad}", e.Message);
            var count = new CountJob { Hits = hits, Workers = workers };
            pool.Run(ref count, 50);
            Assert.Equal(bad + 1, hits[49]);
        }
    }

    // Jobs are unmanaged, so a test hands them the pool through a static.
    private static WorkerPool? s_nested;

    private struct OuterJob : IJob
    {
        public int* Hits;

        public readonly void Run(int index, int worker)
        {
            if (s_nested!.CurrentWorker != worker)
                throw new InvalidOperationException("the current worker is not the one that runs");
            var inner = new CountJob { Hits = Hits + index * 10, Workers = s_nested.Workers };
            s_nested.Run(ref inner, 10);
        }
    }

    [Fact]
    public void ANestedRunIsInline()
    {
        using var pool = new WorkerPool(3);
        s_nested = pool;
        int* hits = stackalloc int[200];
        var job = new OuterJob { Hits = hits };
        pool.Run(ref job, 20);
        for (int i = 0; i < 200; i++)
            Assert.Equal(1, hits[i]);
        Assert.Equal(0, pool.CurrentWorker);
    }

    [Fact]
    public void ScratchIsAlignedKeptAndApart()
    {
        using var pool = new WorkerPool(3);
        float* a = pool.Scratch(0, 100), b = pool.Scratch(1, 100), c = pool.Scratch(0, 100, slot: 1);
        Assert.True(a != b && a != c && b != c);
        Assert.Equal(0, (nint)a % 64);
        Assert.True(a == pool.Scratch(0, 50));
        float** table = pool.ScratchTable(1_000_000);
        for (int worker = 0; worker < 3; worker++)
        {
            Assert.Equal(0, (nint)table[worker] % 64);
            table[worker][999_999] = worker;
        }
        Assert.True(table[1] == pool.Scratch(1, 1_000_000));
    }

    [Fact]
    public void ARunAllocatesNothing()
    {
        using var pool = new WorkerPool(2);
        int* hits = stackalloc int[64];
        var job = new CountJob { Hits = hits, Workers = 2 };
        Assert.Equal(0, Allocations.Least(() =>
        {
            for (int i = 0; i < 20; i++)
                pool.Run(ref job, 64);
        }));
    }
}
