using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>
/// A chunk of tokens of a diagonal-plus-low-rank state space on a block of 16 channels, whose numbers lie in scratch, channels in a vector's
/// lanes. The correction needs all states of a token before any of the next, so each token is one pass over the states, which also adds up what
/// the next token's correction is: twelve multiply-adds a state.
/// </summary>
internal readonly unsafe struct LowRankSsmKernel
{
    /// <summary>The states of a channel come in multiples of it: two sums hide each other's latency.</summary>
    public const int Group = 2;

    private const int Tokens = Ops.LowRankSsmChunk, Block = StateBlocks.Width;

    public readonly Planes Lambda, Left, Right, B, C, H, DH, DLambda, DLeft, DRight, DB, DC;
    public readonly float* X, Y, DX; // [tokens, block]; Y holds outputs, or their gradients
    public readonly float* Skip, DSkip; // [block]
    private readonly float* sizes; // [tokens + 1, block]: sigma = 2 Re sum left h of the state before each token and after the last
    private readonly float* dsizes; // the gradients of these
    private readonly float* past;   // [tokens + 1]: the states before each token and after the last, as H
    private readonly float* slopes; // [tokens]: their gradients
    private readonly int states;

    /// <summary>The floats of scratch of a forward pass.</summary>
    public static int Scratch(int states) => (12 * states * Block) + (((3 * Tokens) + 2) * Block);

    /// <summary>The floats of scratch of a backward pass.</summary>
    public static int BackwardScratch(int states) => Scratch(states) + (12 * states * Block) + (2 * (Tokens + 1) * Block) + (((2 * Tokens) + 1) * 2 * states * Block);

    /// <summary>Divides scratch: what both passes use first.</summary>
    public LowRankSsmKernel(int states, float* scratch)
    {
        this.states = states;
        Lambda = new Planes(scratch, states);
        Left = Lambda.Next(states);
        Right = Left.Next(states);
        B = Right.Next(states);
        C = B.Next(states);
        H = C.Next(states);
        X = H.Next(states).Re;
        Y = X + (Tokens * Block);
        sizes = Y + (Tokens * Block);
        Skip = sizes + ((Tokens + 1) * Block);
        DH = new Planes(Skip + Block, states);
        DLambda = DH.Next(states);
        DLeft = DLambda.Next(states);
        DRight = DLeft.Next(states);
        DB = DRight.Next(states);
        DC = DB.Next(states);
        DX = DC.Next(states).Re;
        DSkip = DX + (Tokens * Block);
        dsizes = DSkip + Block;
        past = dsizes + ((Tokens + 1) * Block);
        slopes = past + ((Tokens + 1) * 2 * states * Block);
    }

    /// <summary>Sets the sums of the parameters' gradients to zero.</summary>
    public void ClearSums()
    {
        new Span<float>(DLambda.Re, 10 * states * Block).Clear();
        new Span<float>(DSkip, Block).Clear();
    }

    /// <summary>y = Re sum_n c h for each token of X. H goes on; or, to <paramref name="keep"/> them, all states are written one after the other.</summary>
    public void Chunk<S, V>(int tokens, bool keep) where S : struct, ISimd<V> where V : unmanaged
    {
        int size = 2 * states * Block;
        if (keep)
        {
            new ReadOnlySpan<float>(H.Re, size).CopyTo(new Span<float>(past, size));
        }

        for (int lane = 0; lane < Block; lane += S.Count)
        {
            Advance<S, V>(tokens, lane, (keep ? past : H.Re) + lane, keep ? size : 0);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Advance<S, V>(int tokens, int lane, float* h, int step) where S : struct, ISimd<V> where V : unmanaged
    {
        int plane = states * Block;
        float* ar = Lambda.Re + lane, ai = Lambda.Im + lane, lr = Left.Re + lane, li = Left.Im + lane, rr = Right.Re + lane, ri = Right.Im + lane;
        float* br = B.Re + lane, bi = B.Im + lane, cr = C.Re + lane, ci = C.Im + lane;
        V two = S.Create(2), s0 = S.Zero, s1 = S.Zero, t0 = S.Zero, t1 = S.Zero; // sums of real and of imaginary products, of even and of odd states
        for (int n = 0; n < plane; n += 2 * Block)
        {
            s0 = S.Fma(S.Load(lr + n), S.Load(h + n), s0);
            t0 = S.Fma(S.Load(li + n), S.Load(h + plane + n), t0);
            s1 = S.Fma(S.Load(lr + n + Block), S.Load(h + n + Block), s1);
            t1 = S.Fma(S.Load(li + n + Block), S.Load(h + plane + n + Block), t1);
        }

        V sigma = S.Mul(two, S.Sub(S.Add(s0, s1), S.Add(t0, t1)));
        S.Store(sigma, sizes + lane);
        for (int t = 0; t < tokens; t++, h += step)
        {
            V x = S.Load(X + (t * Block) + lane), minus = S.Sub(S.Zero, sigma);
            V y0 = S.Zero, y1 = S.Zero, z0 = S.Zero, z1 = S.Zero;
            (s0, s1, t0, t1) = (S.Zero, S.Zero, S.Zero, S.Zero);
            float* next = h + step;
            for (int n = 0; n < plane; n += 2 * Block)
            {
                int m = n + Block;
                V re = S.Load(h + n), im = S.Load(h + plane + n), a = S.Load(ar + n), b = S.Load(ai + n);
                V hr = S.Sub(S.Fma(a, re, S.Fma(S.Load(rr + n), minus, S.Mul(S.Load(br + n), x))), S.Mul(b, im));
                V hi = S.Fma(a, im, S.Fma(b, re, S.Fma(S.Load(ri + n), minus, S.Mul(S.Load(bi + n), x))));
                S.Store(hr, next + n);
                S.Store(hi, next + plane + n);
                y0 = S.Fma(S.Load(cr + n), hr, y0);
                z0 = S.Fma(S.Load(ci + n), hi, z0);
                s0 = S.Fma(S.Load(lr + n), hr, s0);
                t0 = S.Fma(S.Load(li + n), hi, t0);
                re = S.Load(h + m);
                im = S.Load(h + plane + m);
                a = S.Load(ar + m);
                b = S.Load(ai + m);
                hr = S.Sub(S.Fma(a, re, S.Fma(S.Load(rr + m), minus, S.Mul(S.Load(br + m), x))), S.Mul(b, im));
                hi = S.Fma(a, im, S.Fma(b, re, S.Fma(S.Load(ri + m), minus, S.Mul(S.Load(bi + m), x))));
                S.Store(hr, next + m);
                S.Store(hi, next + plane + m);
                y1 = S.Fma(S.Load(cr + m), hr, y1);
                z1 = S.Fma(S.Load(ci + m), hi, z1);
                s1 = S.Fma(S.Load(lr + m), hr, s1);
                t1 = S.Fma(S.Load(li + m), hi, t1);
            }

            S.Store(S.Sub(S.Add(y0, y1), S.Add(z0, z1)), Y + (t * Block) + lane);
            sigma = S.Mul(two, S.Sub(S.Add(s0, s1), S.Add(t0, t1)));
            S.Store(sigma, sizes + ((t + 1) * Block) + lane);
        }
    }

    /// <summary>Begins a backward pass with the gradient of the final state, in DH: no correction follows that state.</summary>
    public void End() => new Span<float>(dsizes, Block).Clear();

    /// <summary>
    /// From the gradients of a chunk's outputs (in Y) and its states: DX, and what the chunk adds to the gradients of the parameters. With
    /// g_t the gradient of h_t, DH comes as conj(lambda) g_{t+1}, or the final state's gradient, and goes as conj(lambda) g_t.
    /// </summary>
    public void ChunkBackward<S, V>(int tokens) where S : struct, ISimd<V> where V : unmanaged
    {
        StateBlocks.AddProducts<S, V>(tokens, X, Y, DSkip);
        new ReadOnlySpan<float>(dsizes, Block).CopyTo(new Span<float>(dsizes + (tokens * Block), Block)); // the next chunk's first is this one's last
        for (int lane = 0; lane < Block; lane += S.Count)
        {
            for (int t = tokens - 1; t >= 0; t--)
            {
                Return<S, V>(t, lane);
            }

            for (int n = lane; n < states * Block; n += Block)
            {
                AddSums<S, V>(tokens, n, lane);
            }
        }
    }

    /// <summary>One token: g = DH + 2 conj(left) dsigma + 2 conj(c) dy is kept; dsigma is that of the state after it, and then of the one before.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Return<S, V>(int t, int lane) where S : struct, ISimd<V> where V : unmanaged
    {
        int plane = states * Block;
        float* g = slopes + (2L * t * plane);
        V two = S.Create(2), dy = S.Mul(two, S.Load(Y + (t * Block) + lane)), ds = S.Mul(two, S.Load(dsizes + ((t + 1) * Block) + lane));
        V dx = S.Zero, dx1 = S.Zero, dsigma = S.Zero, dsigma1 = S.Zero;
        for (int n = lane; n < plane; n += Block)
        {
            V gr = S.Fma(S.Load(Left.Re + n), ds, S.Fma(S.Load(C.Re + n), dy, S.Load(DH.Re + n)));
            V gi = S.Sub(S.Load(DH.Im + n), S.Fma(S.Load(Left.Im + n), ds, S.Mul(S.Load(C.Im + n), dy)));
            S.Store(gr, g + n);
            S.Store(gi, g + plane + n);
            dx = S.Fma(S.Load(B.Re + n), gr, dx);
            dx1 = S.Fma(S.Load(B.Im + n), gi, dx1);
            dsigma = S.Fma(S.Load(Right.Re + n), gr, dsigma);
            dsigma1 = S.Fma(S.Load(Right.Im + n), gi, dsigma1);
            V ar = S.Load(Lambda.Re + n), ai = S.Load(Lambda.Im + n);
            S.Store(S.Fma(ar, gr, S.Mul(ai, gi)), DH.Re + n);
            S.Store(S.Sub(S.Mul(ar, gi), S.Mul(ai, gr)), DH.Im + n);
        }

        S.Store(S.Add(dx, dx1), DX + (t * Block) + lane);
        S.Store(S.Sub(S.Zero, S.Add(dsigma, dsigma1)), dsizes + (t * Block) + lane);
    }

    /// <summary>What a chunk adds to the gradients of one state's parameters: sums over its tokens, from the states and gradients kept.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddSums<S, V>(int tokens, int n, int lane) where S : struct, ISimd<V> where V : unmanaged
    {
        int plane = states * Block;
        float* h = past + n, g = slopes + n;
        V cr = S.Zero, ci = S.Zero, lr = S.Zero, li = S.Zero, br = S.Zero, bi = S.Zero, rr = S.Zero, ri = S.Zero, ar = S.Zero, ai = S.Zero;
        V pr = S.Load(h), pi = S.Load(h + plane);
        for (int t = 0; t < tokens; t++, g += 2 * plane)
        {
            h += 2 * plane;
            int at = (t * Block) + lane;
            V gr = S.Load(g), gi = S.Load(g + plane), x = S.Load(X + at), dy = S.Load(Y + at), sigma = S.Load(sizes + at), ds = S.Load(dsizes + at + Block);
            ar = S.Fma(gr, pr, S.Fma(gi, pi, ar));
            ai = S.Sub(S.Fma(gi, pr, ai), S.Mul(gr, pi));
            (pr, pi) = (S.Load(h), S.Load(h + plane));
            cr = S.Fma(pr, dy, cr);
            ci = S.Fma(pi, dy, ci);
            lr = S.Fma(pr, ds, lr);
            li = S.Fma(pi, ds, li);
            br = S.Fma(gr, x, br);
            bi = S.Fma(gi, x, bi);
            rr = S.Fma(gr, sigma, rr);
            ri = S.Fma(gi, sigma, ri);
        }

        V two = S.Create(2), minus = S.Create(-1);
        AddTo<S, V>(DC, n, S.Mul(cr, two), S.Mul(ci, two), conjugate: true);
        AddTo<S, V>(DLeft, n, S.Mul(lr, two), S.Mul(li, two), conjugate: true);
        AddTo<S, V>(DB, n, br, bi);
        AddTo<S, V>(DRight, n, S.Mul(rr, minus), S.Mul(ri, minus));
        AddTo<S, V>(DLambda, n, ar, ai);
    }

    /// <summary>Ends a backward pass: the initial state's gradient in DH, and the first correction's by left.</summary>
    public void Start<S, V>() where S : struct, ISimd<V> where V : unmanaged
    {
        for (int n = 0; n < states * Block; n += S.Count)
        {
            V ds = S.Mul(S.Create(2), S.Load(dsizes + (n % Block)));
            AddTo<S, V>(DLeft, n, S.Mul(S.Load(past + n), ds), S.Mul(S.Load(past + (states * Block) + n), ds), conjugate: true);
            AddTo<S, V>(DH, n, S.Mul(S.Load(Left.Re + n), ds), S.Mul(S.Load(Left.Im + n), ds), conjugate: true);
        }
    }

    /// <summary>Adds re + i im, or its conjugate, to a sum.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddTo<S, V>(Planes to, int n, V re, V im, bool conjugate = false) where S : struct, ISimd<V> where V : unmanaged
    {
        S.Store(S.Add(S.Load(to.Re + n), re), to.Re + n);
        S.Store(conjugate ? S.Sub(S.Load(to.Im + n), im) : S.Add(S.Load(to.Im + n), im), to.Im + n);
    }
}
