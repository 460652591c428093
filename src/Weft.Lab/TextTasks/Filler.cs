using Weft.Models;
using Weft.Training;

namespace Weft.Lab.TextTasks;

/// <summary>
/// The filler litmus (Gu, "On the Tradeoffs of SSMs and Transformers"): tokens that say nothing follow every byte, so that a sequence is k
/// times as long and tells no more. A model that compresses what it reads loses nothing and holds no more; a cache of every token grows k-fold.
/// </summary>
internal sealed class Filler : TextTask
{
    private static readonly int[] Longer = [1, 2, 4, 8];
    private const int TextPerSequence = 128; // bytes: k times as many tokens
    private const int DecodeAfter = 4096;    // bytes of text

    public override string Name => "filler";

    public override string Line => "what do tokens that say nothing cost, and do they harm?";

    public override string Source => "Gu, “On the Tradeoffs of SSMs and Transformers” (2025): a thought experiment without published figures: the right architecture needs no more compute or memory for them, and loses no quality. "
        + "Here filler is one token of its own after each byte; it is read and never asked for, so that the bits are of the text alone, and every model learns from the same bytes of it";

    public override string Axis => "k, tokens a byte of text";

    public override IReadOnlyList<string> Models => ["transformer", "window", "mamba2", "hybrid"];

    public override int Width => 96;

    public override IReadOnlyDictionary<double, string> Ticks { get; } = Longer.ToDictionary(k => (double)k, k => $"k = {k}");

    public override BudgetKind Equal => BudgetKind.Data;

    public override IReadOnlyList<Quantity> Quantities { get; } =
    [
        new("bits_per_byte", "Bits per byte", "Held out, of the text alone, after the same bytes of it at every k. Lower is better; flat is what filler should cost.", Better.Lower) { Unit = "bits", HasLogarithmicAxis = true },
        new("flops_per_byte", "Training FLOPs per byte", "Counted from the kernels. A model reads every token, so k times as many are the least; attention's grow faster.", Better.Lower) { Unit = "FLOPs", IsLogarithmic = true, HasLogarithmicAxis = true },
        new("state_bytes", "State after 4096 bytes of text", "What one sequence must hold to go on.", Better.Lower) { Unit = "bytes", IsLogarithmic = true, HasLogarithmicAxis = true },
        new("bytes_per_second", "Decoding, bytes of text a second", "One sequence after 4096 bytes of text, with their filler: measured, on this machine.", Better.Higher) { Unit = "bytes/s", IsLogarithmic = true, HasLogarithmicAxis = true, IsTime = true },
    ];

    public override IReadOnlyList<Condition> Conditions(Corpus text, ModelConfig model, Budget budget) =>
        [.. Longer.Select(k => new Condition($"k = {k}", k, model, new FilledCorpus(text, k), budget) { Context = k * TextPerSequence, Batch = 4 })];

    public override void Measure(TrainedText trained, Action<string, double, double> found, CancellationToken cancel)
    {
        double k = trained.Condition.X;
        int tokens = (int)k * DecodeAfter;
        found("bits_per_byte", k, trained.BitsPerByte);
        found("flops_per_byte", k, trained.Flops / trained.Bytes);
        found("state_bytes", k, trained.Model.Cost(1, tokens - 1).StateBytes);
        found("bytes_per_second", k, DecodeSpeed.Measure(trained.Model, [tokens], cancel)[0].TokensPerSecond / k);
    }
}

/// <summary>A text of which every byte is followed by k - 1 tokens that say nothing.</summary>
internal sealed class FilledCorpus(Corpus text, int k) : TokenSource
{
    /// <summary>The token that says nothing.</summary>
    public const int Filler = ModelConfig.Bytes;

    public override string Name => text.Name;

    public override long Length => text.Length * k;

    public override long HeldOutLength => text.HeldOutLength * k;

    public override string Fingerprint => $"{text.Fingerprint}, {k} tokens a byte";

    public override int Vocabulary => ModelConfig.Bytes + 1;

    public override int Masked => Filler;

    public override void Read(long offset, Span<int> tokens)
    {
        // The bytes go to the front first; from the last one on, each moves to its place, which lies no earlier.
        long first = (offset + k - 1) / k, end = (offset + tokens.Length + k - 1) / k;
        int count = (int)(end - first);
        text.Read(first, tokens[..count]);
        for (int i = count - 1, free = tokens.Length; i >= 0; i--)
        {
            int at = (int)(((first + i) * k) - offset), value = tokens[i];
            tokens[(at + 1)..free].Fill(Filler);
            tokens[at] = value;
            free = at;
        }

        tokens[..(count == 0 ? tokens.Length : (int)((first * k) - offset))].Fill(Filler);
    }

    public override long BytesOf(long offset, long count) => ((offset + count + k - 1) / k) - ((offset + k - 1) / k);
}
