using System.Runtime.Intrinsics;

namespace Weft.Tensors.Cpu;

/// <summary>A parallel loop body compiled for each vector width. Implement it as <see cref="IJob"/>; <see cref="WorkerPool.RunWide"/> runs it at the machine's width.</summary>
internal interface IWideJob
{
    /// <summary>Runs one index of the loop on the given worker, in vectors V with the operations of S.</summary>
    void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>A wide job as a job: the one place that chooses a width for it.</summary>
internal struct Wide<TJob> : IJob where TJob : unmanaged, IWideJob
{
    public TJob Job;

    public void Run(int index, int worker)
    {
        if (Isa.Vector512)
        {
            Job.Run<Simd512, Vector512<float>>(index, worker);
        }
        else if (Isa.Vector256)
        {
            Job.Run<Simd256, Vector256<float>>(index, worker);
        }
        else
        {
            Job.Run<Simd128, Vector128<float>>(index, worker);
        }
    }
}
