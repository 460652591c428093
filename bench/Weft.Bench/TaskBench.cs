using Weft.Lab.Tasks;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Bench;

/// <summary>
/// Making the examples of a generated task, on one thread, against the training steps of its quickest model, which learns from them. The goal is
/// that no model waits.
/// </summary>
internal static class TaskBench
{
    private const double Goal = 1;
    private const int Steps = 8, Batches = 32; // of a round
    private const double Rate = 1e-4;

    public static void Run(int threads, string[] names, int rounds, Results results)
    {
        using Device device = Device.Open(threads, Device.FastestPrecision);
        Console.WriteLine($"{device.Description}; medians of {rounds} rounds after one to warm up");
        Console.WriteLine($"{"task",-20}{"making a batch, ms",20}{"a step, ms",12}{"times",8}  quickest model");
        foreach (LabTask task in TaskTable.All.Where(t => Results.Wanted(t.Name, names)))
        {
            int difficulty = task.TrainOn.Max(), length = task.Length(difficulty);
            int[] tokens = new int[length], targets = new int[length];
            var random = new RandomSource(1);
            double making = Median(() => Results.Time(() =>
            {
                for (int i = 0; i < Batches * task.Batch; i++)
                {
                    task.Make(random, difficulty, tokens, targets);
                }
            }) / Batches);
            var only = new TaskVariant(task, [difficulty], [difficulty]);
            (double step, string model) = task.Models.Select(m => (Step(m), m)).Min();
            Console.WriteLine($"{task.Name,-20}{making,20:0.000}{step,12:0.0}{step / making,8:0}  {model}");
            results.Add($"task {task.Name}: a step over making its batch", step / making, "x", Goal);

            double Step(string name)
            {
                ModelConfig config = Presets.Resolve(name, task.Width, BlockTable.Names);
                var options = new TrialOptions(new Budget(BudgetKind.Steps, Steps), Rate, 1, Examples: 1, Evaluations: 1);
                return Median(() => 1e3 * TaskTrial.Run(only, config, device, options, score: false).Seconds / Steps);
            }
        }

        double Median(Func<double> measure) => Results.Median([.. Enumerable.Range(0, rounds + 1).Select(_ => measure()).Skip(1)]);
    }
}
