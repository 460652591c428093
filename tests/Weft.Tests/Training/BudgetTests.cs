using Weft.Training;

namespace Weft.Tests.Training;

public class BudgetTests
{
    [Theory]
    [InlineData("60s", BudgetKind.Time, 60, "60s")]
    [InlineData("5m", BudgetKind.Time, 300, "300s")]
    [InlineData("90min", BudgetKind.Time, 5400, "5400s")]
    [InlineData("1.5h", BudgetKind.Time, 5400, "5400s")]
    [InlineData(" 0.25 s ", BudgetKind.Time, 0.25, "0.25s")]
    [InlineData("3e13flop", BudgetKind.Flops, 3e13, "3e13flop")]
    [InlineData("2.5E12 FLOPs", BudgetKind.Flops, 2.5e12, "2.5e12flop")]
    [InlineData("123456789123456789flop", BudgetKind.Flops, 123456789123456789, "1.2345678912345678e17flop")]
    [InlineData("20MB", BudgetKind.Data, 2e7, "20MB")]
    [InlineData("20mb", BudgetKind.Data, 2e7, "20MB")]
    [InlineData("1.5GB", BudgetKind.Data, 1.5e9, "1500MB")]
    [InlineData("500KB", BudgetKind.Data, 5e5, "500KB")]
    [InlineData("3TB", BudgetKind.Data, 3e12, "3000GB")]
    [InlineData("1234567B", BudgetKind.Data, 1234567, "1.234567e6B")]
    [InlineData("500steps", BudgetKind.Steps, 500, "500steps")]
    [InlineData("1 step", BudgetKind.Steps, 1, "1steps")]
    public void ReadsAndWritesBudgets(string text, BudgetKind kind, double amount, string written)
    {
        Budget budget = Budget.Parse(text);
        Assert.Equal(new Budget(kind, amount), budget);
        Assert.Equal(written, budget.ToString());
        Assert.Equal(budget, Budget.Parse(written));
    }

    [Theory]
    [InlineData("12x")]
    [InlineData("")]
    [InlineData("60")]
    [InlineData("s")]
    [InlineData("0s")]
    [InlineData("-5s")]
    [InlineData("1,5s")]
    [InlineData("1e400flop")]
    [InlineData("NaNs")]
    [InlineData("Infinitys")]
    [InlineData("0.1B")]
    [InlineData("20M")] // minutes or megabytes?
    [InlineData("5 minutes")]
    public void RefusesWhatIsNone(string text) =>
        Refused.With(() => Budget.Parse(text), $"--budget '{text}' is not a budget; write a time (60s, 5m), training FLOPs (3e13flop), training data (20MB) or steps (500steps)");

    [Fact]
    public void StaysOnOneLine() => Refused.With(() => Budget.Parse("1\n2"), "'1?2'");
}
