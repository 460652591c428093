using Weft.Training;

namespace Weft.Tests.Training;

public class HumanTests
{
    [Theory]
    [InlineData(3e13, "3.0e13")]
    [InlineData(0, "0.0e0")]
    [InlineData(double.NaN, "?")]
    public void Flops(double value, string text) => Assert.Equal(text, Human.Flops(value));

    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(999, "999 B")]
    [InlineData(1000, "1.0 KB")]
    [InlineData(1_234_567, "1.2 MB")]
    [InlineData(999_940, "999.9 KB")]
    [InlineData(999_960, "1.0 MB")]
    [InlineData(5e18, "5000.0 PB")]
    public void Bytes(double value, string text) => Assert.Equal(text, Human.Bytes(value));

    [Theory]
    [InlineData(950, "950")]
    [InlineData(999.7, "1.0k")]
    [InlineData(12_340, "12.3k")]
    [InlineData(1_300_000, "1.3M")]
    [InlineData(2.8e9, "2.8B")]
    [InlineData(double.PositiveInfinity, "?")]
    public void Count(double value, string text) => Assert.Equal(text, Human.Count(value));

    [Theory]
    [InlineData(0.42, "0.42 s")]
    [InlineData(9.999, "10.0 s")]
    [InlineData(12.34, "12.3 s")]
    [InlineData(59.96, "1 min 00 s")]
    [InlineData(119.7, "2 min 00 s")]
    [InlineData(125, "2 min 05 s")]
    [InlineData(3599.6, "1 h 00 min")]
    [InlineData(4980, "1 h 23 min")]
    [InlineData(86_399, "1 d 00 h")]
    [InlineData(273_600, "3 d 04 h")]
    public void Duration(double value, string text) => Assert.Equal(text, Human.Duration(value));
}
