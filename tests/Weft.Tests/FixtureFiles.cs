namespace Weft.Tests;

/// <summary>
/// Reference data of public implementations: the project's own, in Fixtures, or those of a folder of the same layout (ops/, hf/, train/)
/// that the environment variable <c>WEFT_FIXTURES</c> names, so that anyone can check with references of their own.
/// </summary>
internal static class FixtureFiles
{
    /// <summary>The path of a file or folder.</summary>
    public static string At(params string[] path) => Path.Combine([Root, .. path]);

    private static string Root { get; } =
        Environment.GetEnvironmentVariable("WEFT_FIXTURES") is { Length: > 0 } other ? other : Path.Combine(AppContext.BaseDirectory, "Fixtures");
}
