using System.Runtime.ExceptionServices;
using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// The trials of a probe: of each model the first seed at each rate, then the other seeds at the best rate. What is next is the first trial of the first model that can
/// begin; as many run at once as there are devices, each with a thread of its own. Trials know nothing of each other, so the order changes none.
/// </summary>
/// <param name="rates">The rates of each model.</param>
/// <param name="seeds">The seeds of each.</param>
/// <param name="best">Which trial of a model's sweep is best.</param>
/// <param name="finish">Told of a model of which all trials are done, and its best.</param>
internal sealed class TrialQueue(IReadOnlyList<int> rates, int seeds, Func<IReadOnlyList<Trial>, int> best, Action<int, Trial> finish)
{
    private readonly Work[] models = [.. rates.Select(r => new Work(r, seeds))];
    private ExceptionDispatchInfo? failure;

    // A model's trials: its sweep by rate, its seeds but the first, how many of each have begun and are done.
    private sealed class Work(int rates, int seeds)
    {
        public readonly Trial?[] Sweep = new Trial?[rates], Others = new Trial?[seeds - 1];
        public int SweepBegun, OthersBegun, Done;
        public int Best = rates == 1 ? 0 : -1; // of several rates known when all are done

        public bool IsDone => Done == Sweep.Length + Others.Length;
    }

    /// <summary>A model's trials of the first seed, by rate.</summary>
    public IReadOnlyList<Trial> Sweep(int model) => models[model].Sweep!;

    /// <summary>A model's trials at its best rate, by seed.</summary>
    public IReadOnlyList<Trial> Repeated(int model) => [models[model].Sweep[models[model].Best]!, .. models[model].Others!];

    /// <summary>Does one trial of a model, at the rate of an index and from a seed, counted from 1.</summary>
    public delegate Trial Trying(Device device, int model, int rate, int seed, CancellationToken cancel);

    /// <summary>Does all trials; returns when the last is done. What one throws ends the others.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public void Run(IReadOnlyList<Device> devices, Trying trial, CancellationToken cancel)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        Thread[] others = [.. devices.Skip(1).Select(device => new Thread(() => DoAll(device, trial, stop)) { IsBackground = true, Name = "trials" })];
        Array.ForEach(others, t => t.Start());
        DoAll(devices[0], trial, stop);
        Array.ForEach(others, t => t.Join());
        failure?.Throw();
    }

    private void DoAll(Device device, Trying trial, CancellationTokenSource stop)
    {
        try
        {
            while (Next() is (var model, var rate, var seed))
            {
                Take(model, rate, seed, trial(device, model, rate, seed, stop.Token));
            }
        }
        catch (Exception e) // thrown again where the queue was begun
        {
            lock (models)
            {
                failure ??= ExceptionDispatchInfo.Capture(e);
                Monitor.PulseAll(models);
            }

            stop.Cancel();
        }
    }

    // The next trial that can begin, once there is one; null when there is none any more, or one failed.
    private (int Model, int Rate, int Seed)? Next()
    {
        lock (models)
        {
            for (; failure is null && !models.All(m => m.SweepBegun == m.Sweep.Length && m.OthersBegun == m.Others.Length); Monitor.Wait(models))
            {
                for (int i = 0; i < models.Length; i++)
                {
                    Work work = models[i];
                    if (work.SweepBegun < work.Sweep.Length)
                    {
                        return (i, work.SweepBegun++, 1);
                    }

                    if (work.Best >= 0 && work.OthersBegun < work.Others.Length)
                    {
                        return (i, work.Best, 2 + work.OthersBegun++);
                    }
                }
            }

            return null;
        }
    }

    private void Take(int model, int rate, int seed, Trial done)
    {
        lock (models)
        {
            Work work = models[model];
            (seed == 1 ? work.Sweep : work.Others)[seed == 1 ? rate : seed - 2] = done;
            work.Done++;
            if (work.Best < 0 && work.Done == work.Sweep.Length)
            {
                work.Best = best(work.Sweep!);
            }

            if (work.IsDone)
            {
                finish(model, work.Sweep[work.Best]!);
            }

            Monitor.PulseAll(models);
        }
    }
}
