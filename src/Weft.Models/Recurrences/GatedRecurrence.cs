using Weft.Tensors;

namespace Weft.Models.Recurrences;

/// <summary>
/// Recurrences whose gates read the state, nonlinear in it and so sequential by nature: no chunk of tokens can be known before the
/// one in front of it. With R_x h for what the state gives to gate x, a bias included,
/// <code>
/// LSTM    i, f, o = sigmoid(i_t + R_i h), sigmoid(f_t + R_f h), sigmoid(o_t + R_o h);  g = tanh(g_t + R_g h)
///         c = f c + i g;  h = o tanh(c)
/// GRU     r, z = sigmoid(r_t + R_r h), sigmoid(z_t + R_z h);  n = tanh(n_t + r (R_n h));  h = (1 - z) n + z h
/// sLSTM   i, f, z, o raised by R h as in the LSTM;  m' = log(e^(log sigmoid(f) + m) + e^i)
///         c' = e^(log sigmoid(f) + m - m') c + e^(i - m') tanh(z);  n' = e^(log sigmoid(f) + m - m') n + e^(i - m');  h = sigmoid(o) c' / n'
/// </code>
/// The gates' inputs i_t, .. [B,T,D] are known for all tokens beforehand. R is block-diagonal, [H,D/H,gates D/H] (inputs by outputs): each
/// head reads its own part of h, one head makes it dense; the bias is [H,gates D/H], or null. States are [B,D].
/// </summary>
public static class GatedRecurrence
{
    /// <summary>The LSTM's definition, token by token, in plain operations.</summary>
    /// <returns>h [B,T,D], and h and c after the last token.</returns>
    public static (Tensor H, GatedStates Final) LstmScan(Tensor i, Tensor f, Tensor g, Tensor o, Tensor recurrent, Tensor? bias, GatedStates initial = default)
    {
        var heads = new Heads(i, recurrent, bias);
        Tensor h = heads.Start(initial.H), c = heads.Start(initial.C);
        var outputs = new List<Tensor>();
        for (int t = 0; t < i.Shape[1]; t++)
        {
            Tensor[] given = heads.Given(h);
            Tensor it = Ops.Sigmoid(Ops.Add(heads.At(i, t), given[0])), ft = Ops.Sigmoid(Ops.Add(heads.At(f, t), given[1]));
            Tensor gt = Ops.Tanh(Ops.Add(heads.At(g, t), given[2])), ot = Ops.Sigmoid(Ops.Add(heads.At(o, t), given[3]));
            c = Ops.Add(Ops.Multiply(ft, c), Ops.Multiply(it, gt));
            h = Ops.Multiply(ot, Ops.Tanh(c));
            outputs.Add(heads.Output(h));
        }

        return (Definitions.Join(outputs), new GatedStates(h, c));
    }

    /// <summary>The GRU's definition, token by token, in plain operations.</summary>
    /// <returns>h [B,T,D], and h after the last token.</returns>
    public static (Tensor H, GatedStates Final) GruScan(Tensor r, Tensor z, Tensor n, Tensor recurrent, Tensor? bias, GatedStates initial = default)
    {
        var heads = new Heads(r, recurrent, bias);
        Tensor h = heads.Start(initial.H);
        var outputs = new List<Tensor>();
        for (int t = 0; t < r.Shape[1]; t++)
        {
            Tensor[] given = heads.Given(h);
            Tensor rt = Ops.Sigmoid(Ops.Add(heads.At(r, t), given[0])), zt = Ops.Sigmoid(Ops.Add(heads.At(z, t), given[1]));
            Tensor nt = Ops.Tanh(Ops.Add(heads.At(n, t), Ops.Multiply(rt, given[2])));
            h = Ops.Add(nt, Ops.Multiply(zt, Ops.Subtract(h, nt)));
            outputs.Add(heads.Output(h));
        }

        return (Definitions.Join(outputs), new GatedStates(h));
    }

    /// <summary>The sLSTM's definition, token by token, in plain operations.</summary>
    /// <returns>h [B,T,D], and h, c, n and m after the last token.</returns>
    public static (Tensor H, GatedStates Final) SlstmScan(Tensor i, Tensor f, Tensor z, Tensor o, Tensor recurrent, Tensor? bias, GatedStates initial = default)
    {
        var heads = new Heads(i, recurrent, bias);
        Tensor h = heads.Start(initial.H), c = heads.Start(initial.C), n = heads.Start(initial.N), m = heads.Start(initial.M);
        var outputs = new List<Tensor>();
        for (int t = 0; t < i.Shape[1]; t++)
        {
            Tensor[] given = heads.Given(h);
            Tensor it = Ops.Add(heads.At(i, t), given[0]), ft = Ops.Add(heads.At(f, t), given[1]);
            Tensor zt = Ops.Tanh(Ops.Add(heads.At(z, t), given[2])), ot = Ops.Sigmoid(Ops.Add(heads.At(o, t), given[3]));
            Tensor kept = Ops.Subtract(m, Ops.Softplus(Ops.Affine(ft, -1))); // log sigmoid(f) + m
            m = t == 0 && initial.N is null ? it : Ops.Add(it, Ops.Softplus(Ops.Subtract(kept, it)));
            Tensor written = Ops.Exp(Ops.Subtract(it, m));
            if (t == 0 && initial.N is null)
            {
                (c, n) = (Ops.Multiply(written, zt), written); // nothing to keep
            }
            else
            {
                Tensor left = Ops.Exp(Ops.Subtract(kept, m));
                (c, n) = (Ops.Add(Ops.Multiply(left, c), Ops.Multiply(written, zt)), Ops.Add(Ops.Multiply(left, n), written));
            }

            h = Ops.Multiply(ot, Ops.Multiply(c, Ops.Exp(Ops.Affine(Ops.Log(n), -1))));
            outputs.Add(heads.Output(h));
        }

        return (Definitions.Join(outputs), new GatedStates(h, c, n, m));
    }

    /// <summary>The LSTM as one operation: what mixers use. See <see cref="Ops.Lstm"/>.</summary>
    public static (Tensor H, GatedStates Final) Lstm(Tensor i, Tensor f, Tensor g, Tensor o, Tensor recurrent, Tensor? bias, GatedStates initial = default) =>
        Ops.Lstm(i, f, g, o, recurrent, bias, initial);

    /// <summary>The GRU as one operation: what mixers use. See <see cref="Ops.Gru"/>.</summary>
    public static (Tensor H, GatedStates Final) Gru(Tensor r, Tensor z, Tensor n, Tensor recurrent, Tensor? bias, GatedStates initial = default) =>
        Ops.Gru(r, z, n, recurrent, bias, initial);

    /// <summary>The sLSTM as one operation: what mixers use. See <see cref="Ops.Slstm"/>.</summary>
    public static (Tensor H, GatedStates Final) Slstm(Tensor i, Tensor f, Tensor z, Tensor o, Tensor recurrent, Tensor? bias, GatedStates initial = default) =>
        Ops.Slstm(i, f, z, o, recurrent, bias, initial);

    /// <summary>The forward FLOPs of the operations on <paramref name="tokens"/> tokens of one sequence; a GRU has three gates.</summary>
    public static long Flops(long tokens, int width, int heads, int gates = 4) => Ops.GatedRecurrenceFlops(tokens, width, heads, gates);

    /// <summary>What the definitions share: states seen by head.</summary>
    private readonly struct Heads(Tensor gate, Tensor recurrent, Tensor? bias)
    {
        private readonly Tape tape = gate.Tape ?? throw new ArgumentException("the gates must be on a tape", nameof(gate));
        private readonly int batch = gate.Shape[0], width = gate.Shape[2], heads = recurrent.Shape[0], each = recurrent.Shape[1], gates = recurrent.Shape[2] / recurrent.Shape[1];

        public Tensor Start(Tensor? initial) => Definitions.Start(initial, tape, new Shape(batch, width));

        public Tensor At(Tensor x, int t) => Definitions.At(x, t, new Shape(batch, width));

        public Tensor Output(Tensor h) => h.Reshape(new Shape(batch, 1, width));

        /// <summary>What h gives to each gate, [B,D] each: h R + bias by head.</summary>
        public Tensor[] Given(Tensor h)
        {
            (int batch, int width, int heads, int each, int gates) = (this.batch, this.width, this.heads, this.each, this.gates);
            Tensor byHead = Ops.Transpose(h.Reshape(new Shape(batch, heads, each)), 0, 1);                                  // [H,B,D/H]
            Tensor all = Ops.MatMul(byHead, recurrent);
            all = (bias is null ? all : Ops.Add(all, bias.Reshape(new Shape(heads, 1, gates * each)))).Reshape(new Shape(heads, batch, gates, each));
            return [.. Enumerable.Range(0, gates).Select(g => Ops.Transpose(Ops.Slice(all, 2, g, 1), 0, 1).Reshape(new Shape(batch, width)))]; // [B,H,1,D/H]
        }
    }
}
