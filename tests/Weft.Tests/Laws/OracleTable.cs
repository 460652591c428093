using System.Globalization;
using System.Text.Json;
using Weft.Models.Recurrences;
using Weft.Tensors;

namespace Weft.Tests.Laws;

/// <summary>
/// The inputs of a reference file, on a tape and in the file's own layout, with the scalars that its metadata name. A row of
/// <see cref="OracleTable"/> brings them into Weft's layout by operations whose gradients lead back, and its outputs into the file's.
/// </summary>
internal sealed class OracleInputs(IReadOnlyDictionary<string, Tensor> inputs, JsonElement args)
{
    public Tensor this[string name] => inputs[name];

    public Tensor? Find(string name) => inputs.GetValueOrDefault(name);

    /// <summary>A scalar argument of the reference function.</summary>
    public double Arg(string name, double otherwise) => args.TryGetProperty(name, out JsonElement value) ? value.GetDouble() : otherwise;

    public float Scale => (float)Arg("scale", 1);

    /// <summary>[B,T,H,K] as [B,T,H K].</summary>
    public Tensor Flat(string name) => Flat(this[name]);

    public static Tensor Flat(Tensor x) => x.Reshape(new Shape(x.Shape[0], x.Shape[1], x.Shape[2] * x.Shape[3]));

    /// <summary>[B,T,H V] as [B,T,H,V].</summary>
    public static Tensor ByHead(Tensor x, int heads) => x.Reshape(new Shape(x.Shape[0], x.Shape[1], heads, x.Shape.Columns / heads));
}

/// <summary>
/// The operations that public references are kept for, a row each: from a file's inputs to o and, if the file has one, the final state,
/// by the plain definition or by the fast algorithm. A structure's rows are in its own part of this class.
/// </summary>
internal static partial class OracleTable
{
    /// <summary>An operation: its file's name, and how it is run.</summary>
    public sealed record Row(string Operation, Func<OracleInputs, bool, (Tensor O, Tensor? State)> Run);

    public static IReadOnlyDictionary<string, Row> Rows { get; } =
        new[] { ScalarDecayRows, DeltaRuleRows, DiagonalRows, ChannelDecayRows, DeltaProductRows, ChannelDeltaRows, SelectiveScanRows, AttentionRows, MemoryGradientRows }.SelectMany(rows => rows).ToDictionary(r => r.Operation);

    private static (Tensor O, Tensor? State) ByHead((Tensor O, Tensor Final) result, int heads) => (OracleInputs.ByHead(result.O, heads), result.Final);
}
