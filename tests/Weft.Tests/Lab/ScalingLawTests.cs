using Weft.Lab.ScalingLaws;
using Weft.Tensors;

namespace Weft.Tests.Lab;

public class ScalingLawTests
{
    [Fact]
    public void APowerLawIsFoundAgain()
    {
        double[] flops = [1e11, 1e12, 1e13, 1e14, 1e15];
        PowerLaw law = PowerLaw.Fit([flops], [.. flops.Select(c => 1.2 + (90 * Math.Pow(c, -0.15)))]);
        Assert.Equal(1.2, law.Floor, 1e-3);
        Assert.Equal(90, law.Terms[0].Scale, 0.5);
        Assert.Equal(0.15, law.Terms[0].Exponent, 1e-4);
        PowerLaw bare = PowerLaw.Fit([flops], [.. flops.Select(c => 90 * Math.Pow(c, -0.15))], hasFloor: false);
        Assert.Equal((0, 0.15), (bare.Floor, Math.Round(bare.Terms[0].Exponent, 5)));
    }

    [Fact]
    public void ALawOfParametersAndBytesIsFoundAgainPastAnOutlier()
    {
        var runs = (from n in new[] { 1e5, 2e5, 4e5, 8e5, 16e5 } from d in new[] { 1e6, 3e6, 1e7, 3e7 } select (N: n, D: d)).ToArray();
        double[] losses = [.. runs.Select(r => 1.7 + (400 / Math.Pow(r.N, 0.5)) + (300 / Math.Pow(r.D, 0.4)))];
        losses[7] *= 1.2;
        PowerLaw law = PowerLaw.Fit([[.. runs.Select(r => r.N)], [.. runs.Select(r => r.D)]], losses, delta: 1e-3);
        Assert.Equal(1.7, law.Floor, 0.02);
        Assert.Equal(0.5, law.Terms[0].Exponent, 0.02);
        Assert.Equal(0.4, law.Terms[1].Exponent, 0.02);
        Assert.Equal(1.7 + (400 / Math.Sqrt(3e5)) + (300 / Math.Pow(5e6, 0.4)), law.At(3e5, 5e6), 0.005);
    }

    [Fact]
    public void NoNumberOfALawFallsBelowZero()
    {
        double[] x = [1, 2, 4, 8];
        PowerLaw law = PowerLaw.Fit([x], [1, 1.5, 1.7, 1.8]); // rises
        Assert.True(law.Floor > 1 && law.Terms[0].Scale >= 0);
        PowerLaw straight = PowerLaw.Fit([x], [8, 4, 2, 0.9]); // steeper than any with a floor
        Assert.Equal(0, straight.Floor, 0.1);
    }

    /// <summary>Runs as a family whose best sizes follow L(C) = 1.5 + 60 C^-0.16 might have, with a scatter of 1 %.</summary>
    private static ScalingRun[] Family(ulong seed, int seeds, params double[] budgets)
    {
        var random = new RandomSource(seed);
        return [.. from budget in budgets from size in new[] { 0.5, 1, 2 } from s in Enumerable.Range(1, seeds)
                   let n = size * Math.Sqrt(budget) / 10
                   let loss = (1.5 + (60 * Math.Pow(budget, -0.16))) * (1 + (0.03 * Math.Pow(Math.Log2(size), 2)))
                   select new ScalingRun(budget, (int)(64 * size), (long)n, (long)n, 1e-3, s, (long)(budget / (6 * n)), budget, loss * Math.Exp(0.01 * random.NextGaussian()), 1)];
    }

    private static readonly double[] Four = [1e12, 4e12, 16e12, 64e12];

    [Fact]
    public void BandsHoldTheTruthAboutAsOftenAsTheySay()
    {
        int held = 0, floors = 0;
        const int Times = 60;
        for (ulong i = 0; i < Times; i++)
        {
            var random = new RandomSource(i);
            double Noise() => 0.01 * random.NextGaussian();
            FrontierPoint[] frontier = [.. Four.Select(c => new FrontierPoint(c, c, 64, 1000, 1000, (1.5 + (60 * Math.Pow(c, -0.16))) * Math.Exp(Noise()), true))];
            Scatter known = Scatter.Of([Noise(), Noise(), Noise(), Noise(), Noise(), Noise()], 6);
            FittedLaw law = LawFits.OfCompute(frontier, known, i).Law!;
            BandPoint middle = law.Band[8];
            double truth = 1.5 + (60 * Math.Pow(middle.Flops, -0.16));
            held += truth >= middle.BitsPerByte.Low && truth <= middle.BitsPerByte.High ? 1 : 0;
            floors += law.Parameters[0].Estimate.Low <= 1.5 && law.Parameters[0].Estimate.High >= 1.5 ? 1 : 0;
        }

        Assert.InRange(held, 0.75 * Times, Times); // 90 %, as often as 60 times tell it
        Assert.InRange(floors, 0.75 * Times, Times);
    }

    [Fact]
    public void RatiosOfEqualFamiliesReachOneAndOfOthersDoNot()
    {
        LawFits a = new(Family(1, 1, Four), 0), b = new(Family(2, 1, Four), 1), worse = new([.. Family(2, 1, Four).Select(r => r with { BitsPerByte = 1.2 * r.BitsPerByte })], 1);
        Estimate same = a.RatioTo(b, 1e13)!.Value, other = worse.RatioTo(a, 1e13)!.Value;
        Assert.True(same.Low < 1 && same.High > 1);
        Assert.True(other.Low > 1 && other.Low < 1.2 && other.High > 1.2);
    }

    [Fact]
    public void TheSameRunsGiveTheSameFit()
    {
        var a = new LawFits(Family(1, 2, Four), 0);
        var b = new LawFits(Family(1, 2, Four), 0);
        Assert.Equal(a.Compute!.Band, b.Compute!.Band);
        Assert.Equal(a.Surface!.Parameters, b.Surface!.Parameters);
        Assert.NotEqual(a.Compute.Band[3], new LawFits(Family(1, 2, Four), 1).Compute!.Band[3]);
    }

    [Fact]
    public void TheBestSizeOfABudgetIsTakenAndOneAtTheEndTold()
    {
        FrontierPoint[] frontier = [.. new LawFits(Family(3, 5, Four), 0).Frontier];
        Assert.All(frontier, p => Assert.True(p.IsInside && p.Width == 64));
        ScalingRun[] cut = [.. Family(3, 5, Four).Where(r => r.Width >= 64)];
        Assert.All(new LawFits(cut, 0).Frontier, p => Assert.False(p.IsInside));
    }

    [Fact]
    public void WhatTooFewPointsLeaveOpenIsSaid()
    {
        LawFits one = new(Family(1, 1, 1e12), 0), two = new([.. Family(1, 1, 1e12, 1e13).Where(r => r.Width == 64)], 0), three = new(Family(1, 1, 1e12, 1e13, 1e14), 0);
        Assert.Null(one.Compute);
        Assert.Null(one.Surface);
        Assert.Equal("L(C) = A C^-alpha", two.Compute!.Form);
        Assert.Equal(0, two.Compute.Freedom);
        Assert.All(two.Compute.Parameters, p => Assert.False(p.IsDetermined));
        Assert.Equal("L(C) = A C^-alpha", three.Compute!.Form);
        ScalingRun lost = Family(1, 1, 1e12)[0] with { BitsPerByte = double.NaN };
        Assert.Empty(new LawFits([lost], 0).Frontier);
        Assert.Null(new LawFits([lost], 0).Compute);
        Assert.Null(new LawFits([lost], 0).RatioTo(three, 1e12));
        // Much scatter leaves the floor open.
        var random = new RandomSource(5);
        LawFits rough = new([.. Family(1, 1, Four).Select(r => r with { BitsPerByte = r.BitsPerByte * Math.Exp(0.1 * random.NextGaussian()) })], 0);
        Assert.False(rough.Compute!.Parameters[0].IsDetermined);
    }

    [Fact]
    public void TheConditionalLawIsFoundAgainAndTellsOtherShapes()
    {
        static double Truth(double x, double r) => (0.7 + (0.11 * Math.Log(x / 0.02)) + (0.008 / x)) * (0.93 + (0.03 * Math.Log(r)) + (0.04 / r));
        var shapes = (from x in new[] { 0.05, 0.08, 0.12, 0.2 } from r in new[] { 0.5, 1, 2, 4 } select (X: x, R: r)).Where(s => Math.Abs((s.X * s.R) - 0.16) > 0.001).ToArray();
        ShapeLaw law = ShapeLaw.Fit([.. shapes.Select(s => s.X)], [.. shapes.Select(s => s.R)], [.. shapes.Select(s => Truth(s.X, s.R))])!;
        Assert.All(new[] { (0.08, 2.0), (0.07, 1.4), (0.15, 3) }, s => Assert.Equal(Truth(s.Item1, s.Item2), law.At(s.Item1, s.Item2), 1e-4));
        Assert.Equal(1, shapes.Average(s => law.Ratio[0] + (law.Ratio[1] * Math.Log(s.R)) + (law.Ratio[2] / s.R)), 1e-9);
        Assert.Null(ShapeLaw.Fit([0.1, 0.1, 0.2, 0.2, 0.1, 0.2], [1, 2, 3, 1, 2, 3], [1, 1, 1, 1, 1, 1]));
        Assert.Null(ShapeLaw.Fit([0.1, 0.2, 0.3], [1, 2, 3], [1, 1, 1]));
    }
}
