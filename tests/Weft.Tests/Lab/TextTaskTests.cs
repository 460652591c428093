using System.Text;
using Weft.Lab.TextTasks;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Tests.Lab;

/// <summary>What holds of granularity, ratio and dna: their conditions, and what they measure of a model.</summary>
public class TextTaskTests
{
    private static readonly Budget Bytes = new(BudgetKind.Data, 100_000), Flops = new(BudgetKind.Flops, 1e11);

    private static ModelConfig Model(string pattern, int width = 32) => Presets.Resolve(pattern, width, [.. BlockTable.Names]);

    private static TextTask Find(string name) => TextTaskTable.All.Single(t => t.Name == name);

    private static Corpus Text(int bytes = 200_000)
    {
        using Corpus all = Corpus.Default();
        var text = new byte[bytes];
        all.Read(0, text.AsSpan());
        return Corpus.FromBytes(text, "part");
    }

    // Measures a model that has learned nothing, under a condition.
    private static Dictionary<(string Quantity, double X), double> Measured(TextTask task, Condition condition, Corpus text, Device device)
    {
        var model = new LanguageModel(condition.Model with { Vocabulary = condition.Source.Vocabulary, Context = condition.Context }, device, 1);
        double bits = Evaluation.HeldOut(model, condition.Source, condition.Context, atMost: 4096).BitsPerByte;
        var found = new Dictionary<(string, double), double>();
        task.Measure(new TrainedText(model, condition, text, bits, 1e9, 1000, 1), (q, x, v) => found.Add((q, x), v), TestContext.Current.CancellationToken);
        Assert.All(found, f => Assert.Contains(task.Quantities, q => q.Name == f.Key.Item1));
        Assert.All(found.Values, v => Assert.True(double.IsFinite(v)));
        return found;
    }

    [Fact]
    public void GranularityCutsTheTextSixWaysInEqualBytesOfContext()
    {
        using Corpus text = Text();
        IReadOnlyList<Condition> conditions = Find("granularity").Conditions(text, Model("mingru"), Bytes);
        Assert.Equal(["bytes", "2-grams", "2-grams, equal FLOPs", "3-grams", "3-grams, equal FLOPs", "4-grams", "4-grams, equal FLOPs", "6-grams", "6-grams, equal FLOPs", "BPE", "BPE, equal FLOPs"], conditions.Select(c => c.Name));
        Assert.Equal([1, 2, 2, 3, 3, 4, 4, 6, 6, 8, 8], conditions.Select(c => c.X));
        Assert.All(conditions, c =>
        {
            Assert.Equal(text.Length, c.Source.BytesOf(0, c.Source.Length));
            Assert.Equal(text.HeldOutLength, c.Source.BytesOf(c.Source.TrainLength, c.Source.HeldOutLength));
            Assert.InRange(c.Context * (double)text.TrainLength / c.Source.TrainLength, 508, 516);
            Assert.Equal(c.Name.EndsWith("FLOPs", StringComparison.Ordinal) ? BudgetKind.Flops : BudgetKind.Data, c.Budget.Kind);
        });
        Assert.Equal(Bytes, conditions[0].Budget);
        Assert.All(conditions.Where(c => c.Name.StartsWith("BPE", StringComparison.Ordinal)), c => Assert.InRange(c.Source.Vocabulary, 3800, 4096));
    }

    [Fact]
    public void GranularitysFlopsAreThoseThatTheBytesTake()
    {
        using Corpus text = Text();
        using Device device = Device.Open(1);
        IReadOnlyList<Condition> conditions = Find("granularity").Conditions(text, Model("(attention[head-dim=32] swiglu)*2"), new Budget(BudgetKind.Data, 2048));
        Condition bytes = conditions[0];
        var model = new LanguageModel(bytes.Model with { Context = bytes.Context }, device, 1);
        using var trainer = new Trainer(model, bytes.Source, new TrainingOptions { Budget = bytes.Budget, BatchSize = bytes.Batch, Context = bytes.Context });
        trainer.Run();
        Assert.Equal(4, trainer.Steps);
        Assert.InRange(trainer.Flops / conditions[2].Budget.Amount, 0.9999, 1.0001);
        IReadOnlyList<Condition> flops = Find("granularity").Conditions(text, bytes.Model, conditions[2].Budget);
        Assert.Equal(conditions.Select(c => c.Budget), flops.Select(c => c.Budget));
        Refused.With(() => Find("granularity").Conditions(text, bytes.Model, new Budget(BudgetKind.Time, 60)), "equal bytes", "60s");
    }

    [Fact]
    public void GranularityMeasuresEachQuantityWhereItBelongs()
    {
        using Corpus text = Text();
        using Device device = Device.Open(1);
        TextTask task = Find("granularity");
        IReadOnlyList<Condition> conditions = task.Conditions(text, Model("mingru"), Bytes);
        Assert.Equal(["bits_at_equal_bytes", "bits_at_equal_flops", "flops_per_byte", "state_bytes"], Measured(task, conditions[0], text, device).Keys.Select(k => k.Quantity).Order());
        Assert.Equal([("bits_at_equal_bytes", 2.0), ("flops_per_byte", 2), ("spelled", 2), ("state_bytes", 2)], Measured(task, conditions[1], text, device).Keys.Order());
        Assert.Equal([("bits_at_equal_flops", 8.0)], Measured(task, conditions[^1], text, device).Keys);
    }

    [Theory]
    [InlineData(0, "(mingru swiglu)*8")]
    [InlineData(1, "(mingru swiglu)*7 attention[head-dim=32] swiglu")]
    [InlineData(2, "((mingru swiglu)*3 attention[head-dim=32] swiglu)*2")]
    [InlineData(4, "(mingru swiglu attention[head-dim=32] swiglu)*4")]
    [InlineData(8, "(attention[head-dim=32] swiglu)*8")]
    public void RatioPutsAttentionEvenlyAndLast(int layers, string pattern)
    {
        using Corpus text = Text();
        Condition condition = Find("ratio").Conditions(text, Model("(mingru swiglu)*8"), Flops).Single(c => c.X == layers);
        Assert.Equal(Pattern.Parse(pattern), condition.Model.Blocks);
        Assert.Equal(Flops, condition.Budget);
    }

    [Fact]
    public void RatioMeasuresBitsRecallStateAndSpeed()
    {
        using Corpus text = Text();
        using Device device = Device.Open(1);
        TextTask task = Find("ratio");
        IReadOnlyList<Condition> conditions = task.Conditions(text, Model("mingru*2"), Flops);
        Assert.Equal([0, 1, 2], conditions.Select(c => c.X));
        Dictionary<(string Quantity, double X), double> none = Measured(task, conditions[0], text, device), all = Measured(task, conditions[2], text, device);
        Assert.Equal(task.Quantities.Select(q => q.Name).Order(), none.Keys.Select(k => k.Quantity).Order());
        Assert.Equal(2.0 * 2 * 32 * 4 * (1 << 16), all[("state_bytes", 2)]);
        Assert.InRange(none[("state_bytes", 0)], 2 * 32 * 4, 4096);
        Refused.With(() => task.Conditions(text, Model("hybrid"), Flops), "attention already");
        Refused.With(() => task.Conditions(text, Model("mingru swiglu"), Flops), "fewer than two");
    }

    [Fact]
    public void DnaMeasuresEachWidthAndEveryContextOnce()
    {
        string letters = string.Concat(Enumerable.Range(0, 40_000).Select(i => "ACGT"[(i * 7 + (i / 9)) % 4]));
        using Corpus text = Corpus.FromBytes(Encoding.ASCII.GetBytes(letters[..39_000] + new string('N', 500) + letters[..500]), "bases");
        using Device device = Device.Open(1);
        TextTask task = Find("dna");
        IReadOnlyList<Condition> conditions = task.Conditions(text, Model("mingru", 64), Bytes);
        Assert.Equal([32, 64, 128], conditions.Select(c => c.Model.Width));
        Assert.Equal([32, 64], task.Conditions(text, Model("mingru", 32), Bytes).Select(c => c.Model.Width));
        Assert.Single(Measured(task, conditions[0], text, device));
        Dictionary<(string Quantity, double X), double> found = Measured(task, conditions[1], text, device);
        Assert.Equal([256, 512, 1024, 2048, 4096, 8192], found.Keys.Where(k => k.Quantity == "perplexity_by_context").Select(k => k.X));
        Assert.All(found.Values, v => Assert.InRange(v, 1, 10));
        Assert.Equal("500 of its 40000 letters are none of A, C, G and T; they are read as unknown and not scored: N 500", task.About(text));
        Assert.Null(task.About(task.DefaultText()!));
    }

    // A model that forgets at once predicts the same whatever came before; windows of every context must then agree.
    [Fact]
    public void DnaScoresTheSameBasesAtEveryContext()
    {
        var random = new RandomSource(1);
        using Corpus text = Corpus.FromBytes(Enumerable.Range(0, 40_000).Select(_ => (byte)"ACGT"[random.NextInt(4)]).ToArray(), "bases");
        using Device device = Device.Open(1);
        TextTask task = Find("dna");
        double[] perplexities = [.. Measured(task, task.Conditions(text, Model("swiglu", 32), Bytes)[0], text, device).Where(f => f.Key.Quantity == "perplexity_by_context").Select(f => f.Value)];
        Assert.Equal(6, perplexities.Length);
        double expected = perplexities[0];
        Assert.All(perplexities, p => Assert.InRange(p / expected, 0.998, 1.002));
    }
}
