namespace Weft.Lab.ScalingLaws;

/// <summary>The layout of a model of attention and MLPs.</summary>
/// <param name="Width">The residual stream's.</param>
/// <param name="Heads">Query heads.</param>
/// <param name="KeyHeads">Key and value heads.</param>
/// <param name="HeadDim">The columns of a head.</param>
/// <param name="Hidden">The MLPs' hidden width.</param>
public readonly record struct AttentionShape(int Width, int Heads, int KeyHeads, int HeadDim, int Hidden)
{
    /// <summary>The query heads that share one head of keys and values.</summary>
    public int Group => Heads / KeyHeads;
}

/// <summary>What running a shape takes.</summary>
/// <param name="FlopsPerToken">Of a generated token after <paramref name="Context"/> others.</param>
/// <param name="StateBytes">One sequence's state there.</param>
/// <param name="Context">The tokens before.</param>
/// <param name="DecodeTokensPerSecond">Generating, as measured.</param>
/// <param name="PrefillTokensPerSecond">Reading so many tokens at once, as measured.</param>
public sealed record InferenceCost(long FlopsPerToken, long StateBytes, int Context, double DecodeTokensPerSecond, double PrefillTokensPerSecond);

/// <summary>A shape that was trained.</summary>
/// <param name="Shape">The shape.</param>
/// <param name="Pattern">Its pattern of blocks.</param>
/// <param name="X">Its width over the square root of its parameters without embeddings.</param>
/// <param name="Ratio">Its MLPs' parameters over its attention's.</param>
/// <param name="Use">What it was for: "fit", "held out" or "grouped", of fewer key and value heads.</param>
/// <param name="Run">Its training.</param>
/// <param name="Optimal">L_opt: the best loss known for as many parameters and bytes.</param>
/// <param name="Predicted">The loss by the conditional law; NaN where there is none.</param>
/// <param name="Cost">What running it takes.</param>
public sealed record ShapeResult(AttentionShape Shape, string Pattern, double X, double Ratio, string Use, ScalingRun Run, double Optimal, double Predicted, InferenceCost Cost);

/// <summary>How well the law tells the losses of shapes that it was not fitted to.</summary>
/// <param name="Fitted">Its root mean square error on those that it was, as a part of the loss.</param>
/// <param name="HeldOut">The same on those held out.</param>
/// <param name="Constant">The error held out of saying the fitted shapes' mean for all.</param>
/// <param name="RankCorrelation">Spearman's, of predicted and measured loss of those held out.</param>
public sealed record ShapeError(double Fitted, double HeldOut, double Constant, double RankCorrelation);

/// <summary>The shape to build.</summary>
/// <param name="Shape">The shape.</param>
/// <param name="Pattern">Its pattern, for <c>--model</c>.</param>
/// <param name="Parameters">Its parameters.</param>
/// <param name="X">Its width over the square root of its parameters without embeddings.</param>
/// <param name="Ratio">Its MLPs' parameters over its attention's.</param>
/// <param name="Allowed">The FLOPs a generated token may take.</param>
/// <param name="TrainingFlops">The training that the prediction is for.</param>
/// <param name="BitsPerByte">The predicted loss.</param>
/// <param name="Cost">What running it takes.</param>
public sealed record ShapeProposal(AttentionShape Shape, string Pattern, long Parameters, double X, double Ratio, double Allowed, double TrainingFlops, Estimate BitsPerByte, InferenceCost Cost);

/// <summary>What was found of the shapes of one model.</summary>
/// <param name="Model">The family's name.</param>
/// <param name="Budget">The training FLOPs of each shape.</param>
/// <param name="Slack">How much of the loss may be given for speed.</param>
/// <param name="Shapes">What was trained, with a mean number of parameters in common.</param>
/// <param name="Law">The conditional law; null where the shapes do not determine one.</param>
/// <param name="Error">How good it is; null without a law.</param>
/// <param name="Proposal">What to build; null without a law, or where nothing fits the inference budget.</param>
public sealed record ShapeReport(string Model, double Budget, double Slack, IReadOnlyList<ShapeResult> Shapes, ShapeLaw? Law, ShapeError? Error, ShapeProposal? Proposal);
