using Weft.Tensors;

namespace Weft.Models;

public static partial class BlockTable
{
    /// <summary>A mixer's maker, and what it is.</summary>
    private sealed record Row(Func<BlockOptions, Builder, Mixer> Create, BlockInfo Info);

    private static readonly SortedDictionary<string, Row> Rows = new(StringComparer.Ordinal)
    {
        ["attention"] = new(Attention.Create, new()
        {
            Title = "Softmax attention",
            Line = "softmax attention with rotary positions: [heads=4, kv-heads=2, window=128]",
            Equation = "o_t = sum_s softmax_s(q_t . k_s / sqrt(d)) v_s over the s <= t within the window",
            State = "2 x tokens (or window) x kv-heads x head-dim",
            Algorithm = "tiles with an online softmax (arXiv 2205.14135)",
            Source = "arXiv 1706.03762 (section 3.2), 2104.09864 (RoPE), 2305.13245 (grouped queries)",
            Rate = 1e-3,
        }),
        ["gated-deltanet"] = new(GatedDeltaNet.Create, new()
        {
            Title = "Gated DeltaNet",
            Line = "the gated delta rule: a matrix state corrected by what it already holds: [heads=4, expand-v=2]",
            Equation = "S_t = e^{a_t} (I - b_t k_t k_t^T) S_{t-1} + b_t k_t v_t^T; o_t = S_t^T q_t / sqrt(d_k)",
            State = "H d_k d_v + 3 H (2 d_k + d_v)",
            Algorithm = "chunks of 64 by one triangular system (arXiv 2406.06484)",
            Source = "arXiv 2412.06464 (equation 10, section 3.4)",
            Rate = 1e-3,
            Preset = "(gated-deltanet swiglu)*3",
        }),
        ["lightning"] = new(LightningAttention.Create, new()
        {
            Title = "Lightning attention",
            Line = "linear attention with a fixed decay a head, gated, as in MiniMax-01: [heads=4, head-dim=32]",
            Equation = "S_t = e^{-s_h} S_{t-1} + k_t v_t^T; o_t = S_t^T q_t, with q, k, v through silu",
            State = "d^2 / H",
            Algorithm = "chunks of 64 as matrix products, a recurrence between them",
            Source = "arXiv 2405.04658, 2501.08313 (section 2)",
            Rate = 1e-3,
            Preset = "(lightning swiglu)*3",
        }),
        ["linear-attention"] = new(LinearAttention.Create, new()
        {
            Title = "Linear attention",
            Line = "attention with a feature map for softmax: sums of keys and values: [heads=4, feature=elu, normalise=true]",
            Equation = "S_t = S_{t-1} + phi(k_t) v_t^T; o_t = S_t^T phi(q_t) / (phi(q_t) . sum_s phi(k_s))",
            State = "d^2 / H + d",
            Algorithm = "chunks of 64 as matrix products, a recurrence between them",
            Source = "arXiv 2006.16236 (equations 7, 18-20)",
            Rate = 1e-3,
            Preset = "(linear-attention swiglu)*3",
        }),
        ["mamba2"] = new(Mamba2.Create, new()
        {
            Title = "Mamba-2",
            Line = "state-space duality: a matrix state that decays by a scalar a head: [state=64, expand=2]",
            Equation = "h_t = e^{dt_t A} h_{t-1} + dt_t B_t x_t^T; y_t = h_t^T C_t + D x_t",
            State = "2 d N + 3 (2 d + 2 G N)",
            Algorithm = "chunks of 64 as matrix products, a recurrence between them (SSD)",
            Source = "arXiv 2405.21060 (equation 1, section 6)",
            Rate = 2e-3,
            Preset = "mamba2[state=64]*6",
        }),
        ["mamba3"] = new(Mamba3.Create, new()
        {
            Title = "Mamba-3",
            Line = "Mamba-2 with the trapezoid rule, keys that turn by angles from the data, and optionally rank R: [state=64, rank=4]",
            Equation = "h_t = e^{a_t} (h_{t-1} + (1 - l_t) dt_t k_{t-1} v_{t-1}^T) + l_t dt_t k_t v_t^T; y_t = h_t^T q_t + D v_t",
            State = "2 d N + 2 d N R / P + 2 d + H (1 + N / 2)",
            Algorithm = "chunks of 64 as matrix products on keys that come a token late; the token's own part aside",
            Source = "arXiv 2603.15569",
            Rate = 2e-3,
            Preset = "mamba3[state=64]*6",
        }),
        ["mlstm"] = new(MLstm.Create, new()
        {
            Title = "mLSTM",
            Line = "xLSTM's matrix memory with exponential gates: [heads=4, expand=2]",
            Equation = "C_t = f_t C_{t-1} + i_t k_t v_t^T; n_t = f_t n_{t-1} + i_t k_t; h_t = C_t^T q_t / max(|n_t . q_t|, 1)",
            State = "4 d^2 / H + 8 d + H",
            Algorithm = "chunks of 64 as matrix products after a running maximum that keeps the gates in range",
            Source = "arXiv 2405.04517 (equations 15, 19-27; figure 10)",
            Rate = 1e-3,
            Preset = "mlstm*6",
        }),
        ["retnet"] = new(RetNet.Create, new()
        {
            Title = "RetNet",
            Line = "retention: linear attention with a fixed decay a head and rotary positions: [heads=4, expand-v=2]",
            Equation = "S_t = g_h S_{t-1} + k_t v_t^T; o_t = S_t^T q_t / sqrt(d_k), with q and k rotated by position",
            State = "2 d^2 / H",
            Algorithm = "chunks of 64 as matrix products, a recurrence between them",
            Source = "arXiv 2307.08621 (equations 3-8)",
            Rate = 1e-3,
            Preset = "(retnet swiglu)*3",
        }),
        ["swiglu"] = new(SwiGlu.Create, new()
        {
            Title = "SwiGLU MLP",
            Line = "a gated MLP between mixers: [hidden=352]",
            Equation = "y = W_down (silu(W_gate x) * W_up x)",
            State = "0",
            Algorithm = "token by token",
            Source = "arXiv 2002.05202",
            Rate = 2e-3,
        }),
    };
}
