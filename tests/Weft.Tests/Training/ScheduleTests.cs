using Weft.Training;

namespace Weft.Tests.Training;

public class ScheduleTests
{
    /// <summary>kind, warm-up, decline, final, total, then (step, factor).</summary>
    [Theory]
    [InlineData(ScheduleKind.Constant, 0.0, 0.0, 0.1, 10, 0, 1.0)]
    [InlineData(ScheduleKind.Constant, 0.0, 0.0, 0.1, 10, 9, 1.0)]
    [InlineData(ScheduleKind.Constant, 0.5, 0.0, 0.1, 10, 0, 0.2)]
    [InlineData(ScheduleKind.Cosine, 0.1, 0.0, 0.1, 100, 0, 0.1)]
    [InlineData(ScheduleKind.Cosine, 0.1, 0.0, 0.1, 100, 9, 1.0)]
    [InlineData(ScheduleKind.Cosine, 0.1, 0.0, 0.1, 100, 54, 0.55)] // half-way down
    [InlineData(ScheduleKind.Cosine, 0.1, 0.0, 0.1, 100, 99, 0.1)]
    [InlineData(ScheduleKind.Wsd, 0.1, 0.2, 0.0, 100, 79, 1.0)]
    [InlineData(ScheduleKind.Wsd, 0.1, 0.2, 0.0, 100, 89, 0.5)]
    [InlineData(ScheduleKind.Wsd, 0.1, 0.2, 0.0, 100, 99, 0.0)]
    [InlineData(ScheduleKind.WsdSqrt, 0.1, 0.2, 0.0, 100, 84, 0.5)] // 1 - sqrt(5/20)
    [InlineData(ScheduleKind.WsdSqrt, 0.1, 0.2, 0.5, 100, 99, 0.5)]
    [InlineData(ScheduleKind.Wsd, 1.0, 1.0, 0.0, 4, 3, 1.0)] // nothing but warm-up
    [InlineData(ScheduleKind.Cosine, 0.05, 0.0, 0.1, 1, 0, 1.0)] // a single step
    public void HasTheseRates(ScheduleKind kind, double warmUp, double decline, double final, long total, long step, double factor) =>
        Assert.Equal(factor, new Schedule { Kind = kind, WarmUp = warmUp, Decline = decline, Final = final }.Factor(step, total), 1e-12);

    [Theory]
    [InlineData(ScheduleKind.Cosine)]
    [InlineData(ScheduleKind.Wsd)]
    [InlineData(ScheduleKind.WsdSqrt)]
    public void RisesThenFalls(ScheduleKind kind)
    {
        var schedule = new Schedule { Kind = kind };
        foreach (long total in (long[])[1, 2, 3, 7, 100, 1001])
        {
            double[] rates = [.. Enumerable.Range(0, (int)total).Select(s => schedule.Factor(s, total))];
            int peak = Array.IndexOf(rates, rates.Max());
            Assert.All(rates, r => Assert.InRange(r, 1e-3, 1));
            Assert.Equal(rates[..(peak + 1)].Order(), rates[..(peak + 1)]);
            Assert.Equal(rates[peak..].OrderDescending(), rates[peak..]);
        }
    }

    [Fact]
    public void RefusesWhatIsNoPart()
    {
        Refused.With(() => new Schedule { WarmUp = 1.5 }, "warm-up 1.5", "from 0 to 1");
        Refused.With(() => new Schedule { Final = double.NaN }, "final NaN");
    }
}
