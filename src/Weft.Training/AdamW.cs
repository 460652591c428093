using Weft.Models;
using Weft.Tensors;

namespace Weft.Training;

/// <summary>
/// AdamW (Loshchilov and Hutter, arXiv 1711.05101): Adam with decoupled weight decay, which only the parameters marked for it have
/// (<see cref="Parameter.Decay"/>). It holds a mean and a variance of the gradient for each parameter.
/// </summary>
public sealed class AdamW : IDisposable
{
    private readonly Moments[] moments;
    private readonly float beta1, beta2, epsilon, decay;

    private readonly record struct Moments(Parameter Parameter, Tensor Mean, Tensor Variance);

    /// <summary>Starts with moments of zero.</summary>
    /// <exception cref="InputException">A parameter is quantised, or there is too little memory.</exception>
    public AdamW(IEnumerable<Parameter> parameters, TrainingOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        parameters = [.. parameters];
        if (parameters.FirstOrDefault(p => p.Tensor.Format != WeightFormat.Float32) is { } fixedOne)
        {
            throw fixedOne.Tensor.Format.NotTrained();
        }

        moments = [.. parameters.Where(p => p.Tensor.RequiresGrad).Select(p => new Moments(p, Zeros(p, "mean"), Zeros(p, "variance")))];
        (beta1, beta2, epsilon, decay) = ((float)options.Beta1, (float)options.Beta2, (float)options.Epsilon, (float)options.Decay);
    }

    /// <summary>The updates made so far.</summary>
    public long Steps { get; internal set; }

    /// <summary>The moments under names: <c>mean.PARAMETER</c> and <c>variance.PARAMETER</c>; what, with <see cref="Steps"/>, a checkpoint holds.</summary>
    public IEnumerable<(string Name, Tensor Tensor)> State =>
        moments.SelectMany(m => new[] { ($"mean.{m.Parameter.Name}", m.Mean), ($"variance.{m.Parameter.Name}", m.Variance) });

    /// <summary>The Euclidean length of all gradients together; not finite if one of them is not.</summary>
    public double GradientNorm()
    {
        double sum = 0;
        for (int i = 0; i < moments.Length; i++)
        {
            if (moments[i].Parameter.Tensor.Grad is { } gradient)
            {
                sum += gradient.Device.SumOfSquares(gradient);
            }
        }

        return Math.Sqrt(sum);
    }

    /// <summary>Updates every parameter from its gradient times <paramref name="scale"/> (clipping), and clears the gradients.</summary>
    public void Update(double rate, double scale)
    {
        Steps++;
        for (int i = 0; i < moments.Length; i++)
        {
            (Parameter parameter, Tensor mean, Tensor variance) = moments[i];
            if (parameter.Tensor.Grad is { } gradient)
            {
                var step = new AdamWStep((float)rate, beta1, beta2, epsilon, parameter.Decay ? decay : 0, Steps, (float)scale);
                parameter.Tensor.Device.AdamW(parameter.Tensor, gradient, mean, variance, step);
            }
        }
    }

    /// <summary>The name of the last parameter, nearest the head, whose gradient is not finite; null when all are.</summary>
    internal string? FirstBrokenGradient()
    {
        for (int i = moments.Length - 1; i >= 0; i--)
        {
            if (moments[i].Parameter.Tensor.Grad is { } gradient && !double.IsFinite(gradient.Device.SumOfSquares(gradient)))
            {
                return moments[i].Parameter.Name;
            }
        }

        return null;
    }

    private static Tensor Zeros(Parameter parameter, string moment) => parameter.Tensor.Device.Zeros(parameter.Tensor.Shape,
        new MemoryUse($"AdamW's {moment} of '{parameter.Name}'", "a smaller width, or fewer or smaller blocks,"));

    /// <summary>Frees the moments.</summary>
    public void Dispose()
    {
        foreach (Moments m in moments)
        {
            m.Mean.Dispose();
            m.Variance.Dispose();
        }
    }
}
