using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// Linear time-invariant state spaces whose A is diagonal and complex: the same lambda for every token. Two shapes of it are in use.
/// <code>
/// a channel by itself (S4D, H3):  h_t = lambda h_{t-1} + x_t,     y_t = 2 Re sum_n w h_t + D x_t    h, w [N] for each channel
/// all channels (S5, LRU):         h_t = lambda h_{t-1} + g B x_t, y_t = Re C h_t + D x_t            h [P], B [P,C], C [C,P] complex
/// </code>
/// In the second, B and C are products outside of the recurrence. Where the states come in conjugate pairs, one of each is kept: hence the
/// factor 2. A continuous state space is discretised first (<see cref="Ops.Discretize"/>), its gain merged into w, or g.
/// Complex tensors hold their real parts, then the imaginary ones: lambda, w [2,N,C] or [2,P], states [B,2,N,C] or [B,2,P].
/// </summary>
public static class TimeInvariant
{
    /// <summary>The definition of a channel by itself, token by token in plain operations; its gradients are the tape's. For tests and for reading, not for speed.</summary>
    /// <returns>y [B,T,C] and the state after the last token [B,2,N,C].</returns>
    public static (Tensor Y, Tensor Final) Scan(Tensor x, Tensor lambda, Tensor w, Tensor? skip, Tensor? initial)
    {
        Tape tape = x.Tape ?? throw new ArgumentException("the inputs must be on a tape", nameof(x));
        int batch = x.Shape[0], states = lambda.Shape[1], channels = x.Shape[2];
        Shape whole = new(batch, 2, states, channels), half = whole.With(1, 1), sum = half.With(2, 1);
        initial ??= tape.Of(new float[whole.Count], whole);
        (Tensor re, Tensor im) = (Ops.Slice(initial, 1, 0, 1), Ops.Slice(initial, 1, 1, 1));
        (Tensor lambdaRe, Tensor lambdaIm, Tensor wRe, Tensor wIm) = (Ops.Slice(lambda, 0, 0, 1), Ops.Slice(lambda, 0, 1, 1), Ops.Slice(w, 0, 0, 1), Ops.Slice(w, 0, 1, 1));
        var outputs = new List<Tensor>(x.Shape[1]);
        for (int t = 0; t < x.Shape[1]; t++)
        {
            Tensor xt = Ops.Slice(x, 1, t, 1);                                     // [B,1,C]
            (re, im) = Times(lambdaRe, lambdaIm, re, im);
            re = Ops.Add(re, xt.Reshape(sum));
            Tensor read = Ops.Subtract(Ops.Multiply(wRe, re), Ops.Multiply(wIm, im));
            Tensor yt = Ops.Affine(Ops.SumTo(read, sum), 2).Reshape(xt.Shape);
            outputs.Add(skip is null ? yt : Ops.Add(yt, Ops.Multiply(xt, skip)));
        }

        return (Definitions.Join(outputs), Ops.Concat(re, im, 1));
    }

    /// <summary>
    /// The same, fast: <see cref="Ops.DiagonalSsm"/> takes the tokens one after the other too, with channels in the lanes of a vector and a few
    /// states at a time in registers.
    /// </summary>
    /// <returns>y and the state after the last token, in <paramref name="initial"/>'s place when it is given and the tape does not record.</returns>
    public static (Tensor Y, Tensor Final) Fused(Tensor x, Tensor lambda, Tensor w, Tensor? skip, Tensor? initial) =>
        Ops.DiagonalSsm(x, lambda, w, skip, initial);

    /// <summary>The definition of h_t = lambda h_{t-1} + g u_t on one state for all channels, u = B x [B,T,2P], as <see cref="Scan"/>; g null for 1.</summary>
    /// <returns>All states [B,T,2P] and the last [B,2,P].</returns>
    public static (Tensor H, Tensor Final) ScanStates(Tensor u, Tensor lambda, Tensor? gain, Tensor? initial)
    {
        Tape tape = u.Tape ?? throw new ArgumentException("the inputs must be on a tape", nameof(u));
        int batch = u.Shape[0], states = lambda.Shape[1];
        Shape whole = new(batch, 2, states);
        initial ??= tape.Of(new float[whole.Count], whole);
        (Tensor re, Tensor im) = (Ops.Slice(initial, 1, 0, 1), Ops.Slice(initial, 1, 1, 1));
        (Tensor lambdaRe, Tensor lambdaIm) = (Ops.Slice(lambda, 0, 0, 1), Ops.Slice(lambda, 0, 1, 1));
        var outputs = new List<Tensor>(u.Shape[1]);
        for (int t = 0; t < u.Shape[1]; t++)
        {
            Tensor ut = Ops.Slice(u, 1, t, 1).Reshape(whole);
            (Tensor inRe, Tensor inIm) = (Ops.Slice(ut, 1, 0, 1), Ops.Slice(ut, 1, 1, 1));
            if (gain is not null)
            {
                (inRe, inIm) = Times(Ops.Slice(gain, 0, 0, 1), Ops.Slice(gain, 0, 1, 1), inRe, inIm);
            }

            (re, im) = Times(lambdaRe, lambdaIm, re, im);
            (re, im) = (Ops.Add(re, inRe), Ops.Add(im, inIm));
            outputs.Add(Ops.Concat(re, im, 1).Reshape(new Shape(batch, 1, 2 * states)));
        }

        return (Definitions.Join(outputs), Ops.Concat(re, im, 1));
    }

    /// <summary>The same, fast: <see cref="Ops.ComplexScan"/>.</summary>
    /// <returns>All states and the last, in <paramref name="initial"/>'s place when it is given and the tape does not record.</returns>
    public static (Tensor H, Tensor Final) FusedStates(Tensor u, Tensor lambda, Tensor? gain, Tensor? initial) =>
        Ops.ComplexScan(u, lambda, gain, initial);

    private static (Tensor Re, Tensor Im) Times(Tensor re, Tensor im, Tensor xRe, Tensor xIm) => (
        Ops.Subtract(Ops.Multiply(re, xRe), Ops.Multiply(im, xIm)),
        Ops.Add(Ops.Multiply(re, xIm), Ops.Multiply(im, xRe)));
}
