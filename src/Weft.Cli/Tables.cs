using Spectre.Console;
using Spectre.Console.Rendering;

namespace Weft.Cli;

/// <summary>Tables of one look. Their cells are plain text: names such as attention[window=64] are no markup.</summary>
internal static class Tables
{
    /// <summary>An empty table; columns whose header begins with a blank are aligned to the right.</summary>
    public static Table New(params string[] headers)
    {
        Table table = new() { Border = TableBorder.Simple, UseSafeBorder = true };
        foreach (string header in headers)
        {
            TableColumn column = new(new Text(header.Trim()));
            table.AddColumn(header.StartsWith(' ') ? column.RightAligned() : column);
        }
        return table;
    }

    public static IEnumerable<IRenderable> Cells(params IEnumerable<string> cells) => cells.Select(c => new Text(c));
}
