using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>A selective scan as its jobs see it: addresses, sizes, and how the channels are cut into blocks, one an item of work.</summary>
internal unsafe struct SelectiveScanPlan
{
    public const int Chunk = Ops.SelectiveScanChunk;

    /// <summary>The widest vector: what per-vector scratch has room for.</summary>
    public const int Lanes = 16;

    public readonly Strided X, Dt, B, C;
    public readonly float* A, Skip;
    public readonly int Batch, Time, Channels, States, Groups, Chunks;
    public readonly bool Softplus;

    /// <summary>Scratch, so many floats a worker.</summary>
    public float* Work;
    public long WorkEach;

    public SelectiveScanPlan(in SelectiveScanInputs x)
    {
        (X, Dt, B, C) = (new Strided(x.X), new Strided(x.Dt), new Strided(x.B), new Strided(x.C));
        A = x.A.Pointer;
        Skip = x.Skip is null ? null : x.Skip.Pointer;
        (Batch, Time, Channels, States, Groups, Chunks, Softplus) = (x.Batch, x.Time, x.Channels, x.States, x.Groups, x.Chunks, x.Softplus);
    }

    /// <summary>
    /// Channels of a block: whole cache lines in a row, fewer where there are few channels, so that there are blocks for every
    /// worker. A function of the channels alone, since sums over channels go block by block.
    /// </summary>
    public readonly int Width => Channels / Groups >= 512 ? 4 * Lanes : 2 * Lanes;

    /// <summary>Blocks of a group.</summary>
    public readonly int Blocks => ((Channels / Groups) + Width - 1) / Width;

    /// <summary>Blocks of all sequences and groups.</summary>
    public readonly int Items => Batch * Groups * Blocks;

    /// <summary>Floats of an array over a block's channels and states.</summary>
    public readonly long StateFloats => (long)States * Width;

    /// <summary>Floats of an array over a chunk's tokens and a block's channels.</summary>
    public readonly long TileFloats => (long)Chunk * Width;

    /// <summary>Floats of an array over a chunk's tokens, a vector's channels and their states.</summary>
    public readonly long PathFloats => (long)Chunk * States * Lanes;

    public readonly float* WorkOf(int worker) => Work + (worker * WorkEach);

    public readonly SelectiveScanBlock Block(int item)
    {
        int group = item / Blocks % Groups, each = Channels / Groups, from = item % Blocks * Width;
        return new SelectiveScanBlock(item / Blocks / Groups, group, (group * each) + from, Math.Min(Width, each - from));
    }

    /// <summary>The first token of a chunk and how many it has.</summary>
    public readonly (int From, int Count) Tokens(int chunk) => (chunk * Chunk, Math.Min(Chunk, Time - (chunk * Chunk)));
}

/// <summary>A block of a group's channels: channels First .. First + Count - 1 of a sequence.</summary>
internal readonly record struct SelectiveScanBlock(int Batch, int Group, int First, int Count);

/// <summary>
/// The selective scan on vectors of channels. Scratch over channels and states lies vector by vector, [block / lanes, N, lanes], over a
/// chunk's tokens and channels as [tokens, block]; lanes beyond the block's last channel hold zeros and stay so.
/// The work is one exponential for each channel, state and token; the rest (a product, two multiply-adds and the loads and stores of
/// a state that lies in L1) fits beside it.
/// </summary>
internal static unsafe class SelectiveScanKernel
{
    /// <summary>A block's rows of A [D,N] as [vectors,N,lanes].</summary>
    public static void PackRates<S, V>(in SelectiveScanPlan p, in SelectiveScanBlock block, float* to) where S : struct, ISimd<V> where V : unmanaged
    {
        Simd.Fill(to, (nint)p.StateFloats, 0);
        for (int j = 0; j < block.Count; j += S.Count)
        {
            SmallGemm.Transpose(Math.Min(S.Count, block.Count - j), p.States, p.A + ((long)(block.First + j) * p.States), p.States, to + ((long)j * p.States), S.Count);
        }
    }

    /// <summary>A block's channels of states [N,D] as [vectors,N,lanes]; zeros where there are none.</summary>
    public static void LoadStates<S, V>(in SelectiveScanPlan p, in SelectiveScanBlock block, float* from, float* to) where S : struct, ISimd<V> where V : unmanaged
    {
        if (from == null)
        {
            Simd.Fill(to, (nint)p.StateFloats, 0);
            return;
        }

        for (int j = 0; j < block.Count; j += S.Count)
        {
            LoadVector<S, V>(p, block, j, from, to + ((long)j * p.States));
        }
    }

    /// <summary>The states of one vector of channels, from channel <paramref name="j"/> of the block on, as [N,lanes].</summary>
    public static void LoadVector<S, V>(in SelectiveScanPlan p, in SelectiveScanBlock block, int j, float* from, float* to) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int n = 0; n < p.States; n++)
        {
            S.Store(Simd.LoadUpTo<S, V>(from + ((long)n * p.Channels) + block.First + j, block.Count - j), to + (n * S.Count));
        }
    }

    /// <summary>The reverse of <see cref="LoadStates"/>; adds if asked to.</summary>
    public static void StoreStates<S, V>(in SelectiveScanPlan p, in SelectiveScanBlock block, float* from, float* to, bool add = false) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int j = 0; j < block.Count; j += S.Count)
        {
            for (int n = 0; n < p.States; n++)
            {
                Simd.StoreUpTo<S, V>(S.Load(from + ((long)j * p.States) + (n * S.Count)), to + ((long)n * p.Channels) + block.First + j, block.Count - j, add);
            }
        }
    }

    /// <summary>A chunk's steps and inputs u = dt x; and, unless null, what of x goes to the output.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Inputs<S, V>(in SelectiveScanPlan p, in SelectiveScanBlock block, int from, int count, float* dt, float* u, float* y)
        where S : struct, ISimd<V> where V : unmanaged
    {
        long row = ((long)block.Batch * p.Time) + from;
        for (int t = 0; t < count; t++)
        {
            float* xt = p.X[row + t] + block.First, dtt = p.Dt[row + t] + block.First;
            long at = (long)t * p.Width;
            for (int j = 0; j < block.Count; j += S.Count)
            {
                int rest = block.Count - j;
                V x = Simd.LoadUpTo<S, V>(xt + j, rest), step = Simd.LoadUpTo<S, V>(dtt + j, rest);
                step = p.Softplus ? Simd.Softplus<S, V>(step) : step;
                S.Store(step, dt + at + j);
                S.Store(S.Mul(step, x), u + at + j);
                if (y != null)
                {
                    S.Store(p.Skip == null ? S.Zero : S.Mul(x, Simd.LoadUpTo<S, V>(p.Skip + block.First + j, rest)), y + at + j);
                }
            }
        }
    }

    /// <summary>Runs one vector of channels over a chunk: h [N,lanes] moves on, what the states give is added to y.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scan<S, V>(int tokens, int states, int width, float* a, float* h, float* dt, float* u, Strided b, Strided c, float* y)
        where S : struct, ISimd<V> where V : unmanaged
    {
        for (int t = 0; t < tokens; t++, dt += width, u += width, y += width)
        {
            float* bt = b[t], ct = c[t], at = a, ht = h;
            V step = S.Load(dt), input = S.Load(u), sum = S.Load(y);
            for (int n = 0; n < states; n++, at += S.Count, ht += S.Count)
            {
                V state = S.Mul(Simd.Exp<S, V>(S.Mul(step, S.Load(at))), S.Load(ht));
                state = S.Fma(input, S.Create(bt[n]), state);
                S.Store(state, ht);
                sum = S.Fma(S.Create(ct[n]), state, sum);
            }

            S.Store(sum, y);
        }
    }

    /// <summary>The same over the tokens of a chunk once more: keeps every decay e^(dt A) and decayed state e^(dt A) h [tokens,N,lanes].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Retrace<S, V>(int tokens, int states, int width, float* a, float* h, float* dt, float* u, Strided b, float* decays, float* decayed)
        where S : struct, ISimd<V> where V : unmanaged
    {
        for (int t = 0; t < tokens; t++, dt += width, u += width)
        {
            float* bt = b[t], at = a, ht = h;
            V step = S.Load(dt), input = S.Load(u);
            for (int n = 0; n < states; n++, at += S.Count, ht += S.Count, decays += S.Count, decayed += S.Count)
            {
                V decay = Simd.Exp<S, V>(S.Mul(step, S.Load(at)));
                V before = S.Mul(decay, S.Load(ht));
                S.Store(decay, decays);
                S.Store(before, decayed);
                S.Store(S.Fma(input, S.Create(bt[n]), before), ht);
            }
        }
    }

    /// <summary>
    /// The chunk backward for one vector of channels. With g = dy: dh_t = e^(dt_{t+1} A) dh_{t+1} + g C; what C and B get, g h and dh u, is
    /// added to (or, for the first vector, written over) dc and db [tokens,N,lanes]; du = dh . B; and with e = dh e^(dt A) h_{t-1}, the
    /// gradient of dt A, the step's is e . A and A's the sum of e dt.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Backward<S, V>(int tokens, int states, int width, float* a, float* dt, float* u, float* g, Strided b, Strided c,
        float* decays, float* decayed, float* dh, float* da, float* db, float* dc, bool first, float* du, float* ddt)
        where S : struct, ISimd<V> where V : unmanaged
    {
        for (int t = tokens - 1; t >= 0; t--)
        {
            float* bt = b[t], ct = c[t];
            nint at = (nint)t * states * S.Count, row = (nint)t * width;
            V step = S.Load(dt + row), input = S.Load(u + row), dy = S.Load(g + row), dinput = S.Zero, dstep = S.Zero;
            for (nint n = 0; n < states; n++)
            {
                nint i = n * S.Count, k = at + i;
                V bn = S.Create(bt[n]), before = S.Load(decayed + k);
                V grad = S.Fma(dy, S.Create(ct[n]), S.Load(dh + i));
                V state = S.Fma(input, bn, before);
                S.Store(first ? S.Mul(dy, state) : S.Fma(dy, state, S.Load(dc + k)), dc + k);
                S.Store(first ? S.Mul(grad, input) : S.Fma(grad, input, S.Load(db + k)), db + k);
                dinput = S.Fma(grad, bn, dinput);
                V e = S.Mul(grad, before);
                dstep = S.Fma(e, S.Load(a + i), dstep);
                S.Store(S.Fma(e, step, S.Load(da + i)), da + i);
                S.Store(S.Mul(grad, S.Load(decays + k)), dh + i);
            }

            S.Store(dinput, du + row);
            S.Store(dstep, ddt + row);
        }
    }

    /// <summary>Sums over the lanes of x [rows,N,lanes] to rows of N floats, <paramref name="stride"/> apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SumLanes<S, V>(int rows, int states, float* x, float* to, long stride) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int row = 0; row < rows; row++, to += stride)
        {
            int n = 0;
            for (; n <= states - 4; n += 4, x += 4 * S.Count)
            {
                Simd128.Store(S.Sums(S.Load(x), S.Load(x + S.Count), S.Load(x + (2 * S.Count)), S.Load(x + (3 * S.Count))), to + n);
            }

            for (; n < states; n++, x += S.Count)
            {
                to[n] = S.Sum(S.Load(x));
            }
        }
    }
}
