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
        ["h3"] = new(H3.Create, new()
        {
            Title = "H3",
            Line = "a shift and a diagonal state space with products between them: [state=64, shift=64, head-dim=1]",
            Equation = "y = q SSM_diag(shift(k) v): h_t = lambda h_{t-1} + k_t v_t, 2 Re(C h_t) + D k_t v_t",
            State = "N d w + 63 d, heads of w channels",
            Algorithm = "a fused scan, states in registers",
            Source = "arXiv 2212.14052 (section 3, algorithm 1)",
            Rate = 1e-3,
            Preset = "(h3 swiglu)*3",
        }),
        ["lru"] = new(Lru.Create, new()
        {
            Title = "Linear recurrent unit",
            Line = "one complex state for all channels, its poles on a ring: [state=96, r-min=0.9, r-max=0.999]",
            Equation = "h_t = lambda h_{t-1} + gamma B x_t; y_t = Re(C h_t) + D x_t",
            State = "2 P",
            Algorithm = "products with B and C around a fused complex scan",
            Source = "arXiv 2303.06349 (section 3)",
            Rate = 1e-3,
            Preset = "lru*6",
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
        ["s4"] = new(S4.Create, new()
        {
            Title = "S4",
            Line = "a state space for each channel, HiPPO's, diagonal plus low rank: [state=64, mode=recurrent]",
            Equation = "h' = (diag(a) - p p*) h + b x, bilinear; y = 2 Re(C h) + D x",
            State = "N d",
            Algorithm = "a fused scan; or blocks of 64 as convolutions, the state between them",
            Source = "arXiv 2111.00396 (equations 3 and 6, theorem 1, appendix C)",
            Rate = 1e-3,
            Preset = "s4*6",
        }),
        ["s4d"] = new(S4d.Create, new()
        {
            Title = "S4D",
            Line = "a diagonal complex state space for each channel: [state=64]",
            Equation = "h_t = e^{dt A} h_{t-1} + (e^{dt A} - 1) / A x_t; y_t = 2 Re(C h_t) + D x_t",
            State = "N d",
            Algorithm = "a fused scan, states in registers",
            Source = "arXiv 2206.11893 (sections 2 and 3, equation 9)",
            Rate = 1e-3,
            Preset = "s4d*6",
        }),
        ["s5"] = new(S5.Create, new()
        {
            Title = "S5",
            Line = "one complex state space for all channels, from HiPPO's eigenvalues: [state=256, blocks=8]",
            Equation = "h_t = e^{dt L} h_{t-1} + (e^{dt L} - 1) / L B x_t; y_t = 2 Re(C h_t) + D x_t",
            State = "N",
            Algorithm = "products with B and C around a fused complex scan",
            Source = "arXiv 2208.04933 (equations 5 and 6, section 3.3)",
            Rate = 1e-3,
            Preset = "s5*6",
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
