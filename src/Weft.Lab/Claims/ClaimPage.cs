using System.Text;
using Weft.Lab.Report;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Lab.Claims;

/// <summary>The page of claims: a table of what is claimed, what was published, what was measured here, and how it fared.</summary>
public static class ClaimPage
{
    /// <summary>The table in Markdown; claims whose reports are not below <paramref name="root"/> are listed as not run.</summary>
    /// <exception cref="InputException">A report cannot be read.</exception>
    public static string Table(string root)
    {
        var text = new StringBuilder("| claim | source | published | measured here | verdict |\n|---|---|---|---|---|\n");
        foreach (Claim claim in ClaimTable.All)
        {
            ClaimFinding? found = claim.Find(root);
            text.Append($"| **{claim.Name}**: {Cell(claim.Statement)} | {Cell(claim.Source)} | {Cell(claim.Published)} | {(found is null ? "not run" : Cell(found.Measured).Replace("; ", ";<br>", StringComparison.Ordinal))} | {(found is null ? "" : $"**{Word(found.Verdict)}**")} |\n");
        }

        text.Append($"\nMeasured on {Sentence.List(ClaimTable.All.SelectMany(c => c.Machines(root)).Distinct().Order(StringComparer.Ordinal).DefaultIfEmpty("no machine yet"))}.\n\n| claim | commands |\n|---|---|\n");
        foreach (Claim claim in ClaimTable.All)
        {
            text.Append($"| {claim.Name} | {string.Join("<br>", claim.Commands.Select(c => $"`weft {Cell(c)}`"))} |\n");
        }

        return text.ToString();
    }

    /// <summary>Writes the whole page; the file is whole or not there.</summary>
    /// <exception cref="InputException">A report cannot be read, or the page not written.</exception>
    public static void Write(string root, string path)
    {
        Kept.MakeFolder(Path.GetDirectoryName(Path.GetFullPath(path))!);
        AtomicFile.WriteAllText(path, $"""
            # Claims, re-tested

            What papers say of state-space models, attention and their hybrids, re-tested at a size that two cores can run: models of under a million
            parameters, minutes of training. A claim that holds at a size of its own may not show at this one; then the verdict is that this is too
            small to tell. Figures are means over seeds, with the lowest and the highest in brackets. `weft claims` makes the page, `weft claims NAME`
            re-tests one claim, and each command below can be run by itself.

            Models, rates and budgets of the commands were chosen in trials before; a command with one rate has no sweep, and one seed no spread. Generated
            tasks that are scored past the trained lengths (copying, parity) also choose their rate, and end, by what is scored there. Parity is a claim of what
            can be followed: the best seed counts of a model that should be able to, and every seed of one that should not.

            <!-- claims -->
            {Table(root)}<!-- /claims -->

            """.ReplaceLineEndings("\n"));
    }

    /// <summary>A verdict in words.</summary>
    public static string Word(Verdict verdict) => verdict switch
    {
        Verdict.Held => "held",
        Verdict.DidNotHold => "did not hold",
        _ => "too small to tell",
    };

    private static string Cell(string text) => text.Replace("|", "\\|", StringComparison.Ordinal);
}
