using System.Globalization;
using Weft.Models;
using Weft.Tensors;
using Weft.Training;

namespace Weft.Lab.ScalingLaws;

/// <summary>A family at one width.</summary>
/// <param name="Config">The model.</param>
/// <param name="Parameters">Its parameters.</param>
/// <param name="FlopsPerStep">Training FLOPs of a step, as the kernels count them.</param>
/// <param name="BytesPerStep">The bytes that a step learns from.</param>
internal sealed record ModelSize(ModelConfig Config, long Parameters, double FlopsPerStep, long BytesPerStep)
{
    /// <summary>The bytes of text that a budget shows to each parameter.</summary>
    public double BytesPerParameter(double budget) => budget / FlopsPerStep * BytesPerStep / Parameters;
}

/// <summary>
/// The sizes of a family, ascending: the pattern as it stands at ever larger widths, each of about twice the parameters of the one before. Depth stays.
/// </summary>
internal sealed class SizeLadder(ModelConfig family, Corpus corpus, Device device, TrainingOptions training)
{
    /// <summary>Steps that a run has at least: fewer are all warm-up.</summary>
    public const int LeastSteps = 20;

    private const double Growth = 1.7;      // of parameters, at least
    private const int Grain = 16;           // of widths, unless heads are larger
    private const int MostWidth = 4096;
    private const double Balance = 20;      // bytes a parameter around which sizes are chosen: where tiny models turned out best (docs/scaling.md)

    // Widths of whole heads, so that all sizes have the same proportions.
    private readonly int grain = family.Blocks.Select(b => HeadDim(b) / 2).Append(Grain).Max();
    private readonly List<ModelSize> sizes = [];

    /// <summary>A family at a width: where heads of the size that its pattern gives do not fill that, they are half as wide.</summary>
    public static ModelConfig Scaled(ModelConfig family, int width) => family with
    {
        Width = width,
        Blocks = new Pattern(family.Blocks.Select(b => HeadDim(b) is int dim && dim > 0 && width % dim != 0 && width % (dim / 2) == 0
            ? new BlockSpec(b.Name, b.Options.Select(o => o.Name == "head-dim" ? new BlockOption(o.Name, (dim / 2).ToString(CultureInfo.InvariantCulture)) : o)) : b)),
    };

    /// <summary>The size at a place; null past the largest.</summary>
    public ModelSize? At(int index)
    {
        while (sizes.Count <= index)
        {
            if (Next() is not { } next)
            {
                return null;
            }

            sizes.Add(next);
        }

        return index < 0 ? null : sizes[index];
    }

    /// <summary>The places of so many sizes for a budget, around a balance of parameters and bytes.</summary>
    /// <exception cref="InputException">The budget does not pay the smallest.</exception>
    public (int First, int Count) Around(double budget, int count)
    {
        ModelSize least = At(0)!;
        double needed = LeastSteps * least.FlopsPerStep;
        if (budget < needed)
        {
            throw new InputException($"--budgets {budget:0.##e0} does not pay {LeastSteps} steps of '{family.Name}' at its smallest width, {least.Config.Width}; "
                + $"give at least {Math.Ceiling(needed / 1e9) * 1e9:0.###e0} FLOPs, or a smaller --context");
        }

        int centre = 0;
        while (IsPaid(centre + 1, budget) && Off(centre + 1) < Off(centre))
        {
            centre++;
        }

        int first = Math.Max(0, centre - ((count - 1) / 2)), last = first;
        while (last + 1 < first + count && IsPaid(last + 1, budget))
        {
            last++;
        }

        return (first, last - first + 1);

        double Off(int index) => Math.Abs(Math.Log(At(index)!.BytesPerParameter(budget) / Balance));
    }

    /// <summary>Whether there is a size at a place, and a budget pays its training.</summary>
    public bool IsPaid(int index, double budget) => index >= 0 && At(index) is { } size && budget >= LeastSteps * size.FlopsPerStep;

    // 0 where the pattern leaves it open, or gives the number of heads.
    private static int HeadDim(BlockSpec block) => block.Find("heads") is null && int.TryParse(block.Find("head-dim"), out int dim) && dim >= Grain ? dim : 0;

    private ModelSize? Next()
    {
        InputException? last = null;
        for (int width = sizes.Count == 0 ? grain : sizes[^1].Config.Width + grain; width <= MostWidth; width += grain)
        {
            ModelConfig config = Scaled(family, width);
            try
            {
                var model = new LanguageModel(config, device, 1);
                long parameters = model.ParameterCount();
                if (sizes.Count > 0 && parameters < Growth * sizes[^1].Parameters)
                {
                    continue;
                }

                using var trainer = new Trainer(model, corpus, training with { Budget = new Budget(BudgetKind.Steps, 1), Rate = 1e-6 });
                trainer.Step();
                return new ModelSize(config, parameters, trainer.Flops, trainer.TokensPerStep);
            }
            catch (InputException e) // the pattern does not fit this width
            {
                last = e;
            }
        }

        return sizes.Count > 0 ? null : throw last!;
    }
}
