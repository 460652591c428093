namespace Weft.Tensors;

public abstract partial class Device
{
    // ---- mixtures of experts (Ops.Experts.cs)

    /// <summary>Writes the scores [tokens, experts] and the whole of <paramref name="route"/>: see <see cref="ExpertRouting"/>.</summary>
    internal abstract void RouteExperts(Tensor x, Tensor router, Tensor? correction, in ExpertRouting routing, Tensor scores, in ExpertRoute route);

    /// <summary>The gradient of the router's outputs [tokens, experts] from that of the weights of the chosen.</summary>
    internal abstract void RouteExpertsBackward(in ExpertRouting routing, Tensor scores, in ExpertRoute route, Tensor dweights, Tensor dlogits);

    /// <summary>y[place] = x[token] for each of a token's places.</summary>
    internal abstract void ToExperts(Tensor x, in ExpertRoute route, Tensor y);

    /// <summary>dx[token] (+)= the sum of dy over the token's places, in the order of experts.</summary>
    internal abstract void ToExpertsBackward(in ExpertRoute route, Tensor dy, GradTarget dx);

    /// <summary>y = x W^T, W each expert's own for its rows.</summary>
    internal abstract void ExpertLinear(Tensor x, Tensor weight, in ExpertRoute route, Tensor y);

    /// <summary>Gradients of <see cref="ExpertLinear"/>.</summary>
    internal abstract void ExpertLinearBackward(Tensor x, Tensor weight, in ExpertRoute route, Tensor dy, GradTarget dx, GradTarget dweight);

    /// <summary>y[token] = the sum of weight x[place] over the token's places, in the order of experts.</summary>
    internal abstract void FromExperts(Tensor x, in ExpertRoute route, Tensor y);

    /// <summary>Gradients of <see cref="FromExperts"/>, the second of the route's weights.</summary>
    internal abstract void FromExpertsBackward(Tensor x, in ExpertRoute route, Tensor dy, GradTarget dx, GradTarget dweights);
}
