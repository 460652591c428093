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
    private const int BarWidth = 20;
    private const int WidthForAll = 100;  // columns of a terminal that shows everything
    private const int WidthForBar = 72;
    private const int NameWidth = 28;
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
        int width = _terminal.Console.Profile.Width;
        bool isWide = width >= WidthForAll;
        bool hasBar = width >= WidthForBar;
        Table table = new() { Border = TableBorder.Simple, UseSafeBorder = true };
        table.AddColumn(new TableColumn("model") { NoWrap = true });
        table.AddColumn(new TableColumn("") { NoWrap = true });
        if (hasBar)
        {
            table.AddColumn(new TableColumn("") { NoWrap = true });
        }
        table.AddColumn(Right(""));
        if (isWide)
        {
            table.AddColumn(Right("step"));
        }
        table.AddColumn(Right("bits/byte"));
        table.AddColumn(Right("tokens/s"));
        List<IRenderable> parts = [table];
        lock (_lock)
        {
            for (int i = 0; i < _rows.Length; i++)
            {
                ComparisonProgress? p = _rows[i];
                List<IRenderable> cells = [new Text(Short(p?.Name ?? _names[i])), new Text(p is null ? "waiting" : PhaseOf(p, _seeds))];
                if (hasBar)
                {
                    cells.Add(Bar(p?.Fraction ?? 0));
                }
                cells.Add(new Text(p is null ? "" : $"{p.Fraction:0%}"));
                if (isWide)
                {
                    cells.Add(new Text(p is { Steps: > 0 } ? $"{p.Step}/{p.Steps}" : ""));
                }
                cells.Add(new Text(p is not null && double.IsFinite(p.Loss) ? $"{p.Loss:0.000}" : ""));
                cells.Add(new Text(p is { TokensPerSecond: > 0 } ? Human.Count(p.TokensPerSecond) : ""));
                table.AddRow(cells);
            }
            parts.AddRange(_notes.TakeLast(MostNotes).Select(n => new Text("  " + n, new Style(decoration: Decoration.Dim))));
            parts.Add(new Text("  " + Status(), new Style(decoration: Decoration.Dim)));
        }
        return new Rows(parts);
    }

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

    private Markup Bar(double fraction)
    {
        (char full, char empty) = _terminal.Console.Profile.Capabilities.Unicode ? ('━', '─') : ('#', '-');
        int done = (int)Math.Round(Math.Clamp(fraction, 0, 1) * BarWidth);
        return new Markup($"[green]{new string(full, done)}[/][grey]{new string(empty, BarWidth - done)}[/]");
    }

    private static TableColumn Right(string header) => new TableColumn(header) { NoWrap = true }.RightAligned();

    private static string Short(string name) => name.Length <= NameWidth ? name : name[..(NameWidth - 1)] + "…";
}
