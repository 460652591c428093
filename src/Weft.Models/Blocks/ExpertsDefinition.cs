using Weft.Tensors;

namespace Weft.Models;

/// <summary>
/// Routed experts as they are defined: every expert for every token, times a weight that is zero where the token did not choose it. Slow,
/// and what <see cref="MixtureOfExperts"/> is compared with.
/// </summary>
internal static class ExpertsDefinition
{
    /// <summary>
    /// sum_e w_e(x) expert_e(input), for each row of x [B,T,D], which the router sees, and of the experts' input [B,T,I]. The other operands are
    /// as <see cref="MixtureOfExperts"/> has them.
    /// </summary>
    public static Tensor Run(Tensor x, Tensor input, Tensor router, Tensor? correction, Tensor up, Tensor down, MixtureOptions options)
    {
        Tape tape = x.Tape!;
        (int tokens, int experts, int rows) = (x.Shape.Rows, options.Routing.Experts, up.Shape[0] / options.Routing.Experts);
        Tensor logits = Ops.Linear(Ops.Copy(x, tape).Reshape(new Shape(tokens, x.Shape.Columns)), router);
        Tensor scores = options.Routing.IsSigmoid ? Ops.Sigmoid(logits) : Ops.Softmax(logits);
        Tensor weights = Ops.Multiply(scores, tape.Of(Mask(scores.ToArray(), correction?.ToArray() ?? new float[experts], options.Routing), scores.Shape));
        if (options.Routing.Renormalise)
        {
            weights = Ops.Multiply(weights, Ops.Reciprocal(Ops.SumTo(weights, new Shape(tokens, 1))));
        }

        weights = Ops.Affine(weights, options.Routing.Scale);
        Tensor all = Ops.Copy(input, tape).Reshape(new Shape(tokens, input.Shape.Columns)), y = Ops.Affine(all, 0);
        for (int expert = 0; expert < experts; expert++)
        {
            Tensor hidden = Ops.Linear(all, Ops.Slice(Ops.Copy(up, tape), 0, expert * rows, rows));
            hidden = options.IsGated ? Ops.Multiply(Activations.Apply(options.Activation, hidden.Columns(0, options.Hidden)), hidden.Columns(options.Hidden, options.Hidden))
                : Activations.Apply(options.Activation, hidden);
            Tensor output = Ops.Linear(hidden, Ops.Slice(Ops.Copy(down, tape), 0, expert * input.Shape.Columns, input.Shape.Columns));
            y = Ops.Add(y, Ops.Multiply(output, weights.Columns(expert, 1)));
        }

        return y.Reshape(input.Shape);
    }

    // 1 where a token chooses an expert, else 0.
    private static float[] Mask(float[] scores, float[] correction, ExpertRouting routing)
    {
        int experts = routing.Experts, each = experts / routing.Groups;
        var mask = new float[scores.Length];
        for (int token = 0; token < scores.Length / experts; token++)
        {
            float Value(int expert) => scores[(token * experts) + expert] + correction[expert];
            IEnumerable<int> open = Enumerable.Range(0, routing.Groups)
                .OrderByDescending(g => Enumerable.Range(g * each, each).Select(Value).OrderDescending().Take(2).Sum()) // stable: of equals the earlier
                .Take(routing.ActiveGroups).Order().SelectMany(g => Enumerable.Range(g * each, each));
            foreach (int expert in open.OrderByDescending(Value).Take(routing.Active))
            {
                mask[(token * experts) + expert] = 1;
            }
        }

        return mask;
    }
}
