using Weft.Models;
using Weft.Tensors;

namespace Weft.Lab.Tasks;

/// <summary>
/// How well a model does a task at one difficulty, generating freely and greedily.
/// </summary>
/// <param name="Difficulty">The difficulty.</param>
/// <param name="Length">The tokens of an example.</param>
/// <param name="Exact">The share of examples answered without a single error.</param>
/// <param name="Correct">The share of the answers' tokens that are right, up to the first error of each answer (<see cref="TaskScore"/>).</param>
/// <param name="Loss">The mean cross-entropy of the answers' tokens, in nats.</param>
public readonly record struct TaskAccuracy(int Difficulty, int Length, double Exact, double Correct, double Loss);

/// <summary>
/// Scores by one pass over each example with its right answer: up to the first error the tokens that a model generates by itself are the right
/// ones, so the pass predicts just what free greedy generation would, and what comes after an error counts for nothing. (Scores under teacher
/// forcing, which some sources report, count it.) An answer is a run of asked positions of which each reads what was to be told at the one
/// before; others, as of several queries in recall, do not follow from each other: each counts for itself.
/// </summary>
public static class TaskScore
{
    private const int TokensAtOnce = 2048;

    /// <summary>Scores <paramref name="examples"/> examples of a difficulty; the same seed asks the same ones.</summary>
    public static TaskAccuracy Of(LanguageModel model, LabTask task, int difficulty, int examples, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(task);
        int length = task.Length(difficulty), vocabulary = model.Config.Vocabulary, rows = Math.Clamp(TokensAtOnce / length, 1, examples);
        var random = new RandomSource(seed);
        int[] tokens = new int[rows * length], targets = new int[rows * length], places = new int[rows * length];
        float[] logits = [];
        using var tape = new Tape(model.Device) { Recording = false };
        (long exact, long correct, long asked, double nats) = (0, 0, 0, 0);
        for (int done = 0; done < examples; done += rows)
        {
            rows = Math.Min(rows, examples - done);
            for (int row = 0; row < rows; row++)
            {
                task.MakeHeldOut(random, difficulty, tokens.AsSpan(row * length, length), targets.AsSpan(row * length, length));
            }

            int count = 0; // of asked positions
            for (int at = 0; at < rows * length; at++)
            {
                if (targets[at] >= 0)
                {
                    places[count++] = at;
                }
            }

            if (logits.Length < count * vocabulary)
            {
                logits = new float[count * vocabulary];
            }

            model.Forward(tape.Tokens(tokens.AsSpan(0, rows * length), rows, length), tape.Tokens(places.AsSpan(0, count), 1, count), model.NewState(rows)).Get(logits.AsSpan(0, count * vocabulary));
            tape.Reset();
            int next = 0;
            for (int row = 0; row < rows; row++)
            {
                bool isRight = true, isUnbroken = true; // the example so far; the answer so far
                for (int t = 0; t < length; t++)
                {
                    int at = (row * length) + t, target = targets[at];
                    if (target < 0)
                    {
                        continue;
                    }

                    ReadOnlySpan<float> scores = logits.AsSpan(next++ * vocabulary, vocabulary);
                    bool follows = t > 0 && tokens[at] == targets[at - 1], hit = Best(scores) == target;
                    isUnbroken = hit && (isUnbroken || !follows);
                    correct += isUnbroken ? 1 : 0;
                    isRight &= hit;
                    asked++;
                    nats += Nats(scores, target);
                }

                exact += isRight ? 1 : 0;
            }
        }

        return new TaskAccuracy(difficulty, length, exact / (double)examples, correct / (double)Math.Max(1, asked), nats / Math.Max(1, asked));
    }

    private static int Best(ReadOnlySpan<float> scores)
    {
        int best = 0;
        for (int i = 1; i < scores.Length; i++)
        {
            best = scores[i] > scores[best] ? i : best;
        }

        return best;
    }

    /// <summary>The cross-entropy of a token, in nats, by the logits of all.</summary>
    internal static double Nats(ReadOnlySpan<float> scores, int target)
    {
        double max = scores[Best(scores)], sum = 0;
        foreach (float score in scores)
        {
            sum += Math.Exp(score - max);
        }

        return max + Math.Log(sum) - scores[target];
    }
}
