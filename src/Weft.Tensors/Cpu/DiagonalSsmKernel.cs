using System.Runtime.CompilerServices;

namespace Weft.Tensors.Cpu;

/// <summary>
/// A chunk of tokens of a diagonal state space on a block of 16 channels, whose numbers lie in scratch: channels in a vector's lanes,
/// states in registers while they run through the chunk, a few at a time so that their latencies overlap.
/// <para>
/// Token by token it is six multiply-adds a state. Chunks of c tokens as products would take c / 2 for a Toeplitz matrix, and for each state
/// two to read the state before the chunk and two to write the one after it: at N = 32 and c = 64, 160 a token and channel against 192, in a less
/// regular form and with rounding that depends on where a sequence is cut. So there are no products here.
/// </para>
/// </summary>
internal readonly unsafe struct DiagonalSsmKernel
{
    /// <summary>The states that run through a chunk together; those of a channel come in multiples of it. The backward pass takes half of it.</summary>
    public const int Group = 4;

    private const int Tokens = Ops.DiagonalSsmChunk, Block = StateBlocks.Width;

    public readonly Planes Lambda, W, H, DH, DLambda, DW;
    public readonly float* X, Y, DX; // [tokens, block]; Y holds outputs, or their gradients
    public readonly float* Skip, DSkip; // [block]
    private readonly float* past; // the states before and after each token, [tokens + 1, two states, 2, block]
    private readonly int states;

    /// <summary>The floats of scratch of a forward pass.</summary>
    public static int Scratch(int states) => (6 * states * Block) + (2 * Tokens * Block) + Block;

    /// <summary>The floats of scratch of a backward pass.</summary>
    public static int BackwardScratch(int states) => (12 * states * Block) + (3 * Tokens * Block) + (2 * Block) + ((Tokens + 1) * 4 * Block);

    /// <summary>Divides scratch: what both passes use first.</summary>
    public DiagonalSsmKernel(int states, float* scratch)
    {
        this.states = states;
        Lambda = new Planes(scratch, states);
        (W, H) = (Lambda.Next(states), Lambda.Next(states).Next(states));
        X = H.Next(states).Re;
        Y = X + (Tokens * Block);
        Skip = Y + (Tokens * Block);
        DH = new Planes(Skip + Block, states);
        (DLambda, DW) = (DH.Next(states), DH.Next(states).Next(states));
        DX = DW.Next(states).Re;
        DSkip = DX + (Tokens * Block);
        past = DSkip + Block;
    }

    /// <summary>Sets the sums of the parameters' gradients to zero.</summary>
    public void ClearSums()
    {
        new Span<float>(DLambda.Re, 4 * states * Block).Clear();
        new Span<float>(DSkip, Block).Clear();
    }

    /// <summary>y = Re sum_n w h for each token of X; H goes on.</summary>
    public void Chunk<S, V>(int tokens) where S : struct, ISimd<V> where V : unmanaged
    {
        new Span<float>(Y, tokens * Block).Clear();
        for (int n = 0; n < states; n += Group)
        {
            for (int c = 0; c < Block; c += S.Count)
            {
                Advance<S, V>(tokens, (n * Block) + c, X + c, Y + c);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Advance<S, V>(int tokens, int at, float* x, float* y) where S : struct, ISimd<V> where V : unmanaged
    {
        float* ar = Lambda.Re + at, ai = Lambda.Im + at, wr = W.Re + at, wi = W.Im + at, hr = H.Re + at, hi = H.Im + at;
        V ar0 = S.Load(ar), ar1 = S.Load(ar + Block), ar2 = S.Load(ar + (2 * Block)), ar3 = S.Load(ar + (3 * Block));
        V ai0 = S.Load(ai), ai1 = S.Load(ai + Block), ai2 = S.Load(ai + (2 * Block)), ai3 = S.Load(ai + (3 * Block));
        V wr0 = S.Load(wr), wr1 = S.Load(wr + Block), wr2 = S.Load(wr + (2 * Block)), wr3 = S.Load(wr + (3 * Block));
        V wi0 = Minus(S.Load(wi)), wi1 = Minus(S.Load(wi + Block)), wi2 = Minus(S.Load(wi + (2 * Block))), wi3 = Minus(S.Load(wi + (3 * Block)));
        V an0 = Minus(ai0), an1 = Minus(ai1), an2 = Minus(ai2), an3 = Minus(ai3);
        V hr0 = S.Load(hr), hr1 = S.Load(hr + Block), hr2 = S.Load(hr + (2 * Block)), hr3 = S.Load(hr + (3 * Block));
        V hi0 = S.Load(hi), hi1 = S.Load(hi + Block), hi2 = S.Load(hi + (2 * Block)), hi3 = S.Load(hi + (3 * Block));
        for (int t = 0; t < tokens; t++, x += Block, y += Block)
        {
            V xt = S.Load(x), sum = S.Load(y);
            V re0 = S.Fma(ar0, hr0, S.Fma(an0, hi0, xt)), re1 = S.Fma(ar1, hr1, S.Fma(an1, hi1, xt));
            V re2 = S.Fma(ar2, hr2, S.Fma(an2, hi2, xt)), re3 = S.Fma(ar3, hr3, S.Fma(an3, hi3, xt));
            hi0 = S.Fma(ar0, hi0, S.Mul(ai0, hr0));
            hi1 = S.Fma(ar1, hi1, S.Mul(ai1, hr1));
            hi2 = S.Fma(ar2, hi2, S.Mul(ai2, hr2));
            hi3 = S.Fma(ar3, hi3, S.Mul(ai3, hr3));
            (hr0, hr1, hr2, hr3) = (re0, re1, re2, re3);
            V even = S.Fma(wi0, hi0, S.Fma(wr0, hr0, sum)), odd = S.Fma(wi1, hi1, S.Mul(wr1, hr1));
            even = S.Fma(wi2, hi2, S.Fma(wr2, hr2, even));
            odd = S.Fma(wi3, hi3, S.Fma(wr3, hr3, odd));
            S.Store(S.Add(even, odd), y);
        }

        Put(hr, hr0, hr1, hr2, hr3);
        Put(hi, hi0, hi1, hi2, hi3);

        static V Minus(V v) => S.Sub(S.Zero, v);

        static void Put(float* to, V v0, V v1, V v2, V v3)
        {
            S.Store(v0, to);
            S.Store(v1, to + Block);
            S.Store(v2, to + (2 * Block));
            S.Store(v3, to + (3 * Block));
        }
    }

    /// <summary>
    /// From the gradients of a chunk's outputs (in Y), of the state after it (in DH) and the state before it (in H): DX, the gradient of
    /// that state (in DH), and what the chunk adds to the gradients of the parameters.
    /// </summary>
    public void ChunkBackward<S, V>(int tokens) where S : struct, ISimd<V> where V : unmanaged
    {
        new Span<float>(DX, tokens * Block).Clear();
        StateBlocks.AddProducts<S, V>(tokens, X, Y, DSkip);
        for (int n = 0; n < states; n += Group / 2)
        {
            for (int c = 0; c < Block; c += S.Count)
            {
                Again<S, V>(tokens, (n * Block) + c, c);
                Return<S, V>(tokens, (n * Block) + c, c);
            }
        }
    }

    /// <summary>Two states through the chunk once more, each kept; and the gradient of what they are read with, dw = 2 sum dy conj(h).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Again<S, V>(int tokens, int at, int lane) where S : struct, ISimd<V> where V : unmanaged
    {
        float* x = X + lane, dy = Y + lane, keep = past + lane;
        V ar0 = S.Load(Lambda.Re + at), ar1 = S.Load(Lambda.Re + at + Block), ai0 = S.Load(Lambda.Im + at), ai1 = S.Load(Lambda.Im + at + Block);
        V an0 = S.Sub(S.Zero, ai0), an1 = S.Sub(S.Zero, ai1);
        V hr0 = S.Load(H.Re + at), hr1 = S.Load(H.Re + at + Block), hi0 = S.Load(H.Im + at), hi1 = S.Load(H.Im + at + Block);
        V dr0 = S.Zero, dr1 = S.Zero, di0 = S.Zero, di1 = S.Zero;
        for (int t = 0; ; t++, x += Block, dy += Block, keep += 4 * Block)
        {
            S.Store(hr0, keep);
            S.Store(hi0, keep + Block);
            S.Store(hr1, keep + (2 * Block));
            S.Store(hi1, keep + (3 * Block));
            if (t == tokens)
            {
                break;
            }

            V xt = S.Load(x), dyt = S.Load(dy);
            V re0 = S.Fma(ar0, hr0, S.Fma(an0, hi0, xt)), re1 = S.Fma(ar1, hr1, S.Fma(an1, hi1, xt));
            hi0 = S.Fma(ar0, hi0, S.Mul(ai0, hr0));
            hi1 = S.Fma(ar1, hi1, S.Mul(ai1, hr1));
            (hr0, hr1) = (re0, re1);
            dr0 = S.Fma(dyt, hr0, dr0);
            dr1 = S.Fma(dyt, hr1, dr1);
            di0 = S.Fma(dyt, hi0, di0);
            di1 = S.Fma(dyt, hi1, di1);
        }

        V two = S.Create(2), minusTwo = S.Create(-2);
        AddTo(DW.Re + at, S.Mul(two, dr0), S.Mul(two, dr1));
        AddTo(DW.Im + at, S.Mul(minusTwo, di0), S.Mul(minusTwo, di1));

        static void AddTo(float* to, V v0, V v1)
        {
            S.Store(S.Add(S.Load(to), v0), to);
            S.Store(S.Add(S.Load(to + Block), v1), to + Block);
        }
    }

    /// <summary>
    /// From the end: the gradient of two states g_t = conj(lambda) g_{t+1} + 2 conj(w) dy_t, of which the input gets the real part and
    /// lambda g_t conj(h_{t-1}).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Return<S, V>(int tokens, int at, int lane) where S : struct, ISimd<V> where V : unmanaged
    {
        float* dy = Y + lane + (tokens * Block), dx = DX + lane + (tokens * Block), keep = past + lane + (tokens * 4 * Block);
        V two = S.Create(2), minusTwo = S.Create(-2);
        V ar0 = S.Load(Lambda.Re + at), ar1 = S.Load(Lambda.Re + at + Block), ai0 = S.Load(Lambda.Im + at), ai1 = S.Load(Lambda.Im + at + Block);
        V an0 = S.Sub(S.Zero, ai0), an1 = S.Sub(S.Zero, ai1);
        V wr0 = S.Mul(two, S.Load(W.Re + at)), wr1 = S.Mul(two, S.Load(W.Re + at + Block));
        V wi0 = S.Mul(minusTwo, S.Load(W.Im + at)), wi1 = S.Mul(minusTwo, S.Load(W.Im + at + Block));
        V gr0 = S.Load(DH.Re + at), gr1 = S.Load(DH.Re + at + Block), gi0 = S.Load(DH.Im + at), gi1 = S.Load(DH.Im + at + Block);
        V dr0 = S.Zero, dr1 = S.Zero, di0 = S.Zero, di1 = S.Zero;
        for (int t = tokens; t > 0; t--)
        {
            dy -= Block;
            dx -= Block;
            keep -= 4 * Block;
            V dyt = S.Load(dy);
            gr0 = S.Fma(wr0, dyt, gr0);
            gr1 = S.Fma(wr1, dyt, gr1);
            gi0 = S.Fma(wi0, dyt, gi0);
            gi1 = S.Fma(wi1, dyt, gi1);
            S.Store(S.Add(S.Load(dx), S.Add(gr0, gr1)), dx);
            V hr0 = S.Load(keep), hi0 = S.Load(keep + Block), hr1 = S.Load(keep + (2 * Block)), hi1 = S.Load(keep + (3 * Block));
            dr0 = S.Fma(gr0, hr0, S.Fma(gi0, hi0, dr0));
            dr1 = S.Fma(gr1, hr1, S.Fma(gi1, hi1, dr1));
            di0 = S.Sub(S.Fma(gi0, hr0, di0), S.Mul(gr0, hi0));
            di1 = S.Sub(S.Fma(gi1, hr1, di1), S.Mul(gr1, hi1));
            V re0 = S.Fma(ar0, gr0, S.Mul(ai0, gi0)), re1 = S.Fma(ar1, gr1, S.Mul(ai1, gi1));
            gi0 = S.Fma(ar0, gi0, S.Mul(an0, gr0));
            gi1 = S.Fma(ar1, gi1, S.Mul(an1, gr1));
            (gr0, gr1) = (re0, re1);
        }

        Put(DH.Re + at, gr0, gr1);
        Put(DH.Im + at, gi0, gi1);
        Put(DLambda.Re + at, S.Add(dr0, S.Load(DLambda.Re + at)), S.Add(dr1, S.Load(DLambda.Re + at + Block)));
        Put(DLambda.Im + at, S.Add(di0, S.Load(DLambda.Im + at)), S.Add(di1, S.Load(DLambda.Im + at + Block)));

        static void Put(float* to, V v0, V v1)
        {
            S.Store(v0, to);
            S.Store(v1, to + Block);
        }
    }
}
