using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// The linear time-invariant state space whose A is diagonal plus low rank (DPLR), one for each channel: S4 (Gu et al., arXiv 2111.00396),
/// <code>
/// h' = (diag(a) - p p*) h + b x                                         in continuous time
/// h_t = lambda h_{t-1} - right 2 Re(left . h_{t-1}) + in x_t            by the bilinear rule
/// y_t = 2 Re(c . h_t) + D x_t
/// </code>
/// Of the N states, which come in conjugate pairs, one of each is kept: hence the factors 2 Re. Complex tensors hold their real parts, then the
/// imaginary ones: all parameters [2,N/2,C], states [B,2,N/2,C].
/// </summary>
/// <param name="Lambda">The diagonal of a step.</param>
/// <param name="Left">What the state is multiplied by to give the correction's size.</param>
/// <param name="Right">The correction's direction.</param>
/// <param name="In">With what an input enters the state.</param>
/// <param name="C">What the state is read with.</param>
/// <param name="Skip">D [C]: what of an input is added to the output.</param>
public readonly record struct LowRankDiagonal(Tensor Lambda, Tensor Left, Tensor Right, Tensor In, Tensor C, Tensor Skip)
{
    /// <summary>
    /// Discretises by the bilinear rule. With E = 1 / (1 - dt a/2), Woodbury's identity gives (1 - dt/2 A)^-1 = E - k (E p)(p* E), where
    /// k = (dt/2) / (1 + dt/2 p* E p), and from it A_bar = lambda - 2 k (E p)(p* E) with lambda = (1 + dt a/2) E, and B_bar = dt (E b - k (E p) (p* E b)):
    /// diagonal plus rank one again (the paper's appendix C.2, with one correction instead of two).
    /// </summary>
    public static LowRankDiagonal Of(Tensor real, Tensor imaginary, Tensor logStep, Tensor p, Tensor b, Tensor c, Tensor skip)
    {
        Tape tape = real.Tape!;
        Shape channels = new(1, 1, p.Shape[2]);
        Tensor conjugate = Ops.Concat(Ops.Slice(Ops.Copy(p, tape), 0, 0, 1), Ops.Affine(Ops.Slice(Ops.Copy(p, tape), 0, 1, 1), -1), 0);
        (Tensor lambda, Tensor q) = Ops.Discretize(real, imaginary, logStep, p, Discretization.Bilinear); // dt E p
        (_, Tensor left) = Ops.Discretize(real, imaginary, logStep, conjugate, Discretization.Bilinear);  // dt E conj(p)
        (_, Tensor input) = Ops.Discretize(real, imaginary, logStep, b, Discretization.Bilinear);         // dt E b
        Tensor step = Ops.Copy(logStep, tape).Reshape(channels);

        // dt/2 p* E p, and the same with b; a sum of products of parts is Re sum conj(p) q.
        Tensor own = Ops.SumTo(Ops.Multiply(q, p), channels), cross = Ops.SumTo(Ops.Multiply(input, p), channels);
        Tensor share = Ops.Exp(Ops.Affine(Ops.Add(Ops.Log(Ops.Affine(own, 1, 1)), step), -1)); // 1 / (dt (1 + own))
        Tensor right = Ops.Multiply(q, share);                                                 // E p / (1 + own)
        input = Ops.Subtract(input, Ops.Multiply(right, Ops.Multiply(cross, Ops.Exp(step))));
        return new LowRankDiagonal(lambda, left, right, input, c, skip);
    }

    /// <summary>The definition, token by token in plain operations; its gradients are the tape's. For tests and for reading, not for speed.</summary>
    /// <returns>y [B,T,C] and the state after the last token [B,2,N/2,C].</returns>
    public (Tensor Y, Tensor Final) Scan(Tensor x, Tensor? initial)
    {
        Tape tape = x.Tape!;
        Shape whole = new(x.Shape[0], 2, Lambda.Shape[1], x.Shape[2]), half = whole.With(1, 1), sum = half.With(2, 1);
        initial ??= tape.Of(new float[whole.Count], whole);
        var h = new Complex(Ops.Slice(initial, 1, 0, 1), Ops.Slice(initial, 1, 1, 1));
        (Complex lambda, Complex left, Complex right, Complex input, Complex c) = (Parts(Lambda), Parts(Left), Parts(Right), Parts(In), Parts(C));
        var outputs = new List<Tensor>(x.Shape[1]);
        for (int t = 0; t < x.Shape[1]; t++)
        {
            Tensor xt = Ops.Slice(x, 1, t, 1).Reshape(sum), sigma = Ops.Affine(Ops.SumTo((left * h).Re, sum), 2);
            h = (lambda * h) - (right * sigma) + (input * xt);
            outputs.Add(Ops.Add(Ops.Affine(Ops.SumTo((c * h).Re, sum), 2), Ops.Multiply(xt, Skip)).Reshape(new Shape(x.Shape[0], 1, x.Shape[2])));
        }

        return (Definitions.Join(outputs), Ops.Concat(h.Re, h.Im, 1));

        static Complex Parts(Tensor v) => new(Ops.Slice(v, 0, 0, 1), Ops.Slice(v, 0, 1, 1));
    }

    private readonly record struct Complex(Tensor Re, Tensor Im)
    {
        public static Complex operator +(Complex x, Complex y) => new(Ops.Add(x.Re, y.Re), Ops.Add(x.Im, y.Im));

        public static Complex operator -(Complex x, Complex y) => new(Ops.Subtract(x.Re, y.Re), Ops.Subtract(x.Im, y.Im));

        public static Complex operator *(Complex x, Tensor y) => new(Ops.Multiply(x.Re, y), Ops.Multiply(x.Im, y));

        public static Complex operator *(Complex x, Complex y) => new(
            Ops.Subtract(Ops.Multiply(x.Re, y.Re), Ops.Multiply(x.Im, y.Im)),
            Ops.Add(Ops.Multiply(x.Re, y.Im), Ops.Multiply(x.Im, y.Re)));
    }

    /// <summary>The same, fast: <see cref="Ops.LowRankSsm"/>, one pass over the states a token.</summary>
    /// <returns>y and the state after the last token, in <paramref name="initial"/>'s place when it is given and the tape does not record.</returns>
    public (Tensor Y, Tensor Final) Recurrent(Tensor x, Tensor? initial) => Ops.LowRankSsm(x, Lambda, Left, Right, In, C, Skip, initial);

    /// <summary>
    /// The same as convolution: what a block of L tokens does to a channel is linear in the N numbers of the state before it and its L inputs, and
    /// so known from what it does to each alone. A batch of N + L sequences - a unit state each, then a unit input at each place - gives all of it in
    /// one call of <see cref="Recurrent"/>: the kernel K_i = C A^i B as a Toeplitz matrix, the output of a state C A^(i+1), the state that inputs
    /// leave A^(L-1-i) B, and A^L. Blocks are then products, with a recurrence by A^L between them; a last one of fewer tokens is recurrent.
    /// <para>
    /// The paper has the kernel by a generating function, a Cauchy product and an inverse FFT, since it computes all its L values at once on a
    /// machine that has no time for L steps. The impulse response costs the same order, O(N L), needs no power A^L to begin with, and agrees with
    /// the recurrence to rounding. The kernel's length is the block's, not the sequence's, because the state must be handed over exactly.
    /// </para>
    /// </summary>
    /// <param name="x">Inputs [B,T,C], contiguous.</param>
    /// <param name="initial">The state before the first token; null for zeros.</param>
    /// <param name="units">Unit states and inputs, for blocks of L tokens: <see cref="Units"/>.</param>
    /// <returns>y and the state after the last token, in <paramref name="initial"/>'s place when it is given and the tape does not record.</returns>
    public (Tensor Y, Tensor Final) Convolution(Tensor x, Tensor? initial, (Tensor States, Tensor Inputs) units)
    {
        Tape tape = x.Tape!;
        int batch = x.Shape[0], channels = x.Shape[2], block = units.Inputs.Shape[1], states = 2 * Lambda.Shape[1];
        int blocks = x.Shape[1] / block, tokens = blocks * block, rest = x.Shape[1] - tokens;
        if (blocks == 0)
        {
            return Recurrent(x, initial);
        }

        Tensor ones = Ops.Affine(Ops.Copy(Skip, tape), 0, 1).Reshape(new Shape(1, 1, channels));
        (Tensor y, Tensor last) = Recurrent(Ops.Multiply(units.Inputs, ones), Ops.Multiply(units.States, ones).Reshape(new Shape(states + block, 2, states / 2, channels)));
        last = last.Reshape(new Shape(states + block, states, channels));
        Tensor read = ByChannel(Ops.Slice(y, 0, 0, states)), kernel = ByChannel(Ops.Slice(y, 0, states, block));           // [C,L,N], [C,L,L]
        Tensor power = ByChannel(Ops.Slice(last, 0, 0, states)), write = ByChannel(Ops.Slice(last, 0, states, block));     // [C,N,N], [C,N,L]

        Tensor whole = rest == 0 ? x : Ops.Slice(x, 1, 0, tokens);
        Tensor inputs = ByChannel(whole.Reshape(new Shape(batch * blocks, block, channels)));                              // [C,L,B blocks]
        Tensor written = Ops.MatMul(write, inputs).Reshape(new Shape(channels, states, batch, blocks));
        Tensor before = initial is null ? tape.Empty(new Shape(channels, states, batch)) : ByChannel(Ops.Copy(initial, tape).Reshape(new Shape(batch, states, channels)));
        if (initial is null)
        {
            before.Fill(0);
        }

        (Tensor states0, Tensor after) = Between(0, blocks, before);
        Tensor outputs = Ops.Add(Ops.MatMul(kernel, inputs), Ops.MatMul(read, states0.Reshape(new Shape(channels, states, batch * blocks))));
        y = ByChannel(outputs).Reshape(whole.Shape);
        Tensor final = ByChannel(after).Reshape(new Shape(batch, 2, states / 2, channels));
        if (rest > 0)
        {
            (Tensor tail, final) = Recurrent(Ops.Slice(x, 1, tokens, rest), final);
            y = Ops.Concat(y, tail, 1);
        }

        if (initial is null || tape.Recording)
        {
            return (y, final);
        }

        initial.CopyFrom(final);
        return (y, initial);

        // The states before blocks [from, from + count), joined [C,N,B,count], and the one after them; in halves, so that joining copies little.
        (Tensor Before, Tensor After) Between(int from, int count, Tensor h)
        {
            if (count == 1)
            {
                Tensor left = Ops.Slice(written, 3, from, 1).Reshape(h.Shape);
                return (h.Reshape(new Shape(channels, states, batch, 1)), Ops.Add(Ops.MatMul(power, h), left));
            }

            (Tensor first, h) = Between(from, count / 2, h);
            (Tensor second, h) = Between(from + (count / 2), count - (count / 2), h);
            return (Ops.Concat(first, second, 3), h);
        }

        static Tensor ByChannel(Tensor v) => Ops.Transpose(v, 0, 2);
    }

    /// <summary>What <see cref="Convolution"/> tries a block with: N + L unit states [N+L,N,1], and inputs [N+L,L,1] that are 0 for the first N.</summary>
    public static (Tensor States, Tensor Inputs) Units(Device device, int states, int block)
    {
        float[] unitStates = new float[(states + block) * states], unitInputs = new float[(states + block) * block];
        for (int i = 0; i < states; i++)
        {
            unitStates[(i * states) + i] = 1;
        }

        for (int i = 0; i < block; i++)
        {
            unitInputs[((states + i) * block) + i] = 1;
        }

        return (device.Of(unitStates, new Shape(states + block, states, 1)), device.Of(unitInputs, new Shape(states + block, block, 1)));
    }

    /// <summary>The forward FLOPs of <see cref="Recurrent"/> on one sequence.</summary>
    public static long RecurrentFlops(long tokens, int pairs, int channels) => Ops.LowRankSsmFlops(tokens, pairs, channels);

    /// <summary>The forward FLOPs of <see cref="Convolution"/> on one sequence; those of the trials are shared by the sequences of a batch.</summary>
    public static long ConvolutionFlops(long tokens, int pairs, int channels, int block)
    {
        long blocks = tokens / block, states = 2L * pairs;
        return RecurrentFlops(tokens % block, pairs, channels) + (blocks == 0 ? 0
            : RecurrentFlops((states + block) * block, pairs, channels) + (2 * channels * blocks * ((block * block) + (2 * block * states) + (states * states))));
    }
}
