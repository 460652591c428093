using Weft.Tensors;

namespace Weft.Models;

/// <summary>What flows through a model's blocks.</summary>
public struct Flow
{
    /// <summary>Begins with the embedded tokens [B,T,D].</summary>
    public Flow(Tensor embedded) => (Stream, Embedded) = (embedded, embedded);

    /// <summary>The residual stream [B,T,D].</summary>
    public Tensor Stream { get; internal set; }

    /// <summary>The embedded tokens [B,T,D].</summary>
    internal Tensor Embedded { get; }

    /// <summary>What the mixer of the last block read, after its norm.</summary>
    internal Tensor? Read { get; set; }

    /// <summary>What the last block left for the next one to read, beside the stream.</summary>
    internal Tensor? Aside { get; set; }
}

/// <summary>How a block is joined to the residual stream x: as a rule x + mixer(norm(x)), which the default is.</summary>
public sealed record Wiring
{
    /// <summary>The options of a block, whatever its mixer, that say how it is joined.</summary>
    internal static readonly string[] Options =
        ["pre-norm", "post-norm", "input-scale", "branch-scale", "residual", "residual-scale", "parallel", "with-embedding", "to-next"];

    /// <summary>The norm before the mixer.</summary>
    public NormKind PreNorm { get; init; }

    /// <summary>The norm after the mixer (OLMo).</summary>
    public NormKind PostNorm { get; init; } = NormKind.None;

    /// <summary>What the mixer's input, after its norm, is multiplied by.</summary>
    public float InputScale { get; init; } = 1;

    /// <summary>What the mixer's output, after its norm, is multiplied by (Granite's residual_multiplier).</summary>
    public float BranchScale { get; init; } = 1;

    /// <summary>Whether the output is added to the normed input rather than to the stream, as in post-norm models (MiniMax).</summary>
    public bool AddsToNormed { get; init; }

    /// <summary>What the stream is multiplied by before the output is added to it.</summary>
    public float ResidualScale { get; init; } = 1;

    /// <summary>Whether the mixer reads what the mixer of the block before read, and so runs beside it (Falcon-H1).</summary>
    public bool IsParallel { get; init; }

    /// <summary>Whether the embedded tokens are read too, as further columns behind the stream's (Zamba).</summary>
    public bool ReadsEmbedding { get; init; }

    /// <summary>Whether the output is added to what the next block reads, and to nothing else (Zamba).</summary>
    public bool IsForNext { get; init; }

    /// <summary>
    /// Options: <c>pre-norm</c> (rms, the default, layer, biased-rms or none), <c>post-norm</c> (none, the default, or one of those), <c>input-scale</c>,
    /// <c>branch-scale</c>, <c>residual</c> (stream, the default, or normed), <c>residual-scale</c>, <c>parallel</c>,
    /// <c>with-embedding</c>, <c>to-next</c>.
    /// </summary>
    internal static Wiring Read(BlockOptions options)
    {
        if (!Options.Any(options.IsGiven))
        {
            return Usual;
        }

        var wiring = new Wiring
        {
            PreNorm = Norm("pre-norm", NormKind.Rms),
            PostNorm = Norm("post-norm", NormKind.None),
            InputScale = Scale("input-scale"),
            BranchScale = Scale("branch-scale"),
            AddsToNormed = options.IsGiven("residual") && options.Choice("residual", "stream", "stream", "normed") == "normed",
            ResidualScale = Scale("residual-scale"),
            IsParallel = Flag("parallel"),
            ReadsEmbedding = Flag("with-embedding"),
            IsForNext = Flag("to-next"),
        };
        return wiring.IsParallel && options.Index == 0 ? throw options.Refuse("parallel", "needs a block before it, whose input it reads")
            : wiring.IsParallel && (options.IsGiven("pre-norm") || wiring.ReadsEmbedding) ? throw options.Refuse("parallel", "reads what the block before reads; leave pre-norm and with-embedding out")
            : wiring.AddsToNormed && (wiring.ReadsEmbedding || wiring.IsForNext) ? throw options.Refuse("residual", "is the input itself, which with-embedding and to-next exclude")
            : wiring;

        // Asked for only where given: a block's usual options are its mixer's.
        NormKind Norm(string name, NormKind usual) => options.IsGiven(name) ? NormKinds.Parse(options.Choice(name, usual.Word(), NormKinds.Words)) : usual;
        float Scale(string name) => options.IsGiven(name) ? (float)options.Real(name, 1, -1e6, 1e6) : 1;
        bool Flag(string name) => options.IsGiven(name) && options.Flag(name, false);
    }

    internal static Wiring Usual { get; } = new();
}

/// <summary>A mixer joined to the residual stream, as a rule x + mixer(norm(x)): what models are woven of.</summary>
public sealed class ResidualBlock : Module
{
    private readonly Wiring wiring;
    private readonly Normaliser? norm, postNorm;

    internal ResidualBlock(Builder builder, Wiring wiring, Func<Builder, Mixer> mixer, float epsilon)
    {
        this.wiring = wiring;
        string path = builder.Path;
        int columns = wiring.ReadsEmbedding ? 2 * builder.Width : builder.Width;
        norm = wiring.IsParallel ? null : Contain("norm", new Normaliser(builder, wiring.PreNorm, columns, epsilon));
        builder.Path = path + "mixer.";
        builder.Inputs = columns;
        Mixer = Contain("mixer", mixer(builder));
        builder.Inputs = builder.Width;
        builder.Path = path;
        postNorm = wiring.PostNorm == NormKind.None ? null : Contain("post_norm", new Normaliser(builder, wiring.PostNorm, builder.Width, epsilon));
    }

    /// <summary>The mixer.</summary>
    public Mixer Mixer { get; }

    /// <summary>Runs the block, advancing the mixer's state.</summary>
    public void Forward(ref Flow flow, MixerState state)
    {
        Tensor input = norm is null ? flow.Read! : norm.Forward(Input(flow));
        (flow.Read, flow.Aside) = (input, null);
        Tensor y = Mixer.Mix(Scaled(input, wiring.InputScale), state);
        y = Scaled(postNorm is null ? y : postNorm.Forward(y), wiring.BranchScale);
        if (wiring.IsForNext)
        {
            flow.Aside = y;
        }
        else
        {
            flow.Stream = Ops.Add(Scaled(wiring.AddsToNormed ? input : flow.Stream, wiring.ResidualScale), y);
        }
    }

    private Tensor Input(in Flow flow)
    {
        Tensor x = flow.Aside is null ? flow.Stream : Ops.Add(flow.Stream, flow.Aside);
        return wiring.ReadsEmbedding ? Ops.Concat(x, flow.Embedded, ^1) : x;
    }

    private static Tensor Scaled(Tensor x, float scale) => scale == 1 ? x : Ops.Affine(x, scale);
}
