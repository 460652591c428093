namespace Weft.Tests;

/// <summary>
/// A table of a page in docs/ that the code makes, between <c>&lt;!-- mark --&gt;</c> and <c>&lt;!-- /mark --&gt;</c>. With WEFT_UPDATE_README=1 in the environment
/// it is written, else compared.
/// </summary>
internal static class WrittenTable
{
    public static void Check(string file, string mark, string table)
    {
        string path = Path.Combine(Repository.Root, "docs", file), begin = $"<!-- {mark} -->\n", end = $"<!-- /{mark} -->";
        string page = File.ReadAllText(path).ReplaceLineEndings("\n");
        Assert.Contains(begin, page);
        Assert.Contains(end, page);
        string made = page[..(page.IndexOf(begin, StringComparison.Ordinal) + begin.Length)] + table + page[page.IndexOf(end, StringComparison.Ordinal)..];
        if (Environment.GetEnvironmentVariable("WEFT_UPDATE_README") == "1")
        {
            File.WriteAllText(path, made);
            return;
        }

        Assert.Equal(made, page);
    }
}
