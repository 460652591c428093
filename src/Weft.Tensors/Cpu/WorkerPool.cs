using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace Weft.Tensors.Cpu;

/// <summary>A parallel loop body. Implement it on an unmanaged struct that carries the pointers and sizes of the loop.</summary>
internal interface IJob
{
    /// <summary>Runs one index of the loop on the given worker (0 is the calling thread).</summary>
    void Run(int index, int worker);
}

/// <summary>
/// Persistent threads that share the indices of one parallel loop at a time. The calling thread is worker 0. Indices are claimed one by one,
/// so a descheduled worker delays only the index it holds. One thread at a time may drive a pool.
/// </summary>
internal sealed unsafe class WorkerPool : IDisposable
{
    /// <summary>Scratch slots kept for <see cref="Gemm"/>, so that a job that calls it keeps its own scratch: any job may use slots 0 and 1.</summary>
    internal const int GemmSlotA = 2, GemmSlotB = 3, GemmSlotC = 4;

    private const int Slots = 5;

    // Long enough to bridge the serial code between two kernels of a training step, short enough to leave an idle machine alone.
    private static readonly long SpinTicks = Stopwatch.Frequency * 50 / 1_000_000;

    [ThreadStatic] private static WorkerPool? t_pool;
    [ThreadStatic] private static int t_worker;

    /// <summary>The two contended words, each on its own pair of cache lines.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 384)]
    private struct Counters
    {
        /// <summary>Run number in the high half, indices not yet claimed in the low half: a claim is one compare-exchange that fails for a finished run.</summary>
        [FieldOffset(128)] public long State;
        /// <summary>Indices of this run that have finished.</summary>
        [FieldOffset(256)] public int Completed;
    }

    private readonly Thread[] threads;
    private readonly nint[] scratchFloats;
    private readonly float** scratch;
    private readonly SemaphoreSlim wake = new(0);
    private readonly SemaphoreSlim finished = new(0);
    private Counters counters;
    private void* job;
    private int count;
    private delegate*<WorkerPool, uint, int, void> drain;
    private Exception? failure;
    private int sleepers;
    private int callerSleeps;
    private int busy;
    private volatile bool stop;

    /// <summary>Starts <paramref name="workers"/> - 1 background threads; the thread that calls <see cref="Run"/> is the remaining worker.</summary>
    public WorkerPool(int workers)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(workers, 1);
        Workers = workers;
        scratchFloats = new nint[Slots * workers];
        scratch = (float**)NativeMemory.AllocZeroed((nuint)(Slots * workers), (nuint)sizeof(float*));
        this.threads = new Thread[workers - 1];
        for (int i = 0; i < this.threads.Length; i++)
        {
            int worker = i + 1;
            this.threads[i] = new Thread(() => Loop(worker)) { IsBackground = true, Name = $"weft-{worker}" };
            this.threads[i].Start();
        }
    }

    /// <summary>Number of workers, the calling thread included.</summary>
    public int Workers { get; }

    /// <summary>The worker that the current thread is in this pool: 0 outside any job.</summary>
    public int CurrentWorker => t_pool == this ? t_worker : 0;

    /// <summary>
    /// Runs indices 0..count-1 of <paramref name="job"/> and returns when all are done. A call from inside a job runs inline on that worker.
    /// The first exception of a job is rethrown here, after every claimed index has ended; indices not yet started are then skipped.
    /// </summary>
    public void Run<TJob>(ref TJob job, int count) where TJob : unmanaged, IJob
    {
        if (count <= 1 || Workers == 1 || t_pool == this)
        {
            int worker = CurrentWorker;
            for (int i = 0; i < count; i++)
                job.Run(i, worker);
            return;
        }
        if (Interlocked.Exchange(ref busy, 1) != 0)
            throw new InvalidOperationException("Two threads drive one worker pool at the same time; give each its own.");
        WorkerPool? outerPool = t_pool;
        int outerWorker = t_worker;
        t_pool = this;
        t_worker = 0;
        fixed (TJob* pinned = &job)
        {
            this.job = pinned;
            this.count = count;
            drain = &Drain<TJob>;
            counters.Completed = 0;
            uint run = (uint)(counters.State >> 32) + 1;
            Interlocked.Exchange(ref counters.State, (long)run << 32 | (uint)count);
            WakeSleepers(count - 1);
            Drain<TJob>(this, run, 0);
            AwaitCompletion(count);
        }
        t_pool = outerPool;
        t_worker = outerWorker;
        Exception? failure = this.failure;
        this.failure = null;
        Volatile.Write(ref busy, 0);
        if (failure is not null)
            ExceptionDispatchInfo.Throw(failure);
    }

    /// <summary>Runs indices 0..count-1 of a job at the machine's vector width, as <see cref="Run"/> does.</summary>
    public void RunWide<TJob>(ref TJob job, int count) where TJob : unmanaged, IWideJob =>
        Run(ref Unsafe.As<TJob, Wide<TJob>>(ref job), count); // a Wide is its job and nothing else

    /// <summary>
    /// A worker's own scratch, 64-byte aligned and kept between calls. Contents are undefined; asking for more floats in the same slot
    /// invalidates the pointer got before. Only that worker, or the driving thread between runs, may ask.
    /// </summary>
    public float* Scratch(int worker, nint floats, int slot = 0)
    {
        int at = slot * Workers + worker;
        if (scratchFloats[at] < floats || scratch[at] == null)
        {
            nint grown = Math.Max(1024, Math.Max(floats, scratchFloats[at] + scratchFloats[at] / 2));
            NativeMemory.AlignedFree(scratch[at]);
            scratch[at] = null;
            scratch[at] = (float*)NativeMemory.AlignedAlloc((nuint)grown * sizeof(float), 64);
            scratchFloats[at] = grown;
        }
        return scratch[at];
    }

    /// <summary>
    /// The scratch of every worker that a run started now would use, indexed by worker: what a job, which cannot hold the pool, carries.
    /// Ask for it before <see cref="Run"/>. It stays valid until more floats are asked for in the same slot.
    /// </summary>
    public float** ScratchTable(nint floats, int slot = 0)
    {
        if (t_pool == this)
            Scratch(t_worker, floats, slot); // inside a job only this worker will run
        else
            for (int worker = 0; worker < Workers; worker++)
                Scratch(worker, floats, slot);
        return scratch + slot * Workers;
    }

    /// <summary>Stops the threads and frees the scratch. No run may be in progress.</summary>
    public void Dispose()
    {
        if (stop)
            return;
        stop = true;
        wake.Release(Workers);
        foreach (Thread thread in this.threads)
            thread.Join();
        for (int at = 0; at < scratchFloats.Length; at++)
            NativeMemory.AlignedFree(scratch[at]);
        NativeMemory.Free(scratch);
        wake.Dispose();
        finished.Dispose();
    }

    /// <summary>Claims and runs indices of one run until none is left unclaimed.</summary>
    private static void Drain<TJob>(WorkerPool pool, uint run, int worker) where TJob : unmanaged, IJob
    {
        // Read before the first claim: a claim that succeeds proves that the run was still open, and so that these belonged to it.
        TJob* job = (TJob*)pool.job;
        int count = pool.count;
        int done = 0;
        for (; ; )
        {
            long state = Volatile.Read(ref pool.counters.State);
            int left = (int)state;
            if ((uint)(state >> 32) != run || left == 0)
                break;
            if (Interlocked.CompareExchange(ref pool.counters.State, state - 1, state) != state)
                continue;
            done++;
            if (Volatile.Read(ref pool.failure) is not null)
                continue;
            try
            {
                job->Run(count - left, worker);
            }
#pragma warning disable CA1031 // Whatever a job throws belongs to the caller of Run, which rethrows it.
            catch (Exception e)
#pragma warning restore CA1031
            {
                Interlocked.CompareExchange(ref pool.failure, e, null);
            }
        }
        if (done > 0 && Interlocked.Add(ref pool.counters.Completed, done) == count
            && Volatile.Read(ref pool.callerSleeps) != 0 && Interlocked.Exchange(ref pool.callerSleeps, 0) != 0)
            pool.finished.Release();
    }

    private void AwaitCompletion(int count)
    {
        long start = 0;
        while (Volatile.Read(ref counters.Completed) != count)
        {
            if (Spin(ref start))
                continue;
            Interlocked.Exchange(ref callerSleeps, 1);
            if (Volatile.Read(ref counters.Completed) != count)
                finished.Wait();
            // A permit may be left over from an earlier run: the loop looks again.
            Interlocked.Exchange(ref callerSleeps, 0);
        }
    }

    private void Loop(int worker)
    {
        t_pool = this;
        t_worker = worker;
        uint seen = 0;
        long start = 0;
        while (!stop)
        {
            uint run = (uint)(Volatile.Read(ref counters.State) >> 32);
            if (run != seen)
            {
                seen = run;
                start = 0;
                drain(this, run, worker);
            }
            else if (!Spin(ref start))
            {
                Sleep(seen);
                start = 0;
            }
        }
    }

    /// <summary>Waits about 100 ns; false when the time to spin is over.</summary>
    private static bool Spin(ref long start)
    {
        long now = Stopwatch.GetTimestamp();
        if (start == 0)
            start = now;
        Thread.SpinWait(4);
        return now - start < SpinTicks;
    }

    private void Sleep(uint seen)
    {
        // Invariant: sleepers counted + permits released = workers that wait or are about to. A surplus permit costs one extra look at State.
        Interlocked.Increment(ref this.sleepers);
        if ((uint)(Volatile.Read(ref counters.State) >> 32) != seen && TakeSleepers(1) == 1)
            return;
        wake.Wait();
    }

    private void WakeSleepers(int most)
    {
        int taken = TakeSleepers(most);
        if (taken > 0)
            wake.Release(taken);
    }

    /// <summary>Takes up to <paramref name="most"/> workers off the count of sleepers; returns how many.</summary>
    private int TakeSleepers(int most)
    {
        int sleepers = Volatile.Read(ref this.sleepers);
        while (sleepers > 0)
        {
            int taken = Math.Min(sleepers, most);
            int found = Interlocked.CompareExchange(ref this.sleepers, sleepers - taken, sleepers);
            if (found == sleepers)
                return taken;
            sleepers = found;
        }
        return 0;
    }
}
