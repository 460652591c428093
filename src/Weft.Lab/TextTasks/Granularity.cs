using System.Globalization;
using System.Runtime.CompilerServices;
using Weft.Lab.Report;
using Weft.Models;
using Weft.Models.Tokenizers;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab.TextTasks;

/// <summary>
/// How much the cutting of text into tokens matters to an architecture ("On the Tradeoffs of SSMs and Transformers"): the same text as bytes,
/// n-grams at fixed places and byte-pair encoding, learned with equal bytes and with equal FLOPs.
/// </summary>
/// <remarks>
/// Training sequences have equal bytes of text whatever the cut, and as many make a step: at equal bytes, steps are equal too. FLOPs are
/// counted with the embedding's 4096 tokens. The learning rate is swept on bytes.
/// </remarks>
internal sealed class Granularity : TextTask
{
    private const int Tokens = 4096;       // of every vocabulary but the bytes'
    private const int Window = 512;        // bytes of a training sequence
    private const int Read = 4096;         // bytes after which states are compared
    private const int TrainerBytes = 16 << 20; // at most, that byte pairs are learned from
    private const double Bpe = 8;          // where byte pairs stand on the axis
    private const string AtEqualBytes = "bits_at_equal_bytes", AtEqualFlops = "bits_at_equal_flops", FlopsPerByte = "flops_per_byte", State = "state_bytes", Spelled = "spelled";
    private const string EqualFlops = ", equal FLOPs";

    private readonly ConditionalWeakTable<Corpus, List<Segmentation>> known = [];

    private sealed record Segmentation(string Name, double X, TokenSource Source)
    {
        public double BytesPerToken { get; } = Source.BytesOf(0, Source.TrainLength) / (double)Source.TrainLength;
    }

    public override string Name => "granularity";

    public override string Line => "bytes, n-grams or byte pairs: bits per byte by how the text is cut";

    public override string Source => "goombalab.github.io, \"On the Tradeoffs of SSMs and Transformers\" (2025): Transformer (bad tokens) < SSM (bad tokens) < SSM (good tokens) <= Transformer (good tokens); stated there without figures of this ladder";

    public override string Axis => "how the text is cut";

    public override IReadOnlyDictionary<double, string> Ticks { get; } = new Dictionary<double, string> { [1] = "bytes", [2] = "2-grams", [3] = "3-grams", [4] = "4-grams", [6] = "6-grams", [Bpe] = "BPE" };

    public override IReadOnlyList<string> Models => ["(attention[head-dim=32] swiglu)*2", "mamba2[state=64]*3", "2*mamba2[state=64] attention[head-dim=32]"];

    public override int Width => 64;

    public override BudgetKind Equal => BudgetKind.Data;

    public override IReadOnlyList<Quantity> Quantities { get; } =
    [
        new(AtEqualBytes, "Bits per byte at equal bytes", "Held out, after learning from equally many bytes of text.", Better.Lower) { Unit = "bits" },
        new(AtEqualFlops, "Bits per byte at equal FLOPs", "Held out, after as many training FLOPs as the model spends on the bytes; embeddings and head are counted.", Better.Lower) { Unit = "bits" },
        new(FlopsPerByte, "Training FLOPs a byte of text", "A step's counted FLOPs over the bytes that it learns from.", Better.Lower) { Unit = "FLOPs" },
        new(State, $"State after {Read} bytes of text", "Of one sequence: caches and recurrent states.", Better.Lower) { Unit = "bytes", IsLogarithmic = true },
        new(Spelled, "Share of the text that is spelled", "The bytes of n-grams that are not among the vocabulary's 4096 tokens: each is a token of its own.", Better.Neither) { Unit = "share" },
    ];

    public override IReadOnlyList<Condition> Conditions(Corpus text, ModelConfig model, Budget budget)
    {
        if (budget.Kind is not (BudgetKind.Data or BudgetKind.Flops))
        {
            throw new InputException($"{Name} compares after equal bytes and after equal FLOPs: give a budget of bytes (500KB) or of FLOPs (1e12flop), not {budget}");
        }

        double each = FlopsOfAByte(model with { Vocabulary = ModelConfig.Bytes });
        (Budget bytes, Budget flops) = budget.Kind == BudgetKind.Data
            ? (budget, new Budget(BudgetKind.Flops, Math.Round(budget.Amount * each)))
            : (new Budget(BudgetKind.Data, Math.Max(1, Math.Round(budget.Amount / each))), budget);
        var conditions = new List<Condition>();
        foreach (Segmentation cut in known.GetValue(text, Cut))
        {
            Condition Of(string name, Budget spends) => new(name, cut.X, model, cut.Source, spends) { Context = Math.Max(8, (int)Math.Round(Window / cut.BytesPerToken)), Batch = 1 };
            conditions.Add(Of(cut.Name, bytes));
            if (cut.X > 1)
            {
                conditions.Add(Of(cut.Name + EqualFlops, flops));
            }
        }

        return conditions;
    }

    public override void Measure(TrainedText trained, Action<string, double, double> found, CancellationToken cancel)
    {
        double x = trained.Condition.X;
        bool hasEqualFlops = trained.Condition.Name.EndsWith(EqualFlops, StringComparison.Ordinal);
        if (hasEqualFlops || x == 1)
        {
            found(AtEqualFlops, x, trained.BitsPerByte);
        }

        if (hasEqualFlops)
        {
            return;
        }

        TokenSource source = trained.Condition.Source;
        double bytesPerToken = source.BytesOf(0, source.TrainLength) / (double)source.TrainLength;
        found(AtEqualBytes, x, trained.BitsPerByte);
        found(FlopsPerByte, x, trained.Flops / trained.Bytes);
        found(State, x, trained.Model.Cost(1, (int)(Read / bytesPerToken) - 1).StateBytes);
        if (source is GramCorpus grams)
        {
            found(Spelled, x, grams.SpelledShare);
        }
    }

    public override IEnumerable<string> Findings(TextReport report)
    {
        (TextModel? attention, TextModel? recurrent) = Layers.Sides(report);
        if (attention is null || recurrent is null)
        {
            yield break;
        }

        foreach ((string quantity, string at) in ((string, string)[])[(AtEqualBytes, "equal bytes"), (AtEqualFlops, "equal FLOPs")])
        {
            // From the worst to the best that the essay predicts; the last two may be level.
            (TextModel Model, double X)[] order = [(attention, 1), (recurrent, 1), (recurrent, Bpe), (attention, Bpe)];
            IReadOnlyList<double>[] values = [.. order.Select(o => o.Model.At(quantity, o.X))];
            if (values.Any(v => v.Count == 0))
            {
                continue;
            }

            var broken = new List<string>();
            bool isClose = false;
            for (int i = 1; i < order.Length; i++)
            {
                int step = TextFindings.Compare(values[i], values[i - 1]);
                isClose |= step == 0 && i < order.Length - 1;
                if (step > 0)
                {
                    broken.Add($"{Named(order[i])} is worse than {Named(order[i - 1])}");
                }
            }

            yield return $"Order at {at}: the essay predicts, from worst to best, {string.Join(", ", order.Select(Named))}, the last two perhaps level; here they have "
                + string.Join(", ", values.Select(v => v.Average().ToString("F3", CultureInfo.InvariantCulture))) + " bits per byte: "
                + (broken.Count > 0 ? $"{string.Join("; ", broken)}." : isClose ? "no step is against it, and some are too small to tell." : "that order.");
        }

        string Named((TextModel Model, double X) side) => $"{side.Model.Name} on {Ticks[side.X]}";
    }

    // Training FLOPs of a byte, where tokens are bytes: counted in a step, whatever it reads.
    private static double FlopsOfAByte(ModelConfig model)
    {
        using Device device = Device.Open(1);
        var options = new TrainingOptions { Budget = new Budget(BudgetKind.Steps, 1), BatchSize = 1, Context = Window };
        using var learner = new Learner(new LanguageModel(model, device, 1), options.For(model));
        learner.Rehearse(new int[Window + 1]);
        return (double)device.Flops / Window;
    }

    private List<Segmentation> Cut(Corpus text)
    {
        List<Segmentation> cuts = [.. Ticks.Where(t => t.Key is > 1 and < Bpe).Select(t => new Segmentation(t.Value, t.Key, GramCorpus.Cut(text, (int)t.Key, Tokens)))];
        return [new(Ticks[1], 1, text), .. cuts, new(Ticks[Bpe], Bpe, TokenCorpus.Encode(text, Pairs(text), "the byte pairs of the text"))];
    }

    // The tokenizer.json of byte pairs learned from the training part.
    private static byte[] Pairs(Corpus text)
    {
        var trainer = new BpeTrainer();
        byte[] piece = new byte[1 << 20];
        for (long at = 0, end = Math.Min(text.TrainLength, TrainerBytes); at < end; at += piece.Length)
        {
            Span<byte> read = piece.AsSpan(0, (int)Math.Min(piece.Length, end - at));
            text.Read(at, read);
            trainer.Add(read);
        }

        return trainer.Train(Tokens);
    }
}
