using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

public sealed unsafe partial class CpuDevice
{
    // The parts of operands that one expert sees.
    private readonly Tensor expertX = new(), expertY = new(), expertWeight = new(), expertDweight = new();

    internal override void RouteExperts(Tensor x, Tensor router, Tensor? correction, in ExpertRouting routing, Tensor scores, in ExpertRoute route)
    {
        using Timed timed = Measure([x, router, scores, route.Weights]);
        int tokens = route.Tokens, experts = route.Experts, columns = x.Shape.Columns;
        Gemm.Run(Pool, false, true, tokens, experts, columns, x.Pointer, x.RowStride, router.Pointer, router.RowStride, 0, scores.Pointer, experts);
        CountFlops(2L * tokens * experts * columns);
        var job = new ChoiceJob
        {
            Routing = routing,
            Tokens = tokens,
            Scores = scores.Pointer,
            Correction = correction is null ? null : correction.Pointer,
            Weights = route.Weights.Pointer,
            Chosen = route.Chosen,
            Scratch = Pool.ScratchTable(4 * (nint)experts),
        };
        Pool.RunWide(ref job, (tokens + ChoiceJob.TokensEach - 1) / ChoiceJob.TokensEach);

        // Places: a counting sort by expert, which keeps tokens in order.
        int* starts = route.Starts, chosen = route.Chosen, places = route.Places;
        new Span<int>(starts, experts + 1).Clear();
        for (int i = 0; i < route.Rows; i++)
        {
            starts[chosen[i] + 1]++;
        }

        for (int expert = 0; expert < experts; expert++)
        {
            starts[expert + 1] += starts[expert];
        }

        for (int i = 0; i < route.Rows; i++)
        {
            places[i] = starts[chosen[i]]++;
        }

        for (int expert = experts; expert > 0; expert--)
        {
            starts[expert] = starts[expert - 1]; // each start moved to its expert's end, the next one's start
        }

        starts[0] = 0;
    }

    /// <summary>Some tokens' scores, choices and weights.</summary>
    private struct ChoiceJob : IWideJob
    {
        public const int TokensEach = 16;

        public ExpertRouting Routing;
        public int Tokens;
        public float* Scores, Correction, Weights;
        public int* Chosen;
        public float** Scratch;

        public readonly void Run<S, V>(int index, int worker) where S : struct, ISimd<V> where V : unmanaged
        {
            int experts = Routing.Experts, active = Routing.Active;
            for (int token = index * TokensEach; token < Math.Min(Tokens, (index + 1) * TokensEach); token++)
            {
                float* scores = Scores + ((long)token * experts), weights = Weights + ((long)token * active);
                int* chosen = Chosen + ((long)token * active);
                Score<S, V>(scores);
                Choose(scores, Scratch[worker], chosen);
                float sum = 0;
                for (int i = 0; i < active; i++)
                {
                    weights[i] = scores[chosen[i]];
                    sum += weights[i];
                }

                float whole = Routing.Renormalise ? sum + Least : 1; // divided by: the weight of a single one is then exactly 1
                for (int i = 0; i < active; i++)
                {
                    weights[i] = weights[i] / whole * Routing.Scale;
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Score<S, V>(float* x) where S : struct, ISimd<V> where V : unmanaged
        {
            int experts = Routing.Experts;
            V shift = S.Create(Routing.IsSigmoid ? 0 : -Simd.Max(experts, x));
            for (int i = 0; i < experts; i += S.Count)
            {
                V value = Simd.LoadUpTo<S, V>(x + i, experts - i);
                Simd.StoreUpTo<S, V>(Routing.IsSigmoid ? Simd.Sigmoid<S, V>(value) : Simd.Exp<S, V>(S.Add(value, shift)), x + i, experts - i);
            }

            if (!Routing.IsSigmoid)
            {
                Simd.Scale(experts, 1 / Simd.Sum(experts, x), x);
            }
        }

        private readonly void Choose(float* scores, float* scratch, int* chosen)
        {
            int experts = Routing.Experts, groups = Routing.Groups, each = experts / groups;
            float* values = scratch, best = values + experts, sums = best + experts;
            int* chosenGroups = (int*)(sums + experts);
            new ReadOnlySpan<float>(scores, experts).CopyTo(new Span<float>(values, experts));
            if (Correction != null)
            {
                Simd.Add(experts, Correction, values);
            }

            if (Routing.ActiveGroups < groups)
            {
                for (int group = 0; group < groups; group++)
                {
                    (float first, float second) = (float.NegativeInfinity, float.NegativeInfinity);
                    for (int i = group * each; i < (group + 1) * each; i++)
                    {
                        (first, second) = values[i] > first ? (values[i], first) : (first, MathF.Max(second, values[i]));
                    }

                    sums[group] = first + second;
                }

                TopK.Indices(sums, groups, Routing.ActiveGroups, best, chosenGroups);
                for (int group = 0, kept = 0; group < groups; group++)
                {
                    if (kept < Routing.ActiveGroups && chosenGroups[kept] == group)
                    {
                        kept++;
                    }
                    else
                    {
                        Simd.Fill(values + (group * each), each, float.NegativeInfinity);
                    }
                }
            }

            TopK.Indices(values, experts, Routing.Active, best, chosen);
        }
    }

    private const float Least = 1e-20f; // keeps a sum of scores from being zero

    internal override void RouteExpertsBackward(in ExpertRouting routing, Tensor scores, in ExpertRoute route, Tensor dweights, Tensor dlogits)
    {
        using Timed timed = Measure([scores, route.Weights, dweights, dlogits]);
        var job = new ChoiceGradientJob { Routing = routing, Tokens = route.Tokens, Scores = scores.Pointer, Chosen = route.Chosen, Dweights = new Strided(dweights), Dlogits = dlogits.Pointer };
        Pool.Run(ref job, (route.Tokens + ChoiceJob.TokensEach - 1) / ChoiceJob.TokensEach);
    }

    private struct ChoiceGradientJob : IJob
    {
        public ExpertRouting Routing;
        public int Tokens;
        public float* Scores, Dlogits;
        public int* Chosen;
        public Strided Dweights;

        public readonly void Run(int index, int worker)
        {
            int experts = Routing.Experts, active = Routing.Active;
            for (int token = index * ChoiceJob.TokensEach; token < Math.Min(Tokens, (index + 1) * ChoiceJob.TokensEach); token++)
            {
                float* scores = Scores + ((long)token * experts), dlogits = Dlogits + ((long)token * experts), dw = Dweights[token];
                int* chosen = Chosen + ((long)token * active);

                // w = scale s / sum(s): ds = (scale / sum) (dw - sum(dw s / sum)).
                float whole = 0, shift = 0;
                for (int i = 0; i < active; i++)
                {
                    whole += scores[chosen[i]];
                }

                whole = Routing.Renormalise ? whole + Least : 1;
                for (int i = 0; Routing.Renormalise && i < active; i++)
                {
                    shift += dw[i] * (scores[chosen[i]] / whole);
                }

                Simd.Fill(dlogits, experts, 0);
                float back = 0;
                for (int i = 0; i < active; i++)
                {
                    float s = scores[chosen[i]], ds = Routing.Scale / whole * (dw[i] - shift);
                    dlogits[chosen[i]] = Routing.IsSigmoid ? ds * s * (1 - s) : ds * s;
                    back += ds * s;
                }

                if (!Routing.IsSigmoid)
                {
                    Simd.Axpy(experts, -back, scores, dlogits); // softmax: s (ds - sum(ds s))
                }
            }
        }
    }

    internal override void ToExperts(Tensor x, in ExpertRoute route, Tensor y)
    {
        using Timed timed = Measure([x, y]);
        var job = new ExpertRowsJob { Kind = ExpertRows.Spread, X = new Strided(x), Y = new Strided(y) };
        Run(ref job, route, x.Shape.Columns);
    }

    internal override void ToExpertsBackward(in ExpertRoute route, Tensor dy, GradTarget dx)
    {
        using Timed timed = Measure([dy, dx]);
        var job = new ExpertRowsJob { Kind = ExpertRows.Gather, X = new Strided(dx), Y = new Strided(dy) };
        Run(ref job, route, dy.Shape.Columns);
    }

    internal override void FromExperts(Tensor x, in ExpertRoute route, Tensor y)
    {
        using Timed timed = Measure([x, route.Weights, y]);
        var job = new ExpertRowsJob { Kind = ExpertRows.Combine, X = new Strided(y), Y = new Strided(x), Weights = new Strided(route.Weights) };
        Run(ref job, route, x.Shape.Columns);
    }

    internal override void FromExpertsBackward(Tensor x, in ExpertRoute route, Tensor dy, GradTarget dx, GradTarget dweights)
    {
        using Timed timed = Measure([x, route.Weights, dy, dx, dweights]);
        var job = new ExpertRowsJob { Kind = ExpertRows.CombineBack, X = new Strided(dy), Y = new Strided(x), Weights = new Strided(route.Weights), Dy = new Strided(dx), Dweights = new Strided(dweights) };
        Run(ref job, route, x.Shape.Columns);
    }

    private void Run(ref ExpertRowsJob job, in ExpertRoute route, int columns)
    {
        (job.Tokens, job.Active, job.Columns) = (route.Tokens, route.Active, columns);
        job.Places = route.Places;
        Pool.Run(ref job, (route.Tokens + ExpertRowsJob.TokensEach - 1) / ExpertRowsJob.TokensEach);
    }

    private enum ExpertRows
    {
        Spread,
        Gather,
        Combine,
        CombineBack,
    }

    /// <summary>Rows of X, a token each, to or from their places in Y.</summary>
    private struct ExpertRowsJob : IJob
    {
        public const int TokensEach = 8;

        public ExpertRows Kind;
        public int Tokens, Active, Columns;
        public int* Places;
        public Strided X, Y, Weights, Dy, Dweights;

        public readonly void Run(int index, int worker)
        {
            for (int token = index * TokensEach; token < Math.Min(Tokens, (index + 1) * TokensEach); token++)
            {
                int* places = Places + ((long)token * Active);
                if (Kind == ExpertRows.Combine)
                {
                    Simd.Fill(X[token], Columns, 0);
                }

                for (int i = 0; i < Active; i++)
                {
                    float* x = X[token], y = Y[places[i]];
                    switch (Kind)
                    {
                        case ExpertRows.Spread: Put(x, y, false); break;
                        case ExpertRows.Gather: Put(y, x, X.Add || i > 0); break;
                        case ExpertRows.Combine: Simd.Axpy(Columns, Weights[token][i], y, x); break;
                        default: Back(x, y, token, i, places[i]); break;
                    }
                }
            }
        }

        private readonly void Back(float* dy, float* x, int token, int i, int place)
        {
            if (!Dy.IsNone)
            {
                if (!Dy.Add)
                {
                    Simd.Fill(Dy[place], Columns, 0);
                }

                Simd.Axpy(Columns, Weights[token][i], dy, Dy[place]);
            }

            if (!Dweights.IsNone)
            {
                Dweights[token][i] = (Dweights.Add ? Dweights[token][i] : 0) + Simd.Dot(Columns, dy, x);
            }
        }

        private readonly void Put(float* from, float* to, bool add)
        {
            if (add)
            {
                Simd.Add(Columns, from, to);
            }
            else
            {
                new ReadOnlySpan<float>(from, Columns).CopyTo(new Span<float>(to, Columns));
            }
        }
    }

    // An expert after the other, each a product on all workers. Which kernel takes them follows from the number of tokens routed, not from
    // how many of them an expert has: pieces of a sequence then give the same bits.
    internal override void ExpertLinear(Tensor x, Tensor weight, in ExpertRoute route, Tensor y)
    {
        using Timed timed = Measure([x, Operand.Floats(ReadBy(route) * y.Shape.Columns * x.Shape.Columns), y]);
        int n = y.Shape.Columns, k = x.Shape.Columns;
        bool isPart = route.Tokens > FewRows.MaxRows, inBf16 = kernels != null && weight.IsWeight && Bf16Gemm.Takes(route.Rows, n, k, true);
        float* packed = inBf16 ? PackedExperts(weight, route.Experts, n, k) : null;
        CountFlops(2L * route.Rows * n * k);
        for (int expert = 0; expert < route.Experts; expert++)
        {
            int start = route.Starts[expert], m = route.Starts[expert + 1] - start;
            if (m == 0)
            {
                continue;
            }

            Part(expertX, x, start, m);
            Part(expertY, y, start, m);
            if (weight.Format != WeightFormat.Float32)
                HeldProduct(expertX, HeldOf(weight), expert * n, n, null, expertY, false, isPart);
            else if (inBf16)
                Bf16Product(expertX, false, packed + (expert * Bf16Gemm.PackedLanes(n, k)), true, n, k, null, expertY, false, isPart);
            else
                Gemm.Run(Pool, false, true, m, n, k, expertX.Pointer, expertX.RowStride, weight.Pointer + ((long)expert * n * weight.RowStride), weight.RowStride, 0, expertY.Pointer, expertY.RowStride, partOfMore: isPart);
        }
    }

    // Each expert's matrix transposed in bfloat16, one after the other, kept until the weight changes.
    private float* PackedExperts(Tensor weight, int experts, int n, int k)
    {
        PackedWeight held = (PackedWeight)(weight.DeviceCopy ??= new PackedWeight(this));
        long each = Bf16Gemm.PackedLanes(n, k);
        bool isOld = held.Wanted(true, experts * each, weight.Version, out float* target);
        for (int expert = 0; isOld && expert < experts; expert++)
        {
            Bf16Gemm.Pack(Pool, true, n, k, weight.Pointer + ((long)expert * n * weight.RowStride), weight.RowStride, target + (expert * each));
        }

        return target;
    }

    // The experts that have tokens.
    private static long ReadBy(in ExpertRoute route)
    {
        long experts = 0;
        for (int expert = 0; expert < route.Experts; expert++)
        {
            experts += route.Starts[expert + 1] > route.Starts[expert] ? 1 : 0;
        }

        return experts;
    }

    internal override void ExpertLinearBackward(Tensor x, Tensor weight, in ExpertRoute route, Tensor dy, GradTarget dx, GradTarget dweight)
    {
        using Timed timed = Measure([x, weight, dy, dx, dweight]);
        int n = dy.Shape.Columns;
        for (int expert = 0; expert < route.Experts; expert++)
        {
            int start = route.Starts[expert], m = route.Starts[expert + 1] - start;
            Part(expertY, dy, start, m);
            if (dx.Tensor is { } toX && m > 0)
            {
                Part(expertX, toX, start, m);
                Part(expertWeight, weight, expert * n, n);
                MatMul(expertY, false, expertWeight, false, null, expertX, dx.Accumulate);
            }

            if (dweight.Tensor is { } toWeight && (m > 0 || !dweight.Accumulate))
            {
                Part(expertX, x, start, m);
                Part(expertDweight, toWeight, expert * n, n);
                MatMul(expertY, true, expertX, false, null, expertDweight, dweight.Accumulate);
            }
        }
    }
}
