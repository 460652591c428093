using System.Buffers;
using Weft.Models.Tokenizers;
using Weft.Tensors;

namespace Weft.Models;

/// <summary>The weave: a pattern of residual blocks between an embedding and a head.</summary>
public sealed class LanguageModel : Module
{
    private readonly Tensor embedding;       // [vocabulary, D]
    private readonly Tensor? positions;      // [positions, D], learned
    private readonly Tensor head;            // [vocabulary, D]; the embedding itself when tied
    private readonly Normaliser embeddingNorm, finalNorm;
    private readonly ResidualBlock[] blocks;
    private Lazy<Tokenizer>? tokenizer;

    /// <summary>Builds the model that <paramref name="config"/> describes, with initial weights drawn from <paramref name="seed"/>.</summary>
    /// <exception cref="InputException">A block or an option of the configuration is not possible; the message says which and what would do.</exception>
    public LanguageModel(ModelConfig config, Device device, ulong seed)
        : this(config, new Builder(device, new RandomSource(seed), config.Width, config.Blocks.Count)) { }

    /// <summary>The same, without memory for the weights, and refused where it takes more than <paramref name="allowance"/> parameters: a checkpoint's follow.</summary>
    internal static LanguageModel Blank(ModelConfig config, Device device, long allowance) =>
        new(config, new Builder(device, new RandomSource(0), config.Width, config.Blocks.Count) { Allowance = allowance, Blank = true });

    private LanguageModel(ModelConfig config, Builder builder)
    {
        (Config, Device) = (config, builder.Device);
        embedding = LearnTable(builder, "embedding.weight", new Shape(config.Vocabulary, config.Width), Initial.Normal(0.02f));
        positions = config.Positions == 0 ? null : Learn(builder, "positions.weight", new Shape(config.Positions, config.Width), Initial.Normal(0.02f), decay: false);
        embeddingNorm = Contain("embedding_norm", new Normaliser(builder, config.EmbeddingNorm, config.Width, config.NormEpsilon));
        blocks = new ResidualBlock[config.Blocks.Count];
        var inForce = new BlockSpec[blocks.Length];
        for (int i = 0; i < blocks.Length; i++)
        {
            builder.Path = $"blocks.{i}.";
            blocks[i] = Contain($"blocks.{i}", BlockTable.CreateBlock(config.Blocks[i], i, builder, config.NormEpsilon, out inForce[i]));
        }

        BlocksInForce = new Pattern(inForce);

        builder.Path = "";
        finalNorm = Contain("norm", new Normaliser(builder, config.FinalNorm, config.Width, config.NormEpsilon));
        head = config.TieEmbeddings ? embedding : LearnLinear(builder, "head.weight", config.Vocabulary, config.Width);
    }

    /// <summary>What the model was built from.</summary>
    public ModelConfig Config { get; }

    /// <summary>The configuration's blocks with all options written out that they have, those not given at their usual values.</summary>
    internal Pattern BlocksInForce { get; }

    /// <summary>Where the weights are.</summary>
    public Device Device { get; }

    /// <summary>Whether the model reads and writes bytes, for want of a tokenizer.</summary>
    public bool ReadsBytes => tokenizer is null;

    /// <summary>What makes tokens of text and text of tokens; null where tokens are bytes. A folder's is read when it is first asked for.</summary>
    /// <exception cref="InputException">The model's folder has none that can be read.</exception>
    public Tokenizer? Tokenizer => tokenizer?.Value;

    /// <summary>Names the tokenizer, to be read when it is asked for.</summary>
    internal void SetTokenizer(Func<Tokenizer> read) => tokenizer = new Lazy<Tokenizer>(read);

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
    public Tensor Forward(Tokens tokens, SequenceState state) => Logits(Run(tokens, state));

    /// <summary>
    /// The next-token logits [1,N,V] after those of <paramref name="tokens"/> [B,T] that are at <paramref name="places"/> [1,N], where b T + t is that of
    /// token t of sequence b, and <paramref name="state"/> advanced past all tokens.
    /// </summary>
    public Tensor Forward(Tokens tokens, Tokens places, SequenceState state) => Logits(Ops.TakeRows(Run(tokens, state), places));

    /// <summary>
    /// The next-token logits [B,1,V] after the last of <paramref name="tokens"/> [B,T] alone, and <paramref name="state"/> advanced past them:
    /// prefill (many tokens) and decoding (one).
    /// </summary>
    public Tensor Next(Tokens tokens, SequenceState state)
    {
        Tensor x = Run(tokens, state);
        return Logits(tokens.Time == 1 ? x : Ops.Slice(x, 1, tokens.Time - 1, 1));
    }

    /// <summary>
    /// The cross-entropy in nats [B,T] of <paramref name="targets"/> [B,T], what follows each of <paramref name="tokens"/> [B,T], and
    /// <paramref name="state"/> advanced past the tokens: training and evaluation. 0 where a target is negative.
    /// </summary>
    public Tensor Loss(Tokens tokens, Tokens targets, SequenceState state) => Loss(tokens, targets, state, null);

    /// <summary>
    /// The same with the residual stream [B,T,D] handed out on its way: as embedded (0), then after each block (1, 2 ...). What
    /// <paramref name="between"/> returns flows on in its place: to look at activations, and to change them.
    /// </summary>
    public Tensor Loss(Tokens tokens, Tokens targets, SequenceState state, Func<int, Tensor, Tensor>? between)
    {
        Tensor x = Run(tokens, state, between);
        return Config.LogitCap == 0 ? Ops.HeadLoss(Normed(x), head, targets) : Ops.CrossEntropy(Logits(x), targets);
    }

    // Logits are linear in what the head reads, so their scale is applied where there are fewer numbers.
    private Tensor Normed(Tensor x) => Scaled(finalNorm.Forward(x), Config.LogitScale);

    private Tensor Logits(Tensor x)
    {
        Tensor logits = Ops.Linear(Normed(x), head);
        return Config.LogitCap == 0 ? logits : Ops.SoftCap(logits, Config.LogitCap);
    }

    private static Tensor Scaled(Tensor x, float scale) => scale == 1 ? x : Ops.Affine(x, scale);

    private Tensor Run(Tokens tokens, SequenceState state, Func<int, Tensor, Tensor>? between = null)
    {
        if (tokens.Batch != state.Batch || !ReferenceEquals(state.Model, this))
        {
            throw new ArgumentException($"a state of {state.Batch} sequences{(ReferenceEquals(state.Model, this) ? "" : " of another model")} for a batch of {tokens.Batch}", nameof(state));
        }

        Tensor embedded = Embed(tokens, state.Position);
        var flow = new Flow(between is null ? embedded : between(0, embedded));
        for (int i = 0; i < blocks.Length; i++)
        {
            blocks[i].Forward(ref flow, state.Layers[i]);
            if (between is not null)
            {
                flow.Stream = between(i + 1, flow.Stream);
            }
        }

        state.Position += tokens.Time;
        return flow.Stream;
    }

    /// <summary>What the first block reads: the embedded tokens [B,T,D], the first of them at <paramref name="position"/>.</summary>
    public Tensor Embed(Tokens tokens, long position)
    {
        Tensor x = Scaled(Ops.Embed(embedding, tokens), Config.EmbeddingScale);
        if (positions is not null)
        {
            if (position + tokens.Time > Config.Positions)
            {
                throw new InputException($"a sequence of {position + tokens.Time} tokens is longer than the {Config.Positions} positions that the model has learned");
            }

            x = Ops.Add(x, Ops.Embed(positions, Following(position, tokens)));
        }

        return embeddingNorm.Forward(x);
    }

    // The positions of a batch's tokens [1,T], the same for all sequences.
    private static Tokens Following(long position, Tokens tokens)
    {
        int[] numbers = ArrayPool<int>.Shared.Rent(tokens.Time);
        for (int i = 0; i < tokens.Time; i++)
        {
            numbers[i] = (int)position + i;
        }

        Tokens following = tokens.Tape.Tokens(numbers.AsSpan(0, tokens.Time), 1, tokens.Time);
        ArrayPool<int>.Shared.Return(numbers);
        return following;
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
