using Weft.Tensors;

namespace Weft.Models;

/// <summary>How to generate.</summary>
public sealed record GenerationOptions
{
    /// <summary>How many bytes to generate.</summary>
    public long Tokens
    {
        get;
        init => field = value >= 0 ? value : throw new InputException($"tokens {value} is negative; give how many bytes to generate, such as 200");
    } = 200;

    /// <summary>What the logits are divided by before sampling: 0 takes the likeliest byte always, 1 samples what the model believes.</summary>
    public float Temperature
    {
        get;
        init => field = value is >= 0 and <= 100 ? value : throw new InputException($"temperature {value:R} is out of range; give a number from 0 (greedy) to 100, such as 0.8");
    } = 0.8f;

    /// <summary>Samples among the likeliest bytes that together have this probability (nucleus sampling, Holtzman et al., arXiv 1904.09751); 1 for all.</summary>
    public float TopP
    {
        get;
        init => field = value is > 0 and <= 1 ? value : throw new InputException($"top-p {value:R} is out of range; give a number above 0, at most 1, such as 0.95");
    } = 0.95f;

    /// <summary>The same seed, prompt and model give the same text.</summary>
    public ulong Seed { get; init; }
}

/// <summary>Chooses the next token from logits, by temperature and top-p. Its choices follow from its seed alone; it allocates nothing.</summary>
public sealed class Sampler
{
    private readonly float temperature, topP;
    private readonly RandomSource random;
    private float[] probabilities = [];
    private ulong[] order = [];

    /// <summary>Starts the stream of choices that <paramref name="options"/> describe.</summary>
    public Sampler(GenerationOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        (temperature, topP, random) = (options.Temperature, options.TopP, new RandomSource(options.Seed));
    }

    /// <summary>The index chosen among <paramref name="logits"/>; of equal ones, the greedy choice takes the first.</summary>
    /// <exception cref="InputException">The logits are not finite: the model is broken.</exception>
    public int Next(ReadOnlySpan<float> logits)
    {
        int best = 0;
        foreach (float logit in logits)
        {
            if (!float.IsFinite(logit))
            {
                throw new InputException("the model's predictions are not finite numbers: its weights are damaged, or its training diverged");
            }
        }

        for (int i = 1; i < logits.Length; i++)
        {
            best = logits[i] > logits[best] ? i : best;
        }

        return temperature == 0 ? best : Draw(logits, logits[best]);
    }

    private int Draw(ReadOnlySpan<float> logits, float max)
    {
        if (probabilities.Length < logits.Length)
        {
            (probabilities, order) = (new float[logits.Length], new ulong[logits.Length]);
        }

        double total = 0;
        for (int i = 0; i < logits.Length; i++)
        {
            float p = MathF.Exp((logits[i] - max) / temperature); // not normalised: the likeliest has 1
            probabilities[i] = p;

            // Sorts as (probability descending, index ascending): the bits of positive floats are ordered as they are.
            order[i] = ((ulong)~BitConverter.SingleToUInt32Bits(p) << 32) | (uint)i;
            total += p;
        }

        int kept = logits.Length;
        if (topP < 1)
        {
            order.AsSpan(0, logits.Length).Sort();
            double mass = topP * total;
            total = 0;
            for (kept = 0; kept < logits.Length && total < mass; kept++)
            {
                total += probabilities[(uint)order[kept]];
            }
        }

        double left = random.NextDouble() * total;
        for (int i = 0; i < kept; i++)
        {
            left -= probabilities[(uint)order[i]];
            if (left < 0)
            {
                return (int)(uint)order[i];
            }
        }

        return (int)(uint)order[0]; // rounding alone leads here
    }
}
