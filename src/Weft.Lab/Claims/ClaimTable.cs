namespace Weft.Lab.Claims;

/// <summary>The claims of <c>weft claims</c>: a row each.</summary>
public static class ClaimTable
{
    /// <summary>All claims, in the order in which they are run.</summary>
    public static IReadOnlyList<Claim> All { get; } =
    [
        new("filler", "Filler costs a model that compresses no state and no quality; a cache of every token pays for each.",
            "Gu, “On the Tradeoffs of SSMs and Transformers” (2025)", "a thought experiment, no figures",
            ["probe filler --budget 400KB --seeds 2"], Judges.Filler),
    ];
}
