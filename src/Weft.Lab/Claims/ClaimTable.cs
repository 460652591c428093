namespace Weft.Lab.Claims;

/// <summary>The claims of <c>weft claims</c>: a row each.</summary>
public static class ClaimTable
{
    /// <summary>All claims, in the order in which they are run.</summary>
    public static IReadOnlyList<Claim> All { get; } =
    [
        new("copying", "A small Transformer copies strings twice as long as it was trained on, after less than a tenth of the samples that a recurrent model of its size needs.",
            "Jelassi et al., “Repeat After Me”, arXiv 2402.01032", "100 times fewer samples at 300 letters; recurrent models hardly go past the trained length",
            ["probe copy --models \"attention[heads=16, positions=hard-alibi] swiglu attention[heads=2, positions=none, qk-norm=head] swiglu\" --rates 0.0015 --decays 0 --budget 12000steps --seeds 2", "probe copy --models \"(mamba2[state=64] swiglu[hidden=216])*2\" --rates 0.003 --decays 0,0.1 --budget 16000steps --seeds 1"], Judges.Copying),
        new("state", "What a recurrent model copies is bounded by its state: its accuracy falls as the string outgrows it, and rises with the bytes of state.",
            "Jelassi et al., “Repeat After Me”, arXiv 2402.01032 (theorem 2.7)", "an error of at least 1 - |S| / D^L: |S| states, D letters, length L",
            ["probe copy --width 64 --models \"(mamba2[state=4] swiglu)*2,(mamba2[state=16] swiglu)*2,(mamba2[state=64] swiglu)*2,(gated-deltanet[head-dim=8] swiglu)*2,(gated-deltanet[head-dim=32] swiglu)*2\" --train-on 4,6,8,10,12,14,16 --score-on 4,8,12,16,24,32 --rates 0.004 --budget 6000steps --seeds 2"], Judges.CopyingState),
        new("recall", "Recall rises with a recurrent model's state; attention solves it, and so does a hybrid of one attention layer to three others.",
            "Arora et al., “Zoology”, arXiv 2312.04927, and “Based”, arXiv 2402.18668", "Mamba with 16 states mostly under 50 % of 64 pairs; a 70M attention model recalls better than a 1.4B gated convolution",
            ["probe mqar --models \"attention*2,mamba2[state=4]*2,mamba2[state=16]*2,mamba2[state=64]*2,mamba2[state=16]*3 attention\" --rates 0.003,0.01 --budget 1500steps --seeds 2"], Judges.Recall),
        new("parity", "Recurrences whose transitions have only positive eigenvalues (Mamba-2, delta rules with beta in (0, 1)) do not follow parity past the trained length; sLSTM, Mamba-3 and Gated DeltaNet with beta in (0, 2) do.",
            "Grazzi et al., arXiv 2411.12537; Mamba-3, arXiv 2603.15569", "Mamba-2 0.9 %, Mamba-3 100 %, Gated DeltaNet with negative eigenvalues 100 % (scaled accuracy at 40 to 256 bits)",
            ["probe parity --models \"mamba2 swiglu,gated-deltanet swiglu,gated-deltanet[negative-eigenvalues] swiglu,slstm swiglu\" --rates 0.003,0.008 --budget 10000steps --seeds 3",
             "probe parity --models \"(mamba2 swiglu)*2,(mamba3[decay=softplus, head-dim=16, state=64] swiglu)*2\" --train-on 3-160 --score-on 40,160,256 --rates 0.005 --budget 10000steps --seeds 2"], Judges.Parity),
        new("bytes", "On bytes of text a state-space model beats attention to a window at equal FLOPs, and is at least level with attention to everything at equal data.",
            "Gu, “On the Tradeoffs of SSMs and Transformers” (2025); H-Net, arXiv 2507.07955", "bits per byte on 8192-byte sequences: window 0.859, global attention 0.845 at 2.3 times the FLOPs, Mamba 0.845",
            ["compare --models window,mamba2 --context 512 --budget 4e12flop --sweep --seeds 2", "compare --models transformer,mamba2 --context 512 --budget 1.2MB --sweep --seeds 2"], Judges.Bytes),
        new("filler", "Filler costs a model that compresses no state and, if its short convolution is as many bytes long as without filler, no quality; a cache of every token pays for each.",
            "Gu, “On the Tradeoffs of SSMs and Transformers” (2025)", "a thought experiment, no figures",
            ["probe filler --models \"transformer,window,mamba2,mamba2[state=64, conv=32]*6,hybrid\" --rates 0.001,0.003 --budget 600KB --seeds 1"], Judges.Filler),
        new("granularity", "Attention depends on good tokens more than recurrences do: from worst to best stand attention on bytes, a state-space model on bytes, a state-space model on tokens, attention on tokens.",
            "Gu, “On the Tradeoffs of SSMs and Transformers” (2025)", "an order, no figures", ["probe granularity --budget 300KB --seeds 2"], Judges.Granularity),
        new("ratio", "The loss of a hybrid is flat in the ratio of recurrent to attention layers around 3:1 to 10:1, and no higher than without attention. (That recall needs some is the claim above.)",
            "Dao and Gu, Mamba-2, arXiv 2405.21060 (9.2.3); Kimi Linear, arXiv 2510.26692", "perplexity of 48 layers: 8.60 without attention, 8.26 with 6 of it, 8.50 with 24, 8.68 with attention alone",
            ["probe ratio --budget 1e12flop --seeds 2"], Judges.Ratio),
        new("dna", "On DNA a state-space model gains with context, and beats attention at equal data.", "Gu and Dao, Mamba, arXiv 2312.00752 (4.3)",
            "perplexity falls up to a million bases of context, and faster with parameters than attention's", ["probe dna --budget 500KB --seeds 1"], Judges.Dna),
        new("massive", "A few activations of a Transformer are massive: set to zero they ruin the model, set to their mean they cost nothing.", "Sun et al., arXiv 2402.17762",
            "fewer than ten values above 100 and about 1000 times the median in models of 7B parameters", ["probe massive --budget 1MB --rates 0.003 --seeds 1"], Judges.Massive),
        new("repetition", "Attention over-weights what stands several times in its context.", "arXiv 2311.11829, 2206.02369",
            "the more often a sentence stands in the context, the more probable it is once more", ["probe repetition --budget 1MB --rates 0.003 --seeds 1"], Judges.Repetition),
        new("decode", "The time of a token and the state are flat in the context for a recurrent model, and grow in proportion to it for attention.",
            "Gu and Dao, Mamba, arXiv 2312.00752 (4.5)", "4 to 5 times the throughput of a Transformer of equal size", ["probe decode"], Judges.Decode),
    ];
}
