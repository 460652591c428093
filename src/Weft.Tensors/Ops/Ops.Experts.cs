namespace Weft.Tensors;

public static partial class Ops
{
    /// <summary>
    /// Chooses the experts of every token, a row of <paramref name="x"/> [.., D], from its scores, a softmax or a sigmoid of
    /// x <paramref name="router"/>^T, router [experts, D]: see <see cref="ExpertRouting"/>. The product is in float32 at any precision, since
    /// a choice jumps. <paramref name="correction"/> [experts] is added to the scores for the choice only. Gradients reach x and the router
    /// through the weights of the chosen; the choice is a constant.
    /// </summary>
    public static ExpertRoute RouteExperts(Tensor x, Tensor router, Tensor? correction, in ExpertRouting routing)
    {
        int experts = routing.Experts, tokens = x.Shape.Rows;
        Require(router.Shape == new Shape(experts, x.Shape.Columns) && (correction is null || correction.Shape.Count == experts) && routing.IsPossible, "RouteExperts", x, router, correction);
        Tape tape = TapeOf(x, router);
        Tensor scores = tape.Empty(new Shape(tokens, experts)), weights = tape.Empty(new Shape(tokens, routing.Active));
        Tokens plan = tape.EmptyTokens(1, checked((2 * tokens * routing.Active) + experts + 1));
        var route = new ExpertRoute(weights, plan, experts, x.Shape);
        tape.Device.RouteExperts(x, router, correction, routing, scores, route);
        if (Records(tape, x, router))
        {
            RequireLearnable(router);
            RouteNode node = tape.Record<RouteNode>(weights);
            (node.X, node.Router, node.Scores, node.Routing, node.Route) = (x, router, scores, routing, route);
        }

        return route;
    }

    private sealed class RouteNode : Node
    {
        internal Tensor X = null!, Router = null!, Scores = null!;
        internal ExpertRouting Routing;
        internal ExpertRoute Route;

        internal override void Backward(Tape tape)
        {
            Tensor dlogits = tape.Rent(Scores.Shape), dweights = Output.GradToRead!;
            tape.Device.RouteExpertsBackward(Routing, Scores, Route, dweights, dlogits);
            if (GradTarget.Of(X, tape) is { Tensor: { } dx } x)
            {
                tape.Device.MatMul(dlogits, false, Router, false, null, dx, x.Accumulate);
            }

            if (GradTarget.Of(Router, tape) is { Tensor: { } drouter } r)
            {
                tape.Device.MatMul(dlogits, true, X, false, null, drouter, r.Accumulate);
            }

            tape.Return(dlogits);
        }
    }

    /// <summary>Copies every token, a row of <paramref name="x"/>, to each of its experts: [tokens x active, D], expert after expert, tokens in order.</summary>
    public static Tensor ToExperts(Tensor x, in ExpertRoute route)
    {
        Require(x.Shape.Rows == route.Tokens, "ToExperts", x, route.Weights);
        Tape tape = TapeOf(x, route.Weights);
        Tensor y = tape.Empty(new Shape(route.Rows, x.Shape.Columns));
        tape.Device.ToExperts(x, route, y);
        if (Records(tape, x))
        {
            ToExpertsNode node = tape.Record<ToExpertsNode>(y);
            (node.X, node.Route) = (x, route);
        }

        return y;
    }

    private sealed class ToExpertsNode : Node
    {
        internal Tensor X = null!;
        internal ExpertRoute Route;

        internal override void Backward(Tape tape) => tape.Device.ToExpertsBackward(Route, Output.GradToRead!, GradTarget.Of(X, tape));
    }

    /// <summary>
    /// Each expert's own linear map on its rows of <paramref name="x"/> [tokens x active, in], as <see cref="ToExperts"/> orders them.
    /// <paramref name="weight"/> [experts x out, in] holds the matrix [out, in] of each, one below the other. What an expert without tokens
    /// would need is not read.
    /// </summary>
    /// <returns>[tokens x active, out].</returns>
    public static Tensor ExpertLinear(Tensor x, Tensor weight, in ExpertRoute route)
    {
        Require(x.Shape.Rows == route.Rows && weight.Shape.Rank == 2 && weight.Shape[1] == x.Shape.Columns && weight.Shape[0] % route.Experts == 0, "ExpertLinear", x, weight);
        Tape tape = TapeOf(x, weight);
        Tensor y = tape.Empty(new Shape(route.Rows, weight.Shape[0] / route.Experts));
        tape.Device.ExpertLinear(x, weight, route, y);
        if (Records(tape, x, weight))
        {
            RequireLearnable(weight);
            ExpertLinearNode node = tape.Record<ExpertLinearNode>(y);
            (node.X, node.Weight, node.Route) = (x, weight, route);
        }

        return y;
    }

    private sealed class ExpertLinearNode : Node
    {
        internal Tensor X = null!, Weight = null!;
        internal ExpertRoute Route;

        internal override void Backward(Tape tape) =>
            tape.Device.ExpertLinearBackward(X, Weight, Route, Output.GradToRead!, GradTarget.Of(X, tape), GradTarget.Of(Weight, tape));
    }

    /// <summary>For every token the sum of its experts' rows of <paramref name="x"/> [tokens x active, D] times their weights, in the order of the experts: [.., D].</summary>
    public static Tensor FromExperts(Tensor x, in ExpertRoute route)
    {
        Require(x.Shape.Rows == route.Rows, "FromExperts", x, route.Weights);
        Tape tape = TapeOf(x, route.Weights);
        Tensor y = tape.Empty(route.Shape.With(^1, x.Shape.Columns));
        tape.Device.FromExperts(x, route, y);
        if (Records(tape, x, route.Weights))
        {
            FromExpertsNode node = tape.Record<FromExpertsNode>(y);
            (node.X, node.Route) = (x, route);
        }

        return y;
    }

    private sealed class FromExpertsNode : Node
    {
        internal Tensor X = null!;
        internal ExpertRoute Route;

        internal override void Backward(Tape tape) =>
            tape.Device.FromExpertsBackward(X, Route, Output.GradToRead!, GradTarget.Of(X, tape), GradTarget.Of(Route.Weights, tape));
    }
}

/// <summary>
/// How tokens choose experts. A token's score of each expert is the softmax over all of them, or a sigmoid, of the router's outputs. It
/// chooses the <paramref name="Active"/> largest, of equal ones the lower index; their weights are the scores, divided by their sum if
/// <paramref name="Renormalise"/>, times <paramref name="Scale"/>. (A softmax over the chosen alone is the softmax over all, renormalised.)
/// </summary>
/// <param name="Experts">The number of experts.</param>
/// <param name="Active">How many a token chooses.</param>
/// <param name="IsSigmoid">Whether scores are sigmoids, not a softmax.</param>
/// <param name="Renormalise">Whether the weights of the chosen sum to <paramref name="Scale"/>.</param>
/// <param name="Scale">What the weights are multiplied by.</param>
/// <param name="Groups">Runs of experts of equal length, of which a token first chooses some, by the sums of their two largest scores (DeepSeek-V3, arXiv 2412.19437, section 2.1.2).</param>
/// <param name="ActiveGroups">How many of the groups a token chooses experts from.</param>
public readonly record struct ExpertRouting(int Experts, int Active, bool IsSigmoid = false, bool Renormalise = true, float Scale = 1, int Groups = 1, int ActiveGroups = 1)
{
    /// <summary>Whether groups are equal, of two experts or more, and the chosen ones hold as many experts as are to be chosen.</summary>
    public bool IsPossible => Active >= 1 && ActiveGroups >= 1 && ActiveGroups <= Groups && Experts % Groups == 0 && (Groups == 1 || Experts >= 2 * Groups)
        && Active <= ActiveGroups * (Experts / Groups);
}

/// <summary>Which experts the tokens of some rows go to, from <see cref="Ops.RouteExperts"/>; valid until its tape is reset.</summary>
public readonly struct ExpertRoute
{
    private readonly Tokens plan;

    internal ExpertRoute(Tensor weights, Tokens plan, int experts, Shape shape) => (Weights, this.plan, Experts, Shape) = (weights, plan, experts, shape);

    /// <summary>The weights of each token's experts, in the order of the experts: [tokens, active].</summary>
    public Tensor Weights { get; }

    /// <summary>The number of experts.</summary>
    public int Experts { get; }

    /// <summary>The shape of the rows routed.</summary>
    internal Shape Shape { get; }

    /// <summary>The rows routed.</summary>
    internal int Tokens => Weights.Shape[0];

    /// <summary>The experts of each.</summary>
    internal int Active => Weights.Shape[1];

    /// <summary>The rows that experts see: tokens x active.</summary>
    internal int Rows => Tokens * Active;

    /// <summary>The expert of each token's choices, ascending: [tokens, active].</summary>
    internal unsafe int* Chosen => plan.Pointer;

    /// <summary>For each token's choices, the row that the expert sees it in: [tokens, active].</summary>
    internal unsafe int* Places => plan.Pointer + Rows;

    /// <summary>The first row of each expert, then the number of rows: [experts + 1].</summary>
    internal unsafe int* Starts => plan.Pointer + (2 * Rows);
}
