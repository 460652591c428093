using System.CommandLine;
using Spectre.Console;
using Weft.Lab.Claims;
using Weft.Models;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Cli.Commands;

/// <summary>weft claims: what papers say, re-tested here.</summary>
internal sealed class ClaimsCommand : WeftCommand
{
    private readonly Argument<string[]> names = new("CLAIM") { Arity = ArgumentArity.ZeroOrMore, Description = "the claims to re-test (default: all)" };
    private readonly Option<string?> output = Settings.Text("--out", "DIR", "folder for the reports, from which an interrupted run goes on (default claims)");
    private readonly Option<string?> page = Settings.Text("--page", "FILE", "the page to write (default docs/claims.md)");
    private readonly Option<bool> list = Settings.Switch("--list", "show the claims and their commands, and run nothing");

    public ClaimsCommand(Terminal terminal) : base(terminal, "claims", "re-test what papers say of architectures, and write a page of what held",
        new Example("weft claims", "what papers claim, re-tested here: about an hour on 2 cores"),
        new Example("weft claims --list", "what is claimed, and the commands that re-test it"),
        new Example("weft claims parity recall", "two of them"))
    {
        Add(names);
        foreach (Option option in (ReadOnlySpan<Option>)[output, page, list])
        {
            Add(option);
        }
    }

    public override IReadOnlyList<string> Notes =>
        ["Ctrl-C saves; the same command goes on. A claim that was re-tested already is not trained again.", "The page holds all claims that the folder has reports of."];

    protected override int Run(ParseResult given)
    {
        Claim[] claims = [.. (given.GetValue(names) ?? []).Select(Named).Distinct()];
        claims = claims.Length > 0 ? claims : [.. ClaimTable.All];
        if (given.GetValue(list))
        {
            return List(claims);
        }

        string root = given.GetValue(output) ?? "claims", path = given.GetValue(page) ?? Path.Combine("docs", "claims.md");
        foreach ((int at, Claim claim) in claims.Index())
        {
            for (int i = 0; i < claim.Commands.Count; i++)
            {
                string[] words = [.. System.CommandLine.Parsing.CommandLineParser.SplitCommandLine(claim.Commands[i]), "--out", claim.FolderOf(root, i)];
                Terminal.Out.WriteLine($"== {at + 1} of {claims.Length}, {claim.Name}: {claim.Statement}");
                Terminal.Out.WriteLine($"   {ShellText.Join(["weft", .. words])}");
                int code = CommandLine.Run(words, Terminal.Within(words));
                if (code != 0)
                {
                    return code;
                }
            }

            ClaimPage.Write(root, path);
        }

        Table table = Tables.New("claim", "measured here", "verdict");
        foreach (Claim claim in claims)
        {
            ClaimFinding found = claim.Find(root)!;
            table.AddRow(Tables.Cells(claim.Name, found.Measured, ClaimPage.Word(found.Verdict)));
        }

        Terminal.Console.Write(table);
        Terminal.Out.WriteLine($"Page: {Path.GetFullPath(path)}");
        return 0;
    }

    private int List(IReadOnlyList<Claim> claims)
    {
        foreach (Claim claim in claims)
        {
            Terminal.Console.Write(new Text($"{claim.Name}: {claim.Statement} ({claim.Source}; published: {claim.Published})\n"));
            foreach (string command in claim.Commands)
            {
                Terminal.Out.WriteLine($"    weft {command}");
            }
        }

        return 0;
    }

    private static Claim Named(string name) => ClaimTable.All.FirstOrDefault(c => c.Name == name.Trim())
        ?? throw new InputException($"unknown claim {AtomicFile.Quote(name)}; {NearestNames.Hint(name, ClaimTable.All.Select(c => c.Name))}; weft claims --list shows them");
}
