using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    internal override void DivideByLast(Tensor x, Tensor? logFloor, int heads, float epsilon, Tensor y)
    {
        using Timed timed = Measure([x, logFloor, y]);
        DivideJob job = new() { X = new Strided(x), LogFloor = new Strided(logFloor), Y = new Strided(y), Heads = heads, Width = y.Shape.Columns / heads, Rows = y.Shape.Rows, Epsilon = epsilon };
        Pool.RunWide(ref job, job.Parts);
    }

    internal override void DivideByLastBackward(Tensor x, Tensor? logFloor, int heads, float epsilon, Tensor y, Tensor dy, GradTarget dx, GradTarget dlogFloor)
    {
        using Timed timed = Measure([x, logFloor, y, dy, dx, dlogFloor]);
        DivideJob forward = new() { X = new Strided(x), LogFloor = new Strided(logFloor), Y = new Strided(y), Heads = heads, Width = y.Shape.Columns / heads, Rows = y.Shape.Rows, Epsilon = epsilon };
        DivideBackwardJob job = new() { F = forward, Dy = new Strided(dy), Dx = new Strided(dx), DlogFloor = new Strided(dlogFloor) };
        Pool.RunWide(ref job, forward.Parts);
    }

    private struct DivideJob : IWideJob
    {
        private const int RowsEach = 16;

        public Strided X, LogFloor, Y;
        public int Heads, Width, Rows; // Width: of a head, without its normaliser
        public float Epsilon;

        public readonly int Parts => (Rows + RowsEach - 1) / RowsEach;

        public readonly (int From, int To) Part(int index) => (index * RowsEach, Math.Min(Rows, (index + 1) * RowsEach));

        /// <summary>The divisor of a head, and whether it is the floor.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly float Divisor(int row, int head, float n, out bool atFloor)
        {
            float floor = LogFloor.IsNone ? 0 : Simd.Exp(LogFloor[row][head]);
            atFloor = MathF.Abs(n) < floor;
            return MathF.Max(MathF.Abs(n), floor) + Epsilon;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            (int from, int to) = Part(index);
            for (int row = from; row < to; row++)
            {
                for (int head = 0; head < Heads; head++)
                {
                    float* x = X[row] + ((long)head * (Width + 1)), y = Y[row] + ((long)head * Width);
                    V inverse = S.Create(1 / Divisor(row, head, x[Width], out _));
                    for (int i = 0; i < Width; i += S.Count)
                    {
                        int n = Math.Min(S.Count, Width - i);
                        S.StorePartial(S.Mul(inverse, S.LoadPartial(x + i, n)), y + i, n);
                    }
                }
            }
        }
    }

    /// <summary>
    /// With c the divisor: dx = dy / c and dc = -sum(dy y) / c, which goes to n with its sign, or where the floor divides to its
    /// logarithm, times the floor.
    /// </summary>
    private struct DivideBackwardJob : IWideJob
    {
        public DivideJob F;
        public Strided Dy, Dx, DlogFloor;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            (int from, int to) = F.Part(index);
            int width = F.Width;
            for (int row = from; row < to; row++)
            {
                for (int head = 0; head < F.Heads; head++)
                {
                    float* y = F.Y[row] + ((long)head * width), dy = Dy[row] + ((long)head * width);
                    float* dx = Dx.IsNone ? null : Dx[row] + ((long)head * (width + 1));
                    float n = F.X[row][((long)head * (width + 1)) + width], divisor = F.Divisor(row, head, n, out bool atFloor);
                    V inverse = S.Create(1 / divisor), sum = S.Zero;
                    for (int i = 0; i < width; i += S.Count)
                    {
                        int count = Math.Min(S.Count, width - i);
                        V d = S.LoadPartial(dy + i, count);
                        sum = S.Fma(d, S.LoadPartial(y + i, count), sum);
                        if (dx is not null)
                        {
                            V value = S.Mul(d, inverse);
                            S.StorePartial(Dx.Add ? S.Add(value, S.LoadPartial(dx + i, count)) : value, dx + i, count);
                        }
                    }

                    float total = S.Sum(sum);
                    if (dx is not null)
                    {
                        dx[width] = (atFloor ? 0 : -total / divisor * MathF.Sign(n)) + (Dx.Add ? dx[width] : 0);
                    }

                    if (!DlogFloor.IsNone)
                    {
                        float* floor = DlogFloor[row] + head;
                        *floor = (atFloor ? -total * (1 - (F.Epsilon / divisor)) : 0) + (DlogFloor.Add ? *floor : 0);
                    }
                }
            }
        }
    }
}
