using Weft.Tensors;

namespace Weft.Models;

/// <summary>The weave: a pattern of residual blocks between an embedding and a head.</summary>
public sealed class LanguageModel : Module
{
    private readonly Tensor embedding; // [vocabulary, D]
    private readonly Tensor finalNorm; // [D]
    private readonly Tensor head;      // [vocabulary, D]; the embedding itself when tied
    private readonly ResidualBlock[] blocks;

    /// <summary>Builds the model that <paramref name="config"/> describes, with initial weights drawn from <paramref name="seed"/>.</summary>
    /// <exception cref="InputException">A block or an option of the configuration is not possible; the message says which and what would do.</exception>
    public LanguageModel(ModelConfig config, Device device, ulong seed) : this(config, device, seed, long.MaxValue) { }

    /// <summary>The same, refused where it takes more than <paramref name="allowance"/> parameters.</summary>
    internal LanguageModel(ModelConfig config, Device device, ulong seed, long allowance)
    {
        Config = config;
        Device = device;
        var builder = new Builder(device, new RandomSource(seed), config.Width, config.Blocks.Count) { Allowance = allowance };
        embedding = LearnTable(builder, "embedding.weight", new Shape(config.Vocabulary, config.Width), Initial.Normal(0.02f));
        blocks = new ResidualBlock[config.Blocks.Count];
        for (int i = 0; i < blocks.Length; i++)
        {
            builder.Path = $"blocks.{i}.mixer.";
            Mixer mixer = BlockTable.Create(config.Blocks[i], i, builder);
            builder.Path = $"blocks.{i}.";
            blocks[i] = Contain($"blocks.{i}", new ResidualBlock(builder, mixer, config.NormEpsilon));
        }

        builder.Path = "";

        finalNorm = Learn(builder, "norm.weight", new Shape(config.Width), Initial.Ones, decay: false);
        head = config.TieEmbeddings ? embedding : LearnLinear(builder, "head.weight", config.Vocabulary, config.Width);
    }

    /// <summary>What the model was built from.</summary>
    public ModelConfig Config { get; }

    /// <summary>Where the weights are.</summary>
    public Device Device { get; }

    /// <summary>The residual blocks, in order.</summary>
    public IReadOnlyList<ResidualBlock> Blocks => blocks;

    /// <summary>How the weights of linear maps, the embedding and the head are held: the form of fewest bits among them.</summary>
    public WeightFormat Format => Parameters().Max(p => p.Tensor.Format);

    /// <summary>The bytes of all weights as they are held.</summary>
    public long WeightBytes => Parameters().Sum(p => p.Tensor.Bytes);

    /// <summary>
    /// Rounds the weights of linear maps, the embedding and the head to fewer bits (<see cref="Tensor.Quantize"/>) and frees the values
    /// they had. The model then takes less memory, generates faster, where reading weights is what takes the time, and predicts a little
    /// worse; it can no longer be trained. What is smaller than 32 x 32, norms, convolutions and all else stay as they are, and so
    /// does what is held in that form already.
    /// </summary>
    /// <exception cref="InputException">It is in 8 or 4 bits, or in fewer bits than asked for.</exception>
    public void Quantize(WeightFormat format)
    {
        if (Format > format || (Format == format && format != WeightFormat.BFloat16))
        {
            throw new InputException($"the model's weights are {Format.Word()} already: load the model anew to have them in {format.Word()}");
        }

        foreach (Parameter parameter in Parameters().Where(p => p.IsQuantizable && p.Tensor.Format != format))
        {
            parameter.Tensor.Quantize(format);
        }
    }

    /// <summary>Turns weights that are held in bfloat16 to float32, of the same values, so that the model can be trained.</summary>
    /// <exception cref="InputException">Weights are in 8 or 4 bits.</exception>
    public void Dequantize()
    {
        if (Format > WeightFormat.BFloat16)
        {
            throw Format.NotTrained();
        }

        foreach (Parameter parameter in Parameters().Where(p => p.Tensor.Format == WeightFormat.BFloat16))
        {
            parameter.Tensor.Dequantize();
        }
    }

    /// <summary>A state for <paramref name="batch"/> sequences, as before the first token.</summary>
    public SequenceState NewState(int batch) => new(this, batch, Array.ConvertAll(blocks, b => b.Mixer.NewState(batch)));

    /// <summary>
    /// The next-token logits [B,T,V] after each of <paramref name="tokens"/> [B,T], and <paramref name="state"/> advanced past them.
    /// </summary>
    public Tensor Forward(Tokens tokens, SequenceState state) => Ops.Linear(Normed(Run(tokens, state)), head);

    /// <summary>
    /// The next-token logits [B,1,V] after the last of <paramref name="tokens"/> [B,T] alone, and <paramref name="state"/> advanced past them:
    /// prefill (many tokens) and decoding (one).
    /// </summary>
    public Tensor Next(Tokens tokens, SequenceState state)
    {
        Tensor x = Run(tokens, state);
        return Ops.Linear(Normed(tokens.Time == 1 ? x : Ops.Slice(x, 1, tokens.Time - 1, 1)), head);
    }

    /// <summary>
    /// The cross-entropy in nats [B,T] of <paramref name="targets"/> [B,T], what follows each of <paramref name="tokens"/> [B,T], and
    /// <paramref name="state"/> advanced past the tokens: training and evaluation. 0 where a target is negative.
    /// </summary>
    public Tensor Loss(Tokens tokens, Tokens targets, SequenceState state) => Ops.HeadLoss(Normed(Run(tokens, state)), head, targets);

    private Tensor Normed(Tensor x) => Ops.RmsNorm(x, finalNorm, Config.NormEpsilon);

    private Tensor Run(Tokens tokens, SequenceState state)
    {
        if (tokens.Batch != state.Batch || !ReferenceEquals(state.Model, this))
        {
            throw new ArgumentException($"a state of {state.Batch} sequences{(ReferenceEquals(state.Model, this) ? "" : " of another model")} for a batch of {tokens.Batch}", nameof(state));
        }

        Tensor x = Ops.Embed(embedding, tokens);
        for (int i = 0; i < blocks.Length; i++)
        {
            x = blocks[i].Forward(x, state.Layers[i]);
        }

        state.Position += tokens.Time;
        return x;
    }

    /// <summary>
    /// What it takes to run <paramref name="tokens"/> tokens of one sequence after <paramref name="context"/> earlier ones: forward
    /// FLOPs as the kernels count them, parameters, state bytes after them.
    /// </summary>
    public Cost Cost(int tokens, int context)
    {
        Cost total = new(Models.Cost.Linear(tokens, Config.Width, Config.Vocabulary), 0, 0);
        foreach (ResidualBlock block in blocks)
        {
            total += block.Mixer.Cost(tokens, context);
        }

        return total with { Parameters = ParameterCount() };
    }
}
