using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Training;

namespace Weft.Cli;

/// <summary>How the state of one sequence grows with its length, in a few words.</summary>
internal static class StateGrowth
{
    private const int Long = 1 << 18;

    public static string Of(LanguageModel model) => Describe(n => model.Cost(1, n - 1).StateBytes);

    public static string Of(ModelSummary model) => Describe(n => model.Cost(1, n - 1).StateBytes);

    public static string Of(Mixer mixer) => Describe(n => mixer.Cost(1, n - 1).StateBytes);

    private static string Describe(Func<int, long> bytesAfter)
    {
        long end = bytesAfter(Long);
        double perToken = (end - bytesAfter(Long / 2)) / (Long / 2.0);
        return end == 0 ? "none"
            : perToken == 0 ? (bytesAfter(1) == end ? $"{Human.Bytes(end)}, fixed" : $"{Human.Bytes(end)} at most")
            : end - perToken * Long < 1024 ? $"{Human.Bytes(perToken)} a token"
            : $"{Human.Bytes(end - perToken * Long)} + {Human.Bytes(perToken)} a token";
    }
}
