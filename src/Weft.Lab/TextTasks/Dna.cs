using System.Globalization;
using System.Numerics;
using Weft.Lab.Report;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab.TextTasks;

/// <summary>
/// Predicting a genome, base by base (Gu and Dao, "Mamba", arXiv 2312.00752, section 4.3): perplexity against parameters, and against how much
/// of the sequence before it a base is predicted from.
/// </summary>
/// <remarks>
/// The source trains a model anew at every context, with equal bases a batch; here one training, at one context, is read at others, up to
/// beyond what it was trained on. The same held-out bases are scored at every context c, each after c/2 to c others: windows of c whose
/// second half counts.
/// </remarks>
internal sealed class Dna : TextTask
{
    private const int Trained = 1024;         // bases of a training sequence
    private const int Shortest = 256, Longest = 1 << 16;
    private const int Scored = 1 << 15;       // bases scored at every context
    private const int LeastHalved = 64;       // half of less is narrower than the heads of most models
    private const int Piece = 2048;           // tokens read at a time
    private const double Doubt = 0.003;       // of perplexity, relative, with one seed
    private const string ByParameters = "perplexity", ByContext = "perplexity_by_context", TheWidth = "the width";

    public override string Name => "dna";

    public override string Line => "perplexity of a genome's bases, by parameters and by context";

    public override string Source => "arXiv 2312.00752 (section 4.3): on the human genome Mamba's perplexity falls with context up to a million bases and with parameters faster than attention's; each point there is a training of its own";

    public override string Axis => "parameters";

    public override IReadOnlyList<string> Models => ["(attention[head-dim=32] swiglu)*2", "(attention[head-dim=32, positions=alibi] swiglu)*2", "mamba2[state=64]*3"];

    public override int Width => 64;

    public override BudgetKind Equal => BudgetKind.Data;

    public override bool SweepsEach => true;

    public override IReadOnlyList<Quantity> Quantities { get; } =
    [
        new(ByParameters, "Perplexity by parameters", $"Of a held-out base, read in windows of {Trained}: 4 is a guess, 1 certainty. Letters but A, C, G and T are not scored.", Better.Lower) { HasLogarithmicAxis = true },
        new(ByContext, "Perplexity by context", $"Of the same held-out bases at every context c, each predicted from c/2 to c before it; trained at {Trained}, so that what lies right of it is beyond training.", Better.Lower)
        {
            Axis = "context, bases", HasLogarithmicAxis = true,
        },
    ];

    public override Corpus DefaultText() => Fasta.Sample();

    public override Corpus Open(IReadOnlyList<string> files) => Fasta.Open(files);

    public override string? About(Corpus text)
    {
        ArgumentNullException.ThrowIfNull(text);
        IReadOnlyList<(char Letter, long Count)> masked = BaseSource.MaskedLetters(text);
        return masked.Count == 0 ? null
            : $"{masked.Sum(m => m.Count)} of its {text.Length} letters are none of A, C, G and T; they are read as unknown and not scored: "
                + string.Join(", ", masked.Select(m => string.Create(CultureInfo.InvariantCulture, $"{m.Letter} {m.Count}")));
    }

    public override IReadOnlyList<Condition> Conditions(Corpus text, ModelConfig model, Budget budget)
    {
        var source = new BaseSource(text);
        Condition Of(string name, int width) => new(name, width, model with { Width = width }, source, budget) { Context = Trained, Batch = 1 };
        Condition[] wide = [Of(TheWidth, model.Width), Of("twice the width", model.Width * 2)];
        return model.Width >= LeastHalved ? [Of("half the width", model.Width / 2), .. wide] : wide;
    }

    public override void Measure(TrainedText trained, Action<string, double, double> found, CancellationToken cancel)
    {
        found(ByParameters, trained.Model.ParameterCount(), Math.Pow(2, trained.BitsPerByte));
        if (trained.Condition.Name != TheWidth)
        {
            return;
        }

        TokenSource source = trained.Condition.Source;
        int scored = Math.Min(Scored, 1 << BitOperations.Log2((ulong)source.HeldOutLength)); // blocks of every context fill it
        for (int context = Shortest; context <= Longest && context / 2 <= scored && source.Length - scored > context / 2; context *= 2)
        {
            found(ByContext, context, Perplexity(trained.Model, source, source.Length - scored, scored, context, cancel));
        }
    }

    public override IEnumerable<string> Findings(TextReport report)
    {
        foreach (TextModel model in report.Models)
        {
            IReadOnlyList<double> contexts = model.Axis(ByContext);
            if (contexts.Count < 2)
            {
                continue;
            }

            IReadOnlyList<double> first = model.At(ByContext, contexts[0]), last = model.At(ByContext, contexts[^1]);
            string change = TextFindings.Compare(last, first, Doubt) switch { < 0 => "gains with context", > 0 => "loses with context", _ => "does not change with context by more than is sure" };
            double best = contexts.MinBy(c => model.Mean(ByContext, c));
            yield return $"Context: {model.Name} {change}: {Figure(first.Average())} at {contexts[0]:0}, {Figure(last.Average())} at {contexts[^1]:0}, best at {best:0} ({Figure(model.Mean(ByContext, best))}).";
        }

        (TextModel? attention, TextModel? recurrent) = Layers.Sides(report);
        if (attention is not null && recurrent is not null && Best(attention) is { } a && Best(recurrent) is { } r)
        {
            yield return $"Attention: at equal data the best perplexity of {recurrent.Name} is {Figure(r.Average())}, of {attention.Name} {Figure(a.Average())}: "
                + (TextFindings.Compare(r, a, Doubt) switch { < 0 => "the recurrent model is better, as published.", > 0 => "attention is better, against what was published.", _ => "too close to tell." });
        }
    }

    private static IReadOnlyList<double>? Best(TextModel model) =>
        model.Axis(ByParameters) is { Count: > 0 } points ? points.Select(p => model.At(ByParameters, p)).MinBy(v => v.Average()) : null;

    private static string Figure(double perplexity) => perplexity.ToString("F3", CultureInfo.InvariantCulture);

    // Of the bases from an offset on, in blocks of half a context that the other half comes before.
    private static double Perplexity(LanguageModel model, TokenSource source, long offset, int length, int context, CancellationToken cancel)
    {
        int half = context / 2, blocks = length / half, rows = Math.Clamp(Piece / context, 1, blocks), piece = Math.Min(Piece, half);
        int[] window = new int[piece + 1], inputs = new int[rows * piece], targets = new int[rows * piece];
        var losses = new float[rows * piece];
        SequenceState state = model.NewState(rows);
        using var tape = new Tape(model.Device)
        {
            Recording = false,
            Use = new MemoryUse($"the activations of an evaluation ({rows} x {piece} bases)", "a smaller width"),
        };
        (double nats, long bases) = (0, 0);
        for (int first = 0; first < blocks; first += rows)
        {
            state.Clear();
            for (int at = 0; at < context; at += piece)
            {
                cancel.ThrowIfCancellationRequested();
                for (int row = 0; row < rows; row++)
                {
                    long start = offset + ((long)Math.Min(first + row, blocks - 1) * half) - half - 1; // a base before the window, since inputs predict what follows them
                    bool isCounted = first + row < blocks && at >= half;
                    source.Read(start + at, window);
                    window.AsSpan(0, piece).CopyTo(inputs.AsSpan(row * piece));
                    Span<int> asked = targets.AsSpan(row * piece, piece);
                    window.AsSpan(1).CopyTo(asked);
                    asked.Replace(source.Masked, -1);
                    if (!isCounted)
                    {
                        asked.Fill(-1);
                    }
                }

                model.Loss(tape.Tokens(inputs, rows, piece), tape.Tokens(targets, rows, piece), state).Get(losses);
                tape.Reset();
                for (int i = 0; i < losses.Length; i++)
                {
                    nats += losses[i];
                    bases += targets[i] >= 0 ? 1 : 0;
                }
            }
        }

        return Math.Exp(nats / Math.Max(1, bases));
    }
}
