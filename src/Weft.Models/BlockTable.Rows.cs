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
        ["hgrn"] = new(Hgrn.Create, new()
        {
            Title = "HGRN",
            Line = "gated recurrences whose forget gates are bounded from below, more so in upper layers: [expand=1]",
            Equation = "h_t = e^{a_t} h_{t-1} + (1 - e^{a_t}) silu(i_t); e^{a_t} = c + (1 - c) sigmoid(f_t)",
            State = "d",
            Algorithm = "a scan, vectorised over channels",
            Source = "arXiv 2311.04823 (section 3.2)",
            Rate = 2e-3,
            Preset = "(hgrn swiglu)*3",
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
        ["mingru"] = new(MinGru.Create, new()
        {
            Title = "minGRU",
            Line = "a GRU whose gate looks at the input only: [expand=2]",
            Equation = "h_t = (1 - z_t) h_{t-1} + z_t g(c_t)",
            State = "2 d",
            Algorithm = "a scan, vectorised over channels",
            Source = "arXiv 2410.01201 (section 3.1, appendix B)",
            Rate = 2e-3,
            Preset = "(mingru swiglu)*3",
        }),
        ["minlstm"] = new(MinLstm.Create, new()
        {
            Title = "minLSTM",
            Line = "an LSTM whose gates look at the input only and sum to one: [expand=2]",
            Equation = "h_t = f_t / (f_t + i_t) h_{t-1} + i_t / (f_t + i_t) g(c_t)",
            State = "2 d",
            Algorithm = "a scan, vectorised over channels",
            Source = "arXiv 2410.01201 (section 3.2, appendix B)",
            Rate = 2e-3,
            Preset = "(minlstm swiglu)*3",
        }),
        ["rg-lru"] = new(RgLru.Create, new()
        {
            Title = "RG-LRU",
            Line = "Griffin's recurrent block, a gated real-diagonal recurrence of unit variance: [d-rnn=128, heads=8]",
            Equation = "h_t = a_t h_{t-1} + sqrt(1 - a_t^2) (i_t u_t); log a_t = -8 softplus(L) r_t",
            State = "4 d_rnn",
            Algorithm = "a scan, vectorised over channels",
            Source = "arXiv 2402.19427 (equations 1 to 4)",
            Rate = 2e-3,
            Preset = "(rg-lru swiglu)*3",
        }),
        ["rwkv4"] = new(Rwkv4.Create, new()
        {
            Title = "RWKV-4",
            Line = "the time mix of RWKV-4: a decaying average weighted by e^key, channel by channel",
            Equation = "o_t = (n_{t-1} + e^{u + k_t} v_t) / (d_{t-1} + e^{u + k_t}); n_t = e^w n_{t-1} + e^{k_t} v_t; d_t = e^w d_{t-1} + e^{k_t}",
            State = "3 d",
            Algorithm = "a scan of the average n / d and log d, vectorised over channels",
            Source = "arXiv 2305.13048 (equations 11 to 19, appendix D)",
            Rate = 2e-3,
            Preset = "(rwkv4 swiglu)*3",
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
