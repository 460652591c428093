using System.Diagnostics;
using Spectre.Console;
using Spectre.Console.Rendering;
using Weft.Lab;
using Weft.Training;

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
    private readonly int seeds;
    private readonly ComparisonProgress?[] rows;
    private readonly string[] names;
    private readonly List<string> notes = [];
    private readonly Lock gate = new();
    private readonly Stopwatch elapsed = Stopwatch.StartNew();
    private readonly ManualResetEventSlim end = new();
    private readonly Thread thread;
    private TimeSpan? remaining;
    private TimeSpan remainingAt;

    public LiveView(Terminal terminal, IReadOnlyList<string> names, int seeds)
    {
        this.terminal = terminal;
        this.seeds = seeds;
        this.names = [.. names];
        rows = new ComparisonProgress?[names.Count];
        thread = new Thread(Draw) { IsBackground = true, Name = "live view" };
        thread.Start();
    }

    public override void Report(ComparisonProgress progress)
    {
        lock (gate)
        {
            ComparisonProgress? before = rows[progress.Model];
            rows[progress.Model] = progress with
            {
                // What the last phase found stays in view.
                Loss = double.IsFinite(progress.Loss) ? progress.Loss : before?.Loss ?? double.NaN,
                TokensPerSecond = progress.TokensPerSecond > 0 ? progress.TokensPerSecond : before?.TokensPerSecond ?? 0,
            };
            remaining = progress.Remaining ?? remaining;
            remainingAt = progress.Remaining is null ? remainingAt : this.elapsed.Elapsed;
            if (progress.Note is string note && !notes.Contains($"{progress.Name}: {note}"))
            {
                notes.Add($"{progress.Name}: {note}");
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
            // What is left after the texts is the bar's; with too little left, the steps go too.
            int Left(int columns) => width - 2 - Enumerable.Range(0, columns).Sum(c => Padding + texts.Append(Headers).Max(row => row[c].Length)) - Padding;
            bool hasSteps = Left(Headers.Length) >= 0;
            int columns = hasSteps ? Headers.Length : Headers.Length - 1;
            int barWidth = Math.Min(WidestBar, Left(columns));
            Table table = new() { Border = TableBorder.Simple, UseSafeBorder = true };
            for (int c = 0; c < columns; c++)
            {
                TableColumn column = new(new Text(Headers[c])) { NoWrap = true };
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

    private static readonly string[] Headers = ["model", "", "bits/byte", "tokens/s", "step"];

    private string[] Texts(ComparisonProgress? p, string name) => p is null ? [name, "waiting", "", "", ""] :
    [
        name,
        PhaseOf(p, this.seeds),
        double.IsFinite(p.Loss) ? $"{p.Loss:0.000}" : "",
        p.TokensPerSecond > 0 ? Human.Count(p.TokensPerSecond) : "",
        p.Steps > 0 ? $"{p.Step}/{p.Steps}" : "",
    ];

    private string Status()
    {
        string elapsed = Clock(this.elapsed.Elapsed.TotalSeconds);
        if (end.IsSet)
        {
            return elapsed;
        }
        if (this.terminal.Cancel.IsCancellationRequested)
        {
            return "stopping; saving the run (a second Ctrl-C quits at once)";
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
