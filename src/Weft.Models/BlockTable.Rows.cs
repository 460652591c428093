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
            Line = "softmax attention with rotary positions: [heads=4, kv-heads=2, window=128]; or [positions=alibi]",
            Equation = "o_t = sum_s softmax_s(q_t . k_s / sqrt(d)) v_s over the s <= t within the window",
            State = "2 x tokens (or window) x kv-heads x head-dim",
            Algorithm = "tiles with an online softmax (arXiv 2205.14135)",
            Source = "arXiv 1706.03762 (section 3.2), 2104.09864 (RoPE), 2305.13245 (grouped queries), 2108.12409 (ALiBi), 2402.01032 (Hard-ALiBi)",
            Rate = 1e-3,
        }),
        ["block-sparse-attention"] = new(BlockSparseAttention.Create, new()
        {
            Title = "Block-sparse attention",
            Line = "softmax attention to a fixed number of blocks, which each query chooses: [block-size=64, budget=1024]",
            Equation = "o_t = sum_s softmax_s(q_t . k_s / sqrt(d)) v_s over the first, the last and the chosen blocks: those of the largest q_t . mean(k)",
            State = "2 x tokens x kv-heads x head-dim + blocks x kv-heads x head-dim",
            Algorithm = "the queries of a block together, a block of keys at a time with those that see it, with an online softmax",
            Source = "arXiv 2504.17768 (block-sparse), 2407.02490 (MInference), 2406.10774 (Quest), 2502.13189 (choice by each query)",
            Rate = 1e-3,
            Preset = "(block-sparse-attention[heads=2, block-size=16, budget=128] swiglu)*3",
        }),
        ["forgetting-attention"] = new(ForgettingAttention.Create, new()
        {
            Title = "Forgetting attention",
            Line = "softmax attention whose past fades by a learned gate a head: [heads=4, qk-norm, output-gate]",
            Equation = "o_t = sum_s softmax_s(q_t . k_s / sqrt(d) + log f_{s+1} + ... + log f_t) v_s",
            State = "tokens x (2 x kv-heads x head-dim + heads)",
            Algorithm = "tiles with an online softmax (arXiv 2205.14135); sums of log gates between tiles in double precision",
            Source = "arXiv 2503.02130 (equation 5, section 3.3)",
            Rate = 1e-3,
            Preset = "(forgetting-attention[heads=2] swiglu)*3",
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
        ["vertical-slash-attention"] = new(VerticalSlashAttention.Create, new()
        {
            Title = "Vertical-slash attention",
            Line = "softmax attention to a fixed number of columns and diagonals, chosen a tile: [vertical=512, slash=512]",
            Equation = "o_t = sum_s softmax_s(q_t . k_s / sqrt(d)) v_s over the columns s and the distances t - s to which the last queries before t's tile attended most",
            State = "2 x tokens x kv-heads x head-dim + last x heads x head-dim + heads x (vertical + slash)",
            Algorithm = "the queries of a tile together: gathered columns as a matrix, diagonals in runs of keys",
            Source = "arXiv 2407.02490 (MInference, section 3), 2504.17768 (vertical-slash)",
            Rate = 1e-3,
            Preset = "(vertical-slash-attention[heads=2, vertical=64, slash=64, tile=128, last=16] swiglu)*3",
        }),
    };
}
