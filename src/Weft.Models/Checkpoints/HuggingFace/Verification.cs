using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>How far one tensor is from its reference: RMS(error) / RMS(reference), and what is allowed.</summary>
/// <param name="Name">The tensor's name.</param>
/// <param name="Error">Its error; NaN where there is nothing to compare.</param>
/// <param name="Tolerance">The error that is allowed.</param>
/// <param name="IsRounding">Whether the error is so small beside the whole gradient that it tells nothing of a reference in float32.</param>
public readonly record struct VerifiedTensor(string Name, double Error, double Tolerance, bool IsRounding = false)
{
    /// <summary>Whether it is near enough; a NaN is not.</summary>
    public bool IsGood => Error <= Tolerance || IsRounding;
}

/// <summary>Whether the greedy continuation, with the prompt read in pieces of so many tokens, is the reference's.</summary>
public readonly record struct VerifiedContinuation(string How, int Equal, int Tokens)
{
    /// <summary>Whether all tokens are equal.</summary>
    public bool IsGood => Equal == Tokens;
}

/// <summary>
/// Compares a published checkpoint, run here, with what its reference implementation gave: a file <c>expected.safetensors</c> beside the weights
/// with <c>input_ids</c> [B,T] and any of <c>logits</c> [B,T,V], <c>loss</c> [1] (the mean cross-entropy of each next token), <c>grad.KEY</c>
/// (the loss's gradient) for the checkpoint's tensors, by the file's keys or by those that transformers has in memory (where some are joined), and <c>generated</c> [B,T+N], the greedy continuation in which the end of text is never chosen.
/// </summary>
public sealed class Verification
{
    /// <summary>The file of the reference's results.</summary>
    public const string FileName = "expected.safetensors";

    /// <summary>The error that is allowed of logits and loss, and of gradients: what float32 sums in another order differ by.</summary>
    public const double LogitTolerance = 1e-5, GradientTolerance = 1e-4;

    /// <summary>
    /// Where terms of a gradient cancel, float32 keeps fewer digits of it than the tolerance asks for: references in float32 were found as
    /// far from themselves in double precision as 2e-6 and 1.4e-5 of the root mean square of all gradients (decays of delta nets; what is
    /// computed here was at the double's). An error up to this part of that is not told from the reference's own.
    /// </summary>
    private const double Rounding = 2e-5;

    private readonly LanguageModel model;
    private readonly HuggingFaceFolder folder;
    private readonly WeightMap gradients; // by the keys that the reference's gradients have
    private readonly SafetensorsFile expected;
    private readonly int[] ids;
    private readonly int batch, time;

    private Verification(LanguageModel model, HuggingFaceFolder folder, SafetensorsFile expected)
    {
        (this.model, this.folder, this.expected) = (model, folder, expected);
        gradients = folder.Map(key => expected.ShapeOf("grad." + key));
        (ids, batch, time) = Ids("input_ids");
        if (time < 2)
        {
            throw WeightFile.Bad(expected.PathOf("input_ids"), "input_ids", "sequences of 2 tokens or more are needed");
        }
    }

    /// <summary>Runs a folder's model and compares; yields each result as it is known.</summary>
    /// <returns>Logits, loss and gradients as <see cref="VerifiedTensor"/>, continuations as <see cref="VerifiedContinuation"/>.</returns>
    /// <exception cref="InputException">The folder or its reference cannot be read.</exception>
    public static IEnumerable<object> Run(string path, Device device)
    {
        HuggingFaceFolder folder = ModelFolder.Describe(path).Published
            ?? throw new InputException($"{AtomicFile.Quote(path)} is in Weft's own format; verification is of published checkpoints: export it first");
        string reference = Path.Combine(path, FileName);
        if (!File.Exists(reference))
        {
            throw new InputException($"{AtomicFile.Quote(path)} has no {FileName}: verification needs the logits, gradients or text that a reference gave; weft verify --help says how they are named");
        }

        using SafetensorsFile expected = SafetensorsFile.Open(reference);
        LanguageModel model = ModelFolder.Load(path, device, learned: true);
        var verification = new Verification(model, folder, expected);
        foreach (VerifiedTensor tensor in verification.Tensors())
        {
            yield return tensor;
        }

        if (expected.Contains("generated"))
        {
            foreach (VerifiedContinuation continuation in verification.Continuations())
            {
                yield return continuation;
            }
        }
    }

    private IEnumerable<VerifiedTensor> Tensors()
    {
        using var tape = new Tape(model.Device);
        Tensor logits = model.Forward(tape.Tokens(ids, batch, time), model.NewState(batch));
        if (expected.Contains("logits"))
        {
            yield return Compared("logits", logits.ToArray(), LogitTolerance);
        }

        var targets = new int[ids.Length]; // the next token; none after the last
        for (int i = 0; i < ids.Length; i++)
        {
            targets[i] = (i + 1) % time == 0 ? -1 : ids[i + 1];
        }

        Tensor loss = Ops.Affine(Ops.Sum(Ops.CrossEntropy(logits, tape.Tokens(targets, batch, time))), 1f / (batch * (time - 1)));
        if (expected.Contains("loss"))
        {
            yield return Compared("loss", [loss.Scalar()], LogitTolerance);
        }

        if (!expected.Names.Any(n => n.StartsWith("grad.", StringComparison.Ordinal)))
        {
            yield break;
        }

        tape.Backward(loss);
        double scale = GradientScale();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach ((string key, _, float[] values) in WeightLoader.Unmap(gradients, model, p => p.Tensor.Grad?.ToArray() ?? new float[p.Tensor.Shape.Count], areGradients: true))
        {
            if (expected.Contains("grad." + key))
            {
                seen.Add("grad." + key);
                yield return Compared("grad." + key, values, GradientTolerance, Rounding * scale);
            }
        }

        foreach (string name in expected.Names.Where(n => n.StartsWith("grad.", StringComparison.Ordinal) && !seen.Contains(n)))
        {
            yield return new VerifiedTensor(name, double.NaN, GradientTolerance); // a gradient that nothing here has
        }
    }

    // The root mean square of all gradients of the reference.
    private double GradientScale()
    {
        (double square, long count) = (0, 0);
        foreach (string name in expected.Names.Where(n => n.StartsWith("grad.", StringComparison.Ordinal)))
        {
            var values = new float[expected.Info(name).Count];
            expected.ReadFloat32(name, values);
            square += values.Sum(v => (double)v * v);
            count += values.Length;
        }

        return Math.Sqrt(square / Math.Max(1, count));
    }

    private VerifiedTensor Compared(string name, float[] actual, double tolerance, double rounding = 0)
    {
        var reference = new float[expected.Info(name).Count];
        expected.ReadFloat32(name, reference);
        if (reference.Length != actual.Length)
        {
            throw WeightFile.Bad(expected.PathOf(name), name, $"it has {reference.Length} elements where the model gives {actual.Length}");
        }

        double error = 0, square = 0;
        for (int i = 0; i < actual.Length; i++)
        {
            double difference = actual[i] - reference[i];
            error += difference * difference;
            square += (double)reference[i] * reference[i];
        }

        return new VerifiedTensor(name, error == 0 ? 0 : Math.Sqrt(error / square), tolerance, Math.Sqrt(error / actual.Length) <= rounding);
    }

    private IEnumerable<VerifiedContinuation> Continuations()
    {
        (int[] generated, int sequences, int total) = Ids("generated");
        if (sequences != batch || total <= time)
        {
            throw WeightFile.Bad(expected.PathOf("generated"), "generated", $"it is [{sequences}, {total}] where more than {time} tokens of {batch} sequences are expected");
        }

        foreach ((string how, int piece) in ((string, int)[])[("whole", time), ("token by token", 1), ("split in three", (time + 2) / 3)])
        {
            int equal = 0;
            for (int b = 0; b < batch; b++)
            {
                equal += Equal(generated.AsSpan(b * total, total), piece, total - time);
            }

            yield return new VerifiedContinuation(how, equal, batch * (total - time));
        }
    }

    // The tokens before the first that differs, of those generated after the prompt.
    private int Equal(ReadOnlySpan<int> sequence, int piece, int count)
    {
        using var tape = new Tape(model.Device) { Recording = false };
        SequenceState state = model.NewState(1);
        var logits = new float[model.Config.Vocabulary];
        for (int i = 0; i < time; i += piece)
        {
            Read(sequence.Slice(i, Math.Min(piece, time - i)));
        }

        int[] ends = folder.Family.Language(folder.Config).Ints("eos_token_id") ?? [];
        for (int i = 0; i < count; i++)
        {
            foreach (int end in ends.Where(e => (uint)e < (uint)logits.Length))
            {
                logits[end] = float.NegativeInfinity;
            }

            int next = System.Numerics.Tensors.TensorPrimitives.IndexOfMax(logits);
            if (next != sequence[time + i])
            {
                return i;
            }

            Read([next]);
        }

        return count;

        void Read(ReadOnlySpan<int> tokens)
        {
            tape.Reset();
            model.Next(tape.Tokens(tokens, 1, tokens.Length), state).Get(logits);
        }
    }

    private (int[] Ids, int Batch, int Time) Ids(string name)
    {
        long[] shape = expected.Info(name).Shape;
        if (shape.Length != 2 || shape[0] * shape[1] is <= 0 or > 1 << 24)
        {
            throw WeightFile.Bad(expected.PathOf(name), name, $"its shape is {expected.Info(name).ShapeText} where [sequences, tokens] is expected");
        }

        var values = new long[shape[0] * shape[1]];
        expected.ReadInt64(name, values);
        int wrong = Array.FindIndex(values, v => v < 0 || v >= model.Config.Vocabulary);
        return wrong >= 0 ? throw WeightFile.Bad(expected.PathOf(name), name, $"its token {values[wrong]} is not in the vocabulary of {model.Config.Vocabulary}")
            : (Array.ConvertAll(values, v => (int)v), (int)shape[0], (int)shape[1]);
    }
}
