using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    private const double CeilingSeconds = 0.08; // for each of them: enough for a stretch without disturbance

    /// <inheritdoc/>
    public override IReadOnlyList<Ceiling> MeasureCeilings()
    {
        // Many times the last cache, so that little of a round is left in it for the next.
        long block = CacheBytes(2, 1 << 20) / 4, bytes = Math.Max(Math.Clamp(16 * CacheBytes(3, 32 << 20), 64L << 20, 512L << 20), block * Threads);
        using var memory = new DeviceMemory(this, bytes / sizeof(float));
        using var sums = new DeviceMemory(this, Threads * CeilingJob.SumStride);
        var touch = new TouchJob { At = (byte*)memory.Address, Bytes = bytes };
        Pool.Run(ref touch, touch.Parts); // a page that was never written is no memory yet
        var job = new CeilingJob { Data = (float*)memory.Address, Sums = (float*)sums.Address };
        Ceiling[] products = kernels is null ? []
            : [new("bf16", CeilingKind.Flops, Best(job with { Kind = Limit.Products, Floats = block / sizeof(float), Kernels = kernels }, 16 * Threads))];
        return
        [
            .. products,
            new("float32", CeilingKind.Flops, Best(job with { Kind = Limit.Arithmetic }, 16 * Threads)),
            new("memory", CeilingKind.Bytes, Best(job with { Kind = Limit.Memory, Floats = CeilingJob.MemoryPart }, (int)(bytes / sizeof(float) / CeilingJob.MemoryPart))),
            new("L2 cache", CeilingKind.Bytes, Best(job with { Kind = Limit.Cache, Floats = block / sizeof(float) }, 16 * Threads)),
        ];
    }

    /// <summary>The most FLOPs or bytes a second of many rounds: whatever else the machine does only makes it less.</summary>
    private double Best(CeilingJob job, int parts)
    {
        double best = 0;
        long start = Stopwatch.GetTimestamp();
        for (int round = 0; round < 3 || Stopwatch.GetElapsedTime(start).TotalSeconds < CeilingSeconds; round++)
        {
            long before = Stopwatch.GetTimestamp();
            Pool.RunWide(ref job, parts);
            best = Math.Max(best, job.Amount * parts / Stopwatch.GetElapsedTime(before).TotalSeconds);
        }

        return best;
    }

    /// <summary>The bytes of the first processor's cache of a level, where the system tells.</summary>
    private static long CacheBytes(int level, long otherwise)
    {
        for (int index = 0; index < 8; index++)
        {
            string folder = $"/sys/devices/system/cpu/cpu0/cache/index{index}/";
            try
            {
                string size = File.Exists(folder + "size") ? File.ReadAllText(folder + "size").Trim() : "";
                if (size.EndsWith('K') && File.ReadAllText(folder + "level").Trim() == level.ToString(CultureInfo.InvariantCulture)
                    && long.TryParse(size[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out long kilobytes) && kilobytes > 0)
                {
                    return kilobytes << 10;
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                break; // a usual size does as well
            }
        }

        return otherwise;
    }

    private enum Limit
    {
        Arithmetic,
        Products,
        Memory,
        Cache,
    }

    private struct TouchJob : IJob
    {
        private const int Part = 1 << 20;

        public byte* At;
        public long Bytes;

        public readonly int Parts => (int)((Bytes + Part - 1) / Part);

        public readonly void Run(int index, int worker)
        {
            long start = (long)index * Part;
            new Span<byte>(At + start, (int)Math.Min(Part, Bytes - start)).Clear();
        }
    }

    /// <summary>Multiply-adds in registers, or sums of what is read: of a part of memory each time, or of a worker's own block again and again.</summary>
    private struct CeilingJob : IWideJob
    {
        public const int SumStride = 32; // floats: a worker's sum is alone on its cache lines
        public const int MemoryPart = 1 << 18;

        private const int Chains = 12, Turns = 4096, Readings = 4, Tiles = 64, TileLanes = 128;

        public Limit Kind;
        public float* Data, Sums;
        public long Floats;
        public Bf16Kernels* Kernels;
        private int width;

        /// <summary>The FLOPs or bytes of one index; known when one has run.</summary>
        public readonly double Amount => Kind switch
        {
            Limit.Arithmetic => 2.0 * Chains * Turns * width,
            Limit.Products => 2.0 * Tiles * Kernels->MaxRows * Bf16Pack.Width * 2 * TileLanes,
            Limit.Memory => Floats * sizeof(float),
            _ => (double)Readings * Floats * sizeof(float),
        };

        public void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            width = S.Count;
            float sum = 0;
            switch (Kind)
            {
                case Limit.Arithmetic:
                    sum = MultiplyAdd<S, V>(Turns);
                    break;
                case Limit.Products:
                    Multiply(Data + (worker * Floats));
                    break;
                case Limit.Memory:
                    sum = Read<S, V>(Data + (index * Floats), Floats);
                    break;
                default:
                    for (int i = 0; i < Readings; i++)
                    {
                        sum += Read<S, V>(Data + (worker * Floats), Floats);
                    }

                    break;
            }

            Sums[worker * SumStride] = sum; // so that nothing is left out
        }

        // One block of products whose operands and result, 40 KB at most, are in the first-level cache.
        private readonly void Multiply(float* data)
        {
            float* b = data + (Kernels->MaxRows * TileLanes), c = b + (TileLanes * Bf16Pack.Width);
            Bf16Tile tile = new() { A = data, B = b, C = c, StrideC = Bf16Pack.Width * sizeof(float), Lanes = TileLanes };
            Kernels->Begin();
            for (int i = 0; i < Tiles; i++)
            {
                Kernels->Run(Kernels->MaxRows, false, &tile);
            }

            Kernels->End();
        }

        // Twelve chains hide a multiply-add's latency on all machines of today and fit sixteen registers.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static float MultiplyAdd<S, V>(int turns) where S : struct, ISimd<V> where V : unmanaged
        {
            V x = S.Create(0.5f), y = S.Create(1f);
            V a = y, b = y, c = y, d = y, e = y, f = y, g = y, h = y, i = y, j = y, k = y, l = y;
            for (; turns > 0; turns--)
            {
                a = S.Fma(a, x, y);
                b = S.Fma(b, x, y);
                c = S.Fma(c, x, y);
                d = S.Fma(d, x, y);
                e = S.Fma(e, x, y);
                f = S.Fma(f, x, y);
                g = S.Fma(g, x, y);
                h = S.Fma(h, x, y);
                i = S.Fma(i, x, y);
                j = S.Fma(j, x, y);
                k = S.Fma(k, x, y);
                l = S.Fma(l, x, y);
            }

            V sum = S.Add(S.Add(S.Add(a, b), S.Add(c, d)), S.Add(S.Add(e, f), S.Add(g, h)));
            return S.Sum(S.Add(sum, S.Add(S.Add(i, j), S.Add(k, l))));
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static float Read<S, V>(float* at, long floats) where S : struct, ISimd<V> where V : unmanaged
        {
            V a = S.Zero, b = a, c = a, d = a, e = a, f = a, g = a, h = a;
            for (float* end = at + floats - (8 * S.Count); at <= end; at += 8 * S.Count)
            {
                a = S.Add(a, S.Load(at));
                b = S.Add(b, S.Load(at + S.Count));
                c = S.Add(c, S.Load(at + (2 * S.Count)));
                d = S.Add(d, S.Load(at + (3 * S.Count)));
                e = S.Add(e, S.Load(at + (4 * S.Count)));
                f = S.Add(f, S.Load(at + (5 * S.Count)));
                g = S.Add(g, S.Load(at + (6 * S.Count)));
                h = S.Add(h, S.Load(at + (7 * S.Count)));
            }

            return S.Sum(S.Add(S.Add(S.Add(a, b), S.Add(c, d)), S.Add(S.Add(e, f), S.Add(g, h))));
        }
    }
}
