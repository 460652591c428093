using System.Diagnostics;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Weft.Cli.Progress;

/// <summary>A table drawn in place five times a second, by a thread of its own, so that training never waits for the screen.</summary>
internal sealed class LiveView : ProgressView
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);
    private const int WidestBar = 24, NarrowestBar = 6;
    private const int WidestName = 28, WidestNameOfNarrow = 16; // in a terminal of less than
    private const int Narrow = 100;                             // columns
    private const int Padding = 3;                              // of a column, and the line after it
    private const int MostNotes = 4;

    private readonly Terminal terminal;
    private readonly string[] headers;
    private readonly ProgressRow?[] rows;
    private readonly string[] names;
    private readonly List<string> notes = [];
    private readonly Lock gate = new();
    private readonly Stopwatch elapsed = Stopwatch.StartNew();
    private readonly ManualResetEventSlim end = new();
    private readonly Thread thread;
    private TimeSpan? remaining;
    private TimeSpan remainingAt;

    public LiveView(Terminal terminal, IReadOnlyList<string> names, IReadOnlyList<string> columns)
    {
        this.terminal = terminal;
        headers = ["model", "", .. columns];
        this.names = [.. names];
        rows = new ProgressRow?[names.Count];
        thread = new Thread(Draw) { IsBackground = true, Name = "live view" };
        thread.Start();
    }

    protected override void Report(ProgressRow row)
    {
        lock (gate)
        {
            // What the last phase found stays in view.
            IReadOnlyList<string>? before = rows[row.Model]?.Figures;
            rows[row.Model] = row with { Figures = [.. row.Figures.Select((text, i) => text.Length > 0 ? text : before?[i] ?? "")] };
            remaining = row.Remaining ?? remaining;
            remainingAt = row.Remaining is null ? remainingAt : this.elapsed.Elapsed;
            if (row.Note is string note && !notes.Contains($"{row.Name}: {note}"))
            {
                notes.Add($"{row.Name}: {note}");
            }
        }
    }

    public override void Dispose()
    {
        end.Set();
        thread.Join();
        end.Dispose();
    }

    private void Draw() => this.terminal.Console.Live(Render()).Start(live =>
    {
        bool isOver;
        do
        {
            isOver = end.Wait(Interval);
            live.UpdateTarget(Render());
        }
        while (!isOver);
    });

    private Rows Render()
    {
        List<IRenderable> parts = [];
        lock (gate)
        {
            int width = this.terminal.Console.Profile.Width;
            int nameWidth = width < Narrow ? WidestNameOfNarrow : WidestName;
            string[][] texts = [.. rows.Select((p, i) => Texts(p, Short(p?.Name ?? this.names[i], nameWidth)))];
            // What is left after the texts is the bar's; with too little left, the last column goes too.
            int Left(int columns) => width - 2 - Enumerable.Range(0, columns).Sum(c => Padding + texts.Append(headers).Max(row => row[c].Length)) - Padding;
            bool hasAll = Left(headers.Length) >= 0;
            int columns = hasAll ? headers.Length : headers.Length - 1;
            int barWidth = Math.Min(WidestBar, Left(columns));
            Table table = new() { Border = TableBorder.Simple, UseSafeBorder = true };
            for (int c = 0; c < columns; c++)
            {
                TableColumn column = new(new Text(headers[c])) { NoWrap = true };
                table.AddColumn(c < 2 ? column : column.RightAligned());
            }
            if (barWidth >= NarrowestBar)
            {
                table.AddColumn(new TableColumn("") { NoWrap = true });
            }
            for (int i = 0; i < texts.Length; i++)
            {
                IEnumerable<IRenderable> cells = Tables.Cells(texts[i][..columns]);
                table.AddRow(barWidth >= NarrowestBar ? cells.Append(Bar(rows[i]?.Fraction ?? 0, barWidth)) : cells);
            }
            parts.Add(table);
            parts.AddRange(notes.TakeLast(MostNotes).Select(n => new Text("  " + n, new Style(decoration: Decoration.Dim))));
            parts.Add(new Text("  " + Status(), new Style(decoration: Decoration.Dim)));
        }
        return new Rows(parts);
    }

    private string[] Texts(ProgressRow? row, string name) => [name, row?.Phase ?? "waiting", .. row?.Figures ?? headers.Skip(2).Select(_ => "")];

    private string Status()
    {
        string elapsed = Clock(this.elapsed.Elapsed.TotalSeconds);
        if (end.IsSet)
        {
            return elapsed;
        }
        if (this.terminal.Cancel.IsCancellationRequested)
        {
            return Stopping;
        }
        double left = (remaining - (this.elapsed.Elapsed - remainingAt))?.TotalSeconds ?? double.NaN; // counts down between reports
        return (double.IsNaN(left) ? elapsed : $"{elapsed}, {Clock(left)} left")
            + "; Ctrl-C saves and stops";
    }

    private Markup Bar(double fraction, int width)
    {
        (char full, char empty) = this.terminal.Console.Profile.Capabilities.Unicode ? ('━', '─') : ('#', '-');
        int done = (int)Math.Round(Math.Clamp(fraction, 0, 1) * width);
        return new Markup($"[green]{new string(full, done)}[/][grey]{new string(empty, width - done)}[/]");
    }

    private static string Short(string name, int width) => name.Length <= width ? name : name[..(width - 1)] + "…";
}
