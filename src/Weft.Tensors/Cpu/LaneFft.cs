using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>
/// The fast Fourier transform of many channels at once: element n of a transform is a vector of real parts and one of imaginary parts,
/// a channel a lane. It evaluates polynomials of degree N - 1 at the N roots of x^N = i, rather than of 1: for real u of 2N values,
/// z_n = u_n + i u_{n+N} then stands for u modulo x^2N + 1, and products of such transforms are real convolutions of 2N values (in
/// which what passes the end comes back with its sign turned), without the usual passes that separate real spectra.
/// </summary>
/// <remarks>
/// The polynomial modulo x^N - s^2 splits into those modulo x^(N/2) - s and x^(N/2) + s, down to single values: nodes of a binary tree,
/// numbered as in a heap, each with its s. Values end in the tree's (bit-reversed) order, which products do not mind; the inverse walks back
/// up. Both work in place, two levels at a time.
/// </remarks>
internal static unsafe class LaneFft
{
    // Elements whose transform stays in L1.
    private const int Near = 128;

    /// <summary>s of the tree's nodes 1 .. count - 1, pairs of real and imaginary part: node m + i of level m = 2^l has s = exp(-i pi (v + 3 / 4m)), v the bits of i mirrored at the binary point.</summary>
    public static void Fill(float* table, int count)
    {
        for (int node = 1; node < count; node++)
        {
            double fraction = 0, bit = 0.5;
            int level = node;
            for (; level > 1; level >>= 1, bit /= 2)
            {
                fraction += (level & 1) * bit;
            }

            // The loop above took the lowest bit of the node first: the highest of the mirrored fraction; the node's own leading one is left out.
            double angle = -Math.PI * (fraction + (1.5 * bit));
            (table[2 * node], table[(2 * node) + 1]) = ((float)Math.Cos(angle), (float)Math.Sin(angle));
        }
    }

    /// <summary>Values at the roots of x^size = i, in the tree's order, for <paramref name="node"/> 1; of a subtree's polynomial for others.</summary>
    public static void Forward<S, V>(float* z, int size, int node, float* table) where S : struct, ISimd<V> where V : unmanaged
    {
        if (size > Near)
        {
            Split4<S, V>(z, size / 4, 1, node, table);
            for (int child = 0; child < 4; child++)
            {
                Forward<S, V>(z + ((long)child * (size / 4) * 2 * S.Count), size / 4, (4 * node) + child, table);
            }

            return;
        }

        int nodes = 1;
        for (; size >= 4; size /= 4, nodes *= 4, node *= 4)
        {
            Split4<S, V>(z, size / 4, nodes, node, table);
        }

        if (size == 2)
        {
            Split2<S, V>(z, nodes, node, table);
        }
    }

    /// <summary>The inverse of <see cref="Forward"/>, times size.</summary>
    public static void Inverse<S, V>(float* z, int size, int node, float* table) where S : struct, ISimd<V> where V : unmanaged
    {
        if (size > Near)
        {
            for (int child = 0; child < 4; child++)
            {
                Inverse<S, V>(z + ((long)child * (size / 4) * 2 * S.Count), size / 4, (4 * node) + child, table);
            }

            Join4<S, V>(z, size / 4, 1, node, table);
            return;
        }

        // The levels of Forward, backwards.
        int nodes = 1, part = size;
        for (; part >= 4; part /= 4, nodes *= 4, node *= 4)
        {
        }

        if (part == 2)
        {
            Join2<S, V>(z, nodes, node, table);
        }

        for (; part < size; part *= 4)
        {
            (nodes, node) = (nodes / 4, node / 4);
            Join4<S, V>(z, part, nodes, node, table);
        }
    }

    /// <summary>Splits each of some neighbouring nodes of 4 quarter elements into its four grandchildren.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Split4<S, V>(float* z, int quarter, int nodes, int node, float* table) where S : struct, ISimd<V> where V : unmanaged
    {
        nint step = (nint)quarter * 2 * S.Count;
        for (; nodes > 0; nodes--, node++, z += 3 * step)
        {
            (float s, float si, float t, float ti) = (table[2 * node], table[(2 * node) + 1], table[4 * node], table[(4 * node) + 1]);
            V sr = S.Create(s), sj = S.Create(si), tr = S.Create(t), tj = S.Create(ti);
            V ur = S.Create((s * t) - (si * ti)), uj = S.Create((s * ti) + (si * t));
            for (float* end = z + step; z < end; z += 2 * S.Count)
            {
                float* zb = z + step, zc = zb + step, zd = zc + step;
                V ar = S.Load(z), aj = S.Load(z + S.Count);
                V br = S.Load(zb), bj = S.Load(zb + S.Count);
                V cr = S.Load(zc), cj = S.Load(zc + S.Count);
                V dr = S.Load(zd), dj = S.Load(zd + S.Count);
                V pr = S.Sub(S.Mul(br, tr), S.Mul(bj, tj)), pj = S.Fma(br, tj, S.Mul(bj, tr));
                V qr = S.Sub(S.Mul(cr, sr), S.Mul(cj, sj)), qj = S.Fma(cr, sj, S.Mul(cj, sr));
                V wr = S.Sub(S.Mul(dr, ur), S.Mul(dj, uj)), wj = S.Fma(dr, uj, S.Mul(dj, ur));
                V evenr = S.Add(ar, qr), evenj = S.Add(aj, qj), oddr = S.Sub(ar, qr), oddj = S.Sub(aj, qj);
                V sumr = S.Add(pr, wr), sumj = S.Add(pj, wj), turnr = S.Sub(pr, wr), turnj = S.Sub(pj, wj);
                S.Store(S.Add(evenr, sumr), z);
                S.Store(S.Add(evenj, sumj), z + S.Count);
                S.Store(S.Sub(evenr, sumr), zb);
                S.Store(S.Sub(evenj, sumj), zb + S.Count);
                S.Store(S.Add(oddr, turnj), zc);
                S.Store(S.Sub(oddj, turnr), zc + S.Count);
                S.Store(S.Sub(oddr, turnj), zd);
                S.Store(S.Add(oddj, turnr), zd + S.Count);
            }
        }
    }

    /// <summary>The inverse of <see cref="Split4"/>, times 4.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Join4<S, V>(float* z, int quarter, int nodes, int node, float* table) where S : struct, ISimd<V> where V : unmanaged
    {
        nint step = (nint)quarter * 2 * S.Count;
        for (; nodes > 0; nodes--, node++, z += 3 * step)
        {
            (float s, float si, float t, float ti) = (table[2 * node], table[(2 * node) + 1], table[4 * node], table[(4 * node) + 1]);
            V sr = S.Create(s), sj = S.Create(si), tr = S.Create(t), tj = S.Create(ti);
            V ur = S.Create((s * t) - (si * ti)), uj = S.Create((s * ti) + (si * t));
            for (float* end = z + step; z < end; z += 2 * S.Count)
            {
                float* zb = z + step, zc = zb + step, zd = zc + step;
                V ar = S.Load(z), aj = S.Load(z + S.Count);
                V br = S.Load(zb), bj = S.Load(zb + S.Count);
                V cr = S.Load(zc), cj = S.Load(zc + S.Count);
                V dr = S.Load(zd), dj = S.Load(zd + S.Count);
                V evenr = S.Add(ar, br), evenj = S.Add(aj, bj), sumr = S.Sub(ar, br), sumj = S.Sub(aj, bj);
                V oddr = S.Add(cr, dr), oddj = S.Add(cj, dj), turnj = S.Sub(cr, dr), turnr = S.Sub(dj, cj);
                V pr = S.Add(sumr, turnr), pj = S.Add(sumj, turnj), wr = S.Sub(sumr, turnr), wj = S.Sub(sumj, turnj);
                V qr = S.Sub(evenr, oddr), qj = S.Sub(evenj, oddj);
                S.Store(S.Add(evenr, oddr), z);
                S.Store(S.Add(evenj, oddj), z + S.Count);
                S.Store(S.Fma(pr, tr, S.Mul(pj, tj)), zb);
                S.Store(S.Sub(S.Mul(pj, tr), S.Mul(pr, tj)), zb + S.Count);
                S.Store(S.Fma(qr, sr, S.Mul(qj, sj)), zc);
                S.Store(S.Sub(S.Mul(qj, sr), S.Mul(qr, sj)), zc + S.Count);
                S.Store(S.Fma(wr, ur, S.Mul(wj, uj)), zd);
                S.Store(S.Sub(S.Mul(wj, ur), S.Mul(wr, uj)), zd + S.Count);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Split2<S, V>(float* z, int nodes, int node, float* table) where S : struct, ISimd<V> where V : unmanaged
    {
        for (; nodes > 0; nodes--, node++, z += 4 * S.Count)
        {
            V sr = S.Create(table[2 * node]), sj = S.Create(table[(2 * node) + 1]);
            V ar = S.Load(z), aj = S.Load(z + S.Count), br = S.Load(z + (2 * S.Count)), bj = S.Load(z + (3 * S.Count));
            V pr = S.Sub(S.Mul(br, sr), S.Mul(bj, sj)), pj = S.Fma(br, sj, S.Mul(bj, sr));
            S.Store(S.Add(ar, pr), z);
            S.Store(S.Add(aj, pj), z + S.Count);
            S.Store(S.Sub(ar, pr), z + (2 * S.Count));
            S.Store(S.Sub(aj, pj), z + (3 * S.Count));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Join2<S, V>(float* z, int nodes, int node, float* table) where S : struct, ISimd<V> where V : unmanaged
    {
        for (; nodes > 0; nodes--, node++, z += 4 * S.Count)
        {
            V sr = S.Create(table[2 * node]), sj = S.Create(table[(2 * node) + 1]);
            V ar = S.Load(z), aj = S.Load(z + S.Count), br = S.Load(z + (2 * S.Count)), bj = S.Load(z + (3 * S.Count));
            V pr = S.Sub(ar, br), pj = S.Sub(aj, bj);
            S.Store(S.Add(ar, br), z);
            S.Store(S.Add(aj, bj), z + S.Count);
            S.Store(S.Fma(pr, sr, S.Mul(pj, sj)), z + (2 * S.Count));
            S.Store(S.Sub(S.Mul(pj, sr), S.Mul(pr, sj)), z + (3 * S.Count));
        }
    }
}
