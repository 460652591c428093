using Weft.Tensors;

namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>
/// Where a parameter of ours comes from: the rows of one or more of a checkpoint's tensors, one below the other, each perhaps transposed,
/// multiplied and shifted. It works in both directions: a checkpoint's values make ours, and ours (or gradients) go back under its keys.
/// A row is one of our parameter's: a run of its last dimension, and a single number where it has only one.
/// </summary>
public sealed class WeightSource
{
    internal readonly record struct Part(string Key, int Start, int Rows, bool Transposed, float Scale, float Shift, long[]? Shape);

    private WeightSource(params IEnumerable<Part> parts) => Parts = [.. parts];

    internal IReadOnlyList<Part> Parts { get; }

    /// <summary>A whole tensor.</summary>
    public static implicit operator WeightSource(string key) => Of(key);

    /// <summary>A whole tensor of <paramref name="rows"/> rows; 0: all of the parameter's.</summary>
    public static WeightSource Of(string key, int rows = 0) => new(new Part(key, 0, rows, false, 1, 0, null));

    /// <summary>Rows of a tensor.</summary>
    public static WeightSource Rows(string key, int start, int rows) => new(new Part(key, start, rows, false, 1, 0, null));

    /// <summary>A whole tensor [in, out] that makes ours [out, in].</summary>
    public static WeightSource Transpose(string key) => new(new Part(key, 0, 0, true, 1, 0, null));

    /// <summary>Sources one below the other; each but the last must say its rows.</summary>
    public static WeightSource Stack(params IEnumerable<WeightSource> sources) => new(sources.SelectMany(s => s.Parts));

    /// <summary>The values plus a number: a norm's 1 + w.</summary>
    public WeightSource Plus(float shift) => new(Parts.Select(p => p with { Shift = p.Shift + shift }));

    /// <summary>The values times a number.</summary>
    public WeightSource Times(float scale) => new(Parts.Select(p => p with { Scale = p.Scale * scale, Shift = p.Shift * scale }));

    /// <summary>The shape that the checkpoint gives the tensor, where it has more dimensions than rows and columns: [channels, 1, taps].</summary>
    public WeightSource As(params long[] shape) => new(Parts.Select(p => p with { Shape = shape }));
}

/// <summary>Which of a checkpoint's tensors make each parameter of a model.</summary>
public sealed class WeightMap
{
    private readonly Dictionary<string, WeightSource> sources = new(StringComparer.Ordinal);
    private readonly List<Func<string, bool>> ignored = [];
    private readonly Func<string, long[]?> shapeOf;

    /// <summary>Makes an empty map for a checkpoint whose tensors have the shapes that <paramref name="shapeOf"/> gives; null for a key that it does not have.</summary>
    internal WeightMap(Func<string, long[]?> shapeOf) => this.shapeOf = shapeOf;

    /// <summary>The map of a file that holds every parameter under its own name.</summary>
    internal static WeightMap Identity(LanguageModel model)
    {
        var map = new WeightMap(_ => null);
        foreach (Parameter parameter in model.Parameters())
        {
            map[parameter.Name] = parameter.Name;
        }

        return map;
    }

    /// <summary>Says where a parameter comes from.</summary>
    public WeightSource this[string parameter]
    {
        set => sources.Add(parameter, value);
    }

    /// <summary>
    /// Whether the checkpoint has a tensor. Where keys have two spellings a family chooses by it: older and newer files, and - as the
    /// gradients of references are named - what transformers 5 has in memory: experts joined into experts.gate_up_proj [E, 2 hidden, D] and
    /// experts.down_proj [E, D, hidden], convolutions of q, k and v into one, backbone. renamed to model.
    /// </summary>
    public bool Has(string key) => shapeOf(key) is not null;

    /// <summary>The rows that a tensor has in the checkpoint; null where it has no such tensor.</summary>
    public int? RowsOf(string key) => shapeOf(key) is [long rows, ..] && rows <= int.MaxValue ? (int)rows : null;

    /// <summary>Leaves tensors aside that hold nothing learned: buffers, copies of what is tied.</summary>
    public void Ignore(Func<string, bool> keys) => ignored.Add(keys);

    /// <summary>Whether a tensor is left aside.</summary>
    internal bool Ignores(string key) => ignored.Any(i => i(key));

    internal WeightSource Of(Parameter parameter) => sources.TryGetValue(parameter.Name, out WeightSource? source) ? source
        : throw new InvalidOperationException($"no tensor is said to make the parameter '{parameter.Name}' {parameter.Tensor.Shape}");

    /// <summary>The pieces of a parameter, in its order: which elements of which tensor make which of ours.</summary>
    internal IEnumerable<(WeightSource.Part Part, int Row, int Rows, int Columns)> Pieces(Parameter parameter)
    {
        Shape shape = parameter.Tensor.Shape;
        int columns = shape.Rank < 2 ? 1 : shape.Columns, total = (int)(shape.Count / columns), row = 0;
        IReadOnlyList<WeightSource.Part> parts = Of(parameter).Parts;
        for (int i = 0; i < parts.Count; i++)
        {
            int rows = parts[i].Rows > 0 ? parts[i].Rows : i == parts.Count - 1 ? total - row : throw Unfit();
            yield return row + rows <= total && (!parts[i].Transposed || rows == total) ? (parts[i], row, rows, columns) : throw Unfit();
            row += rows;
        }

        if (row != total)
        {
            throw Unfit();
        }

        InvalidOperationException Unfit() => new($"the tensors that are said to make '{parameter.Name}' {shape} do not: {string.Join(", ", parts)}");
    }

    /// <summary>The shapes that the checkpoint's tensors must have, by key, to make these parameters.</summary>
    internal Dictionary<string, long[]> Shapes(IEnumerable<Parameter> parameters)
    {
        var shapes = new Dictionary<string, long[]>(StringComparer.Ordinal);
        foreach (Parameter parameter in parameters)
        {
            Shape ours = parameter.Tensor.Shape;
            bool whole = Of(parameter).Parts is [{ Rows: 0, Transposed: false }];
            foreach ((WeightSource.Part part, _, int rows, int columns) in Pieces(parameter))
            {
                long[] shape = part.Shape ?? (whole ? [.. Enumerable.Range(0, ours.Rank).Select(i => (long)ours[i])]
                    : ours.Rank < 2 ? [part.Start + rows]
                    : part.Transposed ? [columns, rows] : [part.Start + rows, columns]);
                if (!shapes.TryGetValue(part.Key, out long[]? known) || known[0] < shape[0])
                {
                    shapes[part.Key] = shape;
                }
            }
        }

        return shapes;
    }
}
