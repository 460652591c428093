using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>A weight held in bfloat16 alone, in the panels of <see cref="Bf16Pack"/>, which all products take as they are.</summary>
internal sealed unsafe class Bf16Weight(Device device, int n, int k, MemoryUse use)
    : HeldWeight(device, n, k, (nint)Bf16Pack.LanesOf(k) * Bf16Pack.Width * sizeof(float), use)
{
    public float* Lanes => (float*)Address;

    /// <summary>The panel that begins with a row, a multiple of 32.</summary>
    public float* LanesAt(int row) => (float*)(Address + (row / Width * PanelBytes));

    public override void Row(int row, Span<float> target) => Read(row, target);

    /// <summary>Copies one row by its bits.</summary>
    public void Row(int row, Span<ushort> bits) => Read(row, bits);

    private void Read<T>(int row, Span<T> target) where T : unmanaged
    {
        uint* lane = (uint*)LanesAt(row) + (row % Width);
        for (int p = 0; p < target.Length; p += Bf16Pack.Block)
        {
            for (int k = p; k < Math.Min(target.Length, p + Bf16Pack.Lanes); k++, lane += Width)
            {
                target[k] = Of<T>(*lane << 16);
                if (k + Bf16Pack.Lanes < target.Length)
                    target[k + Bf16Pack.Lanes] = Of<T>(*lane & 0xffff0000u);
            }
        }
    }

    // The number whose bits are the upper ones, as float32 or as these bits.
    private static T Of<T>(uint upper) where T : unmanaged =>
        typeof(T) == typeof(float) ? Unsafe.BitCast<uint, T>(upper) : Unsafe.BitCast<ushort, T>((ushort)(upper >> 16));

    /// <summary>Sets rows from <paramref name="first"/> on to numbers of float32, which are rounded, or to bfloat16 ones by their bits.</summary>
    public void Set<T>(WorkerPool pool, int first, ReadOnlySpan<T> values) where T : unmanaged
    {
        int rows = values.Length / Math.Max(1, K), panel = first / Width;
        fixed (T* source = values)
        {
            var job = new SetJob<T> { First = first, End = first + rows, K = K, FirstPanel = panel, Source = source, Lanes = LanesAt(first) };
            pool.RunWide(ref job, rows == 0 ? 0 : ((first + rows - 1) / Width) - panel + 1);
        }
    }

    /// <summary>Writes all rows, one after the other, as float32.</summary>
    public void Unpack(WorkerPool pool, float* target)
    {
        var job = new UnpackJob { N = N, K = K, Lanes = Lanes, Target = target };
        pool.RunWide(ref job, Panels);
    }

    // An item a panel.
    private struct UnpackJob : IWideJob
    {
        public int N, K;
        public float* Lanes, Target;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            float* block = stackalloc float[Bf16Pack.Block * Width], to = Target + ((nint)index * Width * K);
            for (int p = 0; p < K; p += Bf16Pack.Block)
            {
                int depth = Math.Min(Bf16Pack.Block, K - p);
                Bf16Pack.Unpack<S, V>(p, depth, Width, Lanes + ((nint)index * Bf16Pack.LanesOf(K) * Width), block, Width);
                SimdTranspose.Run(depth, Math.Min(Width, N - (index * Width)), block, Width, to + p, K);
            }
        }
    }

    // An item a panel, or the part of it that is set.
    private struct SetJob<T> : IWideJob where T : unmanaged
    {
        public int First, End, K, FirstPanel;
        public T* Source;
        public float* Lanes;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int start = (FirstPanel + index) * Width, row = Math.Max(First, start);
            float* panel = Lanes + ((nint)index * Bf16Pack.LanesOf(K) * Width);
            Bf16Pack.PanelColumns<S, V, T>(Math.Min(End, start + Width) - row, K, Source + ((nint)(row - First) * K), K, panel + (row - start));
        }
    }
}
