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

    private readonly Terminal _terminal;
    private readonly int _seeds;
    private readonly ComparisonProgress?[] _rows;
    private readonly string[] _names;
    private readonly List<string> _notes = [];
    private readonly Lock _lock = new();
    private readonly Stopwatch _elapsed = Stopwatch.StartNew();
    private readonly ManualResetEventSlim _end = new();
    private readonly Thread _thread;
    private TimeSpan? _remaining;
    private TimeSpan _remainingAt;

    public LiveView(Terminal terminal, IReadOnlyList<string> names, int seeds)
    {
        _terminal = terminal;
        _seeds = seeds;
        _names = [.. names];
        _rows = new ComparisonProgress?[names.Count];
        _thread = new Thread(Draw) { IsBackground = true, Name = "live view" };
        _thread.Start();
    }

    public override void Report(ComparisonProgress progress)
    {
        lock (_lock)
        {
            ComparisonProgress? before = _rows[progress.Model];
            _rows[progress.Model] = progress with
            {
                // What the last phase found stays in view.
                Loss = double.IsFinite(progress.Loss) ? progress.Loss : before?.Loss ?? double.NaN,
                TokensPerSecond = progress.TokensPerSecond > 0 ? progress.TokensPerSecond : before?.TokensPerSecond ?? 0,
            };
            _remaining = progress.Remaining ?? _remaining;
            _remainingAt = progress.Remaining is null ? _remainingAt : _elapsed.Elapsed;
            if (progress.Note is string note && !_notes.Contains($"{progress.Name}: {note}"))
            {
                _notes.Add($"{progress.Name}: {note}");
            }
        }
    }

    public override void Dispose()
    {
        _end.Set();
        _thread.Join();
        _end.Dispose();
    }

    private void Draw() => _terminal.Console.Live(Render()).Start(live =>
    {
        bool isOver;
        do
        {
            isOver = _end.Wait(Interval);
            live.UpdateTarget(Render());
        }
        while (!isOver);
    });

    private Rows Render()
    {
        List<IRenderable> parts = [];
        lock (_lock)
        {
            int width = _terminal.Console.Profile.Width;
            int nameWidth = width < Narrow ? WidestNameOfNarrow : WidestName;
            string[][] texts = [.. _rows.Select((p, i) => Texts(p, Short(p?.Name ?? _names[i], nameWidth)))];
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
                table.AddRow(barWidth >= NarrowestBar ? cells.Append(Bar(_rows[i]?.Fraction ?? 0, barWidth)) : cells);
            }
            parts.Add(table);
            parts.AddRange(_notes.TakeLast(MostNotes).Select(n => new Text("  " + n, new Style(decoration: Decoration.Dim))));
            parts.Add(new Text("  " + Status(), new Style(decoration: Decoration.Dim)));
        }
        return new Rows(parts);
    }

    private static readonly string[] Headers = ["model", "", "bits/byte", "tokens/s", "step"];

    private string[] Texts(ComparisonProgress? p, string name) => p is null ? [name, "waiting", "", "", ""] :
    [
        name,
        PhaseOf(p, _seeds),
        double.IsFinite(p.Loss) ? $"{p.Loss:0.000}" : "",
        p.TokensPerSecond > 0 ? Human.Count(p.TokensPerSecond) : "",
        p.Steps > 0 ? $"{p.Step}/{p.Steps}" : "",
    ];

    private string Status()
    {
        string elapsed = Clock(_elapsed.Elapsed.TotalSeconds);
        if (_end.IsSet)
        {
            return elapsed;
        }
        if (_terminal.Cancel.IsCancellationRequested)
        {
            return "stopping; saving the run (a second Ctrl-C quits at once)";
        }
        double left = (_remaining - (_elapsed.Elapsed - _remainingAt))?.TotalSeconds ?? double.NaN; // counts down between reports
        return (double.IsNaN(left) ? elapsed : $"{elapsed}, {Clock(left)} left")
            + "; Ctrl-C saves and stops";
    }

    private Markup Bar(double fraction, int width)
    {
        (char full, char empty) = _terminal.Console.Profile.Capabilities.Unicode ? ('━', '─') : ('#', '-');
        int done = (int)Math.Round(Math.Clamp(fraction, 0, 1) * width);
        return new Markup($"[green]{new string(full, done)}[/][grey]{new string(empty, width - done)}[/]");
    }

    private static string Short(string name, int width) => name.Length <= width ? name : name[..(width - 1)] + "…";
}
