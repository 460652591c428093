using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// The training examples of a trial: fresh ones without end, or those of a finite set, again and again, in an order shuffled anew for each epoch.
/// Of a set nothing is stored but the order: example i is made again from the seed and i whenever it is due.
/// </summary>
internal sealed class TrainingExamples
{
    private readonly LabTask task;
    private readonly ulong seed;
    private readonly RandomSource example, shuffle;
    private readonly int[] order; // empty where examples are fresh
    private int next;

    /// <param name="task">What makes them.</param>
    /// <param name="seed">Decides which they are.</param>
    /// <param name="shuffled">Decides the order of a set's.</param>
    public TrainingExamples(LabTask task, ulong seed, ulong shuffled)
    {
        (this.task, this.seed) = (task, seed);
        (example, shuffle) = (new RandomSource(seed), new RandomSource(shuffled));
        order = [.. Enumerable.Range(0, task.TrainingSet ?? 0)];
        next = order.Length;
    }

    /// <summary>Makes the next one, of a difficulty.</summary>
    public void Make(int difficulty, Span<int> tokens, Span<int> targets)
    {
        if (order.Length > 0)
        {
            if (next == order.Length)
            {
                Shuffle();
                next = 0;
            }

            example.Restart(seed, 1 + (ulong)order[next++]);
        }

        task.Make(example, difficulty, tokens, targets);
    }

    // Fisher and Yates.
    private void Shuffle()
    {
        for (int i = order.Length - 1; i > 0; i--)
        {
            int other = shuffle.NextInt(i + 1);
            (order[i], order[other]) = (order[other], order[i]);
        }
    }
}
