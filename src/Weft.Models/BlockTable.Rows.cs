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
            Algorithm = "the queries of a few blocks together, a block of keys at a time with those that see it, with an online softmax",
            Source = "arXiv 2504.17768 (block-sparse), 2407.02490 (MInference), 2406.10774 (Quest), 2502.13189 (choice by each query)",
            Rate = 1e-3,
            Preset = "(block-sparse-attention[heads=2, block-size=16, budget=128] swiglu)*3",
        }),
        ["deltanet"] = new(DeltaNet.Create, new()
        {
            Title = "DeltaNet",
            Line = "the delta rule: linear attention that corrects what it holds under a key: [heads=4]",
            Equation = "S_t = (I - b_t k_t k_t^T) S_{t-1} + b_t k_t v_t^T; o_t = S_t^T q_t / sqrt(d_h)",
            State = "d d_h + 3 (3 d), d_h = d / H",
            Algorithm = "chunks of 64 by one triangular system (arXiv 2406.06484)",
            Source = "arXiv 2406.06484 (section 3), 2102.11174 (section 4.2)",
            Rate = 1e-3,
            Preset = "(deltanet swiglu)*3",
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
            Line = "the gated delta rule: a matrix state corrected by what it already holds: [heads=4, key-heads=2]",
            Equation = "S_t = e^{a_t} (I - b_t k_t k_t^T) S_{t-1} + b_t k_t v_t^T; o_t = S_t^T q_t / sqrt(d_k)",
            State = "H d_k d_v + 3 (2 H_k d_k + H d_v)",
            Algorithm = "chunks of 64 by one triangular system (arXiv 2406.06484)",
            Source = "arXiv 2412.06464 (equation 10, section 3.4)",
            Rate = 1e-3,
            Preset = "(gated-deltanet swiglu)*3",
        }),
        ["gated-deltaproduct"] = new(GatedDeltaProduct.Create, new()
        {
            Title = "Gated DeltaProduct",
            Line = "several delta-rule steps a token, a product of reflections: [householders=2, heads=2]",
            Equation = "S_t = prod_i (I - b_ti k_ti k_ti^T) e^{a_t} S_{t-1} + ..; o_t = S_t^T q_t / sqrt(d_k)",
            State = "H d_k d_v + 3 ((1 + n) H d_k + n H d_v)",
            Algorithm = "the chunked delta rule over n steps a token",
            Source = "arXiv 2502.10297 (section 3)",
            Rate = 1e-3,
            Preset = "(gated-deltaproduct swiglu)*3",
        }),
        ["gla"] = new(GatedLinearAttention.Create, new()
        {
            Title = "Gated linear attention",
            Line = "a matrix state whose key channels each forget at a rate of their own: [heads=4, expand-k=0.5]",
            Equation = "S_t = diag(a_t) S_{t-1} + k_t v_t^T; o_t = S_t^T q_t / sqrt(d_k); a = sigmoid(.)^(1/16)",
            State = "H d_k d_v (d^2 / 8 with 4 heads)",
            Algorithm = "chunks of 64, pairs by blocks of 16, a recurrence between them",
            Source = "arXiv 2312.06635 (equation 3, section 4)",
            Rate = 1e-3,
            Preset = "(gla swiglu)*3",
        }),
        ["gru"] = new(Gru.Create, new()
        {
            Title = "GRU",
            Line = "the gated recurrent unit, nonlinear in its state, as PyTorch has it: [heads=1]",
            Equation = "h_t = (1 - z) tanh(n_t + r R_n h_{t-1}) + z h_{t-1}; r, z = sigmoid(W x_t + R h_{t-1})",
            State = "d",
            Algorithm = "the gates' inputs as one product, then token by token with R in cache",
            Source = "arXiv 1406.1078 (equations 5-8)",
            Rate = 1e-3,
            Preset = "(gru swiglu)*3",
        }),
        ["gsa"] = new(GatedSlotAttention.Create, new()
        {
            Title = "Gated slot attention",
            Line = "softmax attention over a fixed number of slots that forget: [heads=4, slots=64]",
            Equation = "K_t = diag(f_t) K_{t-1} + (1 - f_t) k_t^T, V_t alike; o_t = V_t^T softmax(K_t q_t)",
            State = "2 d M",
            Algorithm = "two passes in chunks of 64, a softmax between them",
            Source = "arXiv 2409.07146 (equations 7 to 9)",
            Rate = 1e-3,
            Preset = "(gsa swiglu)*3",
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
        ["hgrn2"] = new(Hgrn2.Create, new()
        {
            Title = "HGRN-2",
            Line = "a gated linear recurrence whose state an outer product expands: [expand=32]",
            Equation = "S_t = diag(f_t) S_{t-1} + (1 - f_t) v_t^T; o_t = S_t^T q_t / sqrt(n); f = b + (1 - b) sigmoid(.)",
            State = "d n",
            Algorithm = "chunks of 64, pairs by blocks of 16, a recurrence between them",
            Source = "arXiv 2404.07904 (equation 6), lower bounds as in 2311.04823",
            Rate = 1e-3,
            Preset = "(hgrn2 swiglu)*3",
        }),
        ["hyena"] = new(Hyena.Create, new()
        {
            Title = "Hyena",
            Line = "long convolutions with filters made by a small network, and gates: [length=2048, order=3]",
            Equation = "v <- h_n * (x_n v) + D_n x_n v for n = N-1 .. 1; y = x_0 v; h = window MLP(positions)",
            State = "(N - 1) x tokens (at most the filters' length) x d + 2 (N + 1) d",
            Algorithm = "Fourier transforms of blocks of an eighth of the filters' length",
            Source = "arXiv 2302.10866 (definition 3.1, equations 4 to 7)",
            Rate = 1e-3,
            Preset = "(hyena swiglu)*3",
        }),
        ["kda"] = new(KimiDelta.Create, new()
        {
            Title = "Kimi delta attention",
            Line = "the delta rule with a decay per key channel: [heads=4]",
            Equation = "S_t = (I - b_t k_t k_t^T) diag(e^{g_t}) S_{t-1} + b_t k_t v_t^T; o_t = S_t^T q_t / sqrt(d_h)",
            State = "d d_h + 3 (3 d), d_h = d / H",
            Algorithm = "chunks of 64 by decayed scores and one triangular system",
            Source = "arXiv 2510.26692 (equation 1, section 4)",
            Rate = 1e-3,
            Preset = "(kda swiglu)*3",
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
        ["lstm"] = new(Lstm.Create, new()
        {
            Title = "LSTM",
            Line = "the long short-term memory, nonlinear in its state, as PyTorch has it: [heads=1]",
            Equation = "c_t = f c_{t-1} + i tanh(g); h_t = o tanh(c_t); i, f, o = sigmoid(W x_t + R h_{t-1})",
            State = "2 d",
            Algorithm = "the gates' inputs as one product, then token by token with R in cache",
            Source = "Hochreiter and Schmidhuber 1997; Gers et al. 2000 (forget gates)",
            Rate = 1e-3,
            Preset = "(lstm swiglu)*3",
        }),
        ["mamba"] = new(Mamba.Create, new()
        {
            Title = "Mamba",
            Line = "a selective state space: states of every channel that decay by steps the token chooses: [state=16, expand=2]",
            Equation = "h_t = e^{dt_t A} h_{t-1} + dt_t x_t B_t; y_t = C_t . h_t + D x_t",
            State = "2 d N + 3 (2 d)",
            Algorithm = "a fused scan, token by token with the states in cache; states computed again in the backward pass",
            Source = "arXiv 2312.00752 (equations 2 and 4, algorithm 2)",
            Rate = 2e-3,
            Preset = "mamba*6",
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
        ["mlp"] = new(Mlp.Create, new()
        {
            Title = "MLP",
            Line = "an MLP without a gate: [hidden=512, activation=relu2, bias]",
            Equation = "y = W_down act(W_up x)",
            State = "0",
            Algorithm = "token by token",
            Source = "arXiv 1706.03762 (section 3.3), 2109.08668 (relu^2)",
            Rate = 2e-3,
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
        ["moe"] = new(MixtureOfExperts.Create, new()
        {
            Title = "Mixture of experts",
            Line = "MLPs of which each token chooses a few: [experts=8, active=2, hidden=128, shared=128]",
            Equation = "y = sum_e w_e E_e(x) over the largest of softmax(W x), or of sigmoid(W x) + b; E an MLP, gated or not",
            State = "0",
            Algorithm = "tokens grouped by expert, a product an expert",
            Source = "arXiv 1701.06538, 2401.04088 (section 2.1), 2412.19437 (section 2.1.2)",
            Rate = 2e-3,
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
            Line = "the time mix of RWKV-4: a decaying average weighted by e^key, channel by channel: [channels=128]",
            Equation = "o_t = (n_{t-1} + e^{u + k_t} v_t) / (d_{t-1} + e^{u + k_t}); n_t = e^w n_{t-1} + e^{k_t} v_t; d_t = e^w d_{t-1} + e^{k_t}",
            State = "3 d",
            Algorithm = "a scan of the average n / d and log d, vectorised over channels",
            Source = "arXiv 2305.13048 (equations 11 to 19, appendix D)",
            Rate = 2e-3,
            Preset = "(rwkv4 swiglu)*3",
        }),
        ["rwkv4-channels"] = new(Rwkv4Channels.Create, new()
        {
            Title = "RWKV-4 channel mixing",
            Line = "RWKV-4's MLP, which looks at the token before too: [hidden=512]",
            Equation = "y_t = sigmoid(W_r x^r_t) * W_v relu(W_k x^k_t)^2, with x^k and x^r blends of x_t and x_{t-1}",
            State = "d",
            Algorithm = "token by token",
            Source = "arXiv 2305.13048 (section 3.1, appendix D)",
            Rate = 2e-3,
        }),
        ["rwkv6"] = new(Rwkv6.Create, new()
        {
            Title = "RWKV-6",
            Line = "Finch's time mixing: a decay per key channel, a bonus for the token itself, a token shift that depends on it: [head-dim=32]",
            Equation = "S_t = diag(e^{g_t}) S_{t-1} + k_t v_t^T; o_t = (S_{t-1} + diag(u) k_t v_t^T)^T r_t; g = -e^{w}",
            State = "d N + d",
            Algorithm = "chunks of 64, pairs by blocks of 16, a recurrence between them",
            Source = "arXiv 2404.05892 (equations 14 to 19)",
            Rate = 1e-3,
            Preset = "(rwkv6 swiglu)*3",
        }),
        ["rwkv7"] = new(Rwkv7.Create, new()
        {
            Title = "RWKV-7 time mixing",
            Line = "the delta rule with decays and learning rates per channel, and a token shift: [heads=4]",
            Equation = "S_t = diag(e^{g_t}) S_{t-1} - (kappa_t a_t)(kappa_t^T S_{t-1}) + k_t v_t^T; o_t = S_t^T r_t",
            State = "d d_h + d, d_h = d / H",
            Algorithm = "chunks of 64 by decayed scores and one triangular system",
            Source = "arXiv 2503.14456 (section 4)",
            Rate = 1e-3,
            Preset = "(rwkv7 swiglu)*3",
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
        ["shared-transformer"] = new(SharedTransformer.Create, new()
        {
            Title = "Shared Transformer block",
            Line = "attention and an MLP, their weights common to blocks of one number, as in Zamba2: [number=0, adapter-rank=8]",
            Equation = "y = W_y mlp(norm(attention(norm(x)))), with maps W + B A where W is common and B A a block's own",
            State = "tokens x 2 x kv-heads x head-dim",
            Algorithm = "tiles with an online softmax (arXiv 2205.14135)",
            Source = "arXiv 2411.15242 (section 2), 2106.09685 (adapters)",
            Rate = 1e-3,
        }),
        ["short-conv"] = new(ShortConv.Create, new()
        {
            Title = "Gated short convolution",
            Line = "a convolution of a few taps between two gates, as in LFM2: [conv=3, bias]",
            Equation = "y = W_out (C * conv(B * u)); B, C, u = W_in x",
            State = "(K - 1) d",
            Algorithm = "a depthwise convolution over all tokens",
            Source = "arXiv 2511.23404",
            Rate = 1e-3,
        }),
        ["slstm"] = new(SLstm.Create, new()
        {
            Title = "sLSTM",
            Line = "xLSTM's scalar memory: exponential gates, normalised and stabilised, that read the state by heads: [heads=4]",
            Equation = "c_t = f c_{t-1} + i tanh(z); n_t = f n_{t-1} + i; h_t = o c_t / n_t; i = e^{W x_t + R h_{t-1}}",
            State = "4 d + 3 d",
            Algorithm = "the gates' inputs as products, then token by token with R in cache",
            Source = "arXiv 2405.04517 (section 2.2, equations 8-17)",
            Rate = 1e-3,
            Preset = "(slstm swiglu)*3",
        }),
        ["swiglu"] = new(SwiGlu.Create, new()
        {
            Title = "SwiGLU MLP",
            Line = "a gated MLP between mixers: [hidden=352, activation=gelu, bias]",
            Equation = "y = W_down (silu(W_gate x) * W_up x)",
            State = "0",
            Algorithm = "token by token",
            Source = "arXiv 2002.05202",
            Rate = 2e-3,
        }),
        ["ttt-linear"] = new(Ttt.Create, new()
        {
            Title = "TTT-Linear",
            Line = "a linear model as state, trained by gradient descent as it reads: [mini-batch=16, head-dim=64]",
            Equation = "W_t = W_0 - step_t sum_s rate_s k_s^T g_s, g the gradient of |norm(k W_0) - (v - k)|^2 / 2; o_t = q_t + norm(q_t W_t)",
            State = "2 d (D + 1), heads of D",
            Algorithm = "mini-batches of 16 as matrix products (the dual form), one after the other",
            Source = "arXiv 2407.04620 (equations 4 to 6, sections 2.4 to 2.7)",
            Rate = 1e-3,
            Preset = "(ttt-linear[head-dim=32] swiglu)*3",
        }),
        ["vertical-slash-attention"] = new(VerticalSlashAttention.Create, new()
        {
            Title = "Vertical-slash attention",
            Line = "softmax attention to a fixed number of columns and diagonals, chosen a tile: [vertical=512, slash=512]",
            Equation = "o_t = sum_s softmax_s(q_t . k_s / sqrt(d)) v_s over the columns s and the distances t - s to which the last queries before t's tile attended most",
            State = "2 x tokens x kv-heads x head-dim + last x heads x head-dim + heads x (vertical + slash)",
            Algorithm = "the queries of a tile together: gathered columns as a matrix, diagonals as streams of keys",
            Source = "arXiv 2407.02490 (MInference, section 3), 2504.17768 (vertical-slash)",
            Rate = 1e-3,
            Preset = "(vertical-slash-attention[heads=2, vertical=64, slash=64, tile=128, last=16] swiglu)*3",
        }),
        ["xlstm"] = new(XLstm.Create, new()
        {
            Title = "xLSTM-7B's mLSTM",
            Line = "the matrix memory without mLSTM's convolution and inner width, its gates soft-capped: [heads=4, qk-dim=64]",
            Equation = "C_t = f_t C_{t-1} + i_t k_t v_t^T; n_t = f_t n_{t-1} + i_t k_t; h_t = C_t^T q_t / max(|n_t . q_t|, 1); y = W_out (norm(h) sigmoid(z))",
            State = "K V / H + K + H, keys of K columns and values of V",
            Algorithm = "chunks of 64 as matrix products after a running maximum that keeps the gates in range",
            Source = "arXiv 2503.13427 (section 2.1), 2405.04517 (equations 15, 19-27)",
            Rate = 1e-3,
        }),
    };
}
