using Weft.Tensors;

namespace Weft.Models;

/// <summary>A tensor that is learned: its name in checkpoints, and whether weight decay applies to it (not to norms, biases, decays and step sizes).</summary>
public sealed record Parameter(string Name, Tensor Tensor, bool Decay)
{
    /// <summary>Whether it is only looked up and multiplied by, as the weight of a linear map is, and large enough to be worth holding in few bits.</summary>
    public bool IsQuantizable { get; init; }
}

/// <summary>What a module needs to build its parameters.</summary>
/// <param name="Device">Where they live.</param>
/// <param name="Random">Draws initial values, in the order in which parameters are made.</param>
/// <param name="Width">The model's width d: the columns of what flows from block to block.</param>
/// <param name="Blocks">The number of residual blocks: output projections start smaller by the square root of it.</param>
public sealed record Builder(Device Device, RandomSource Random, int Width, int Blocks)
{
    /// <summary>How many values may still be learned: a model described by a file takes no more memory than its weights justify.</summary>
    internal long Allowance { get; set; } = long.MaxValue;

    /// <summary>What stands before the names of the parameters made now, in the whole model: <c>blocks.0.mixer.</c>, for messages.</summary>
    internal string Path { get; set; } = "";

    /// <summary>The columns of what a mixer reads; the model's width, except for one that reads more.</summary>
    public int Inputs { get; internal set; } = Width;

    /// <summary>Whether parameters are left without values, since a checkpoint's follow at once.</summary>
    internal bool Blank { get; init; }

    /// <summary>Modules that several blocks have in common, by the name that their patterns give.</summary>
    internal Dictionary<string, Module> Shared { get; } = new(StringComparer.Ordinal);
}

/// <summary>Fills a parameter with its initial values.</summary>
public delegate void Initializer(Span<float> values, RandomSource random);

/// <summary>Something with parameters, its own and those of the modules within it, each under a name.</summary>
public abstract class Module
{
    private const int LeastQuantized = 32; // outputs and inputs: less is padded to as much

    private readonly List<Parameter> own = [];
    private readonly List<(string Name, Module Module)> children = [];

    /// <summary>All parameters, with names such as <c>blocks.0.mixer.in_proj.weight</c>, in the order in which they were made.</summary>
    public IEnumerable<Parameter> Parameters()
    {
        foreach (Parameter parameter in own)
        {
            yield return parameter;
        }

        foreach ((string name, Module child) in children)
        {
            foreach (Parameter parameter in child.Parameters())
            {
                yield return parameter with { Name = $"{name}.{parameter.Name}" };
            }
        }
    }

    /// <summary>The number of learned values.</summary>
    public long ParameterCount() => Parameters().Sum(p => p.Tensor.Shape.Count);

    /// <summary>Makes a parameter.</summary>
    /// <exception cref="InputException">It is larger than an array can be, than the weights that are to fill the model, or than the memory.</exception>
    protected Tensor Learn(Builder builder, string name, Shape shape, Initializer initial, bool decay) =>
        Add(builder, name, shape, initial, decay, isMatrix: false).WithGrad();

    private Tensor Add(Builder builder, string name, Shape shape, Initializer initial, bool decay, bool isMatrix)
    {
        builder.Allowance -= shape.Count;
        if (builder.Allowance < 0 || shape.Count > Array.MaxLength)
        {
            throw new InputException($"the configuration describes a larger model than {(builder.Allowance < 0 ? "its weights hold" : "can be built")} ('{name}' {shape})");
        }

        var use = new MemoryUse($"parameter '{builder.Path}{name}'", "a smaller width, or fewer or smaller blocks,");
        Tensor tensor = builder.Blank ? builder.Device.Blank(shape, use) : builder.Device.Zeros(shape, use);
        if (!builder.Blank)
        {
            var values = new float[shape.Count];
            initial(values, builder.Random);
            tensor.Set(values);
        }

        own.Add(new Parameter(name, tensor, decay) { IsQuantizable = isMatrix && Math.Min(shape[0], shape[1]) >= LeastQuantized });
        return tensor;
    }

    /// <summary>Makes the weight [out, in] of a linear map, used by nothing but <see cref="Ops.Linear"/>, with the usual initial values.</summary>
    protected Tensor LearnLinear(Builder builder, string name, int outputs, int inputs, float gain = 1) =>
        LearnLinear(builder, name, new Shape(outputs, inputs), Initial.Linear(inputs, gain));

    /// <summary>Makes the weight [out, in] of a linear map, used by nothing but <see cref="Ops.Linear"/>.</summary>
    protected Tensor LearnLinear(Builder builder, string name, Shape shape, Initializer initial) =>
        Add(builder, name, shape, initial, decay: true, isMatrix: true).WithGrad();

    /// <summary>
    /// Makes the weights of an expert's linear map for each of <paramref name="experts"/>, one matrix [out, in] below the other: a matrix is what
    /// can be held in few bits or packed, here by whole experts where their outputs fill packed panels of 32. Used by nothing but <see cref="Ops.ExpertLinear"/>.
    /// </summary>
    protected Tensor LearnExperts(Builder builder, string name, int experts, int outputs, int inputs, float gain = 1) =>
        Add(builder, name, new Shape(checked(experts * outputs), inputs), Initial.Linear(inputs, gain), decay: true, isMatrix: outputs % LeastQuantized == 0).WithGrad();

    /// <summary>Makes a parameter that checkpoints hold and that no gradient reaches.</summary>
    protected Tensor Keep(Builder builder, string name, Shape shape, Initializer initial) => Add(builder, name, shape, initial, decay: false, isMatrix: false);

    /// <summary>Makes a table [rows, columns] of which rows are looked up; a head may share it.</summary>
    protected Tensor LearnTable(Builder builder, string name, Shape shape, Initializer initial) =>
        Add(builder, name, shape, initial, decay: false, isMatrix: true).WithGrad();

    /// <summary>Names a module within this one, whose parameters become this one's too.</summary>
    protected T Contain<T>(string name, T module) where T : Module
    {
        children.Add((name, module));
        return module;
    }
}

/// <summary>The usual initial values.</summary>
public static class Initial
{
    /// <summary>All zeros: biases.</summary>
    public static Initializer Zeros { get; } = static (values, _) => values.Clear();

    /// <summary>All ones: the weights of norms, skip connections.</summary>
    public static Initializer Ones { get; } = static (values, _) => values.Fill(1);

    /// <summary>Normal with mean 0.</summary>
    public static Initializer Normal(float deviation) => (values, random) => random.FillGaussian(values, deviation);

    /// <summary>Uniform within +-<paramref name="bound"/>.</summary>
    public static Initializer Uniform(float bound) => (values, random) => random.FillUniform(values, -bound, bound);

    /// <summary>A linear map's: uniform within +-gain / sqrt(inputs), as torch.nn.Linear.</summary>
    public static Initializer Linear(int inputs, float gain = 1) => Uniform(gain / MathF.Sqrt(inputs));

    /// <summary>
    /// The bias under a softplus for step sizes drawn log-uniformly from <paramref name="low"/> to <paramref name="high"/>, not below
    /// <paramref name="floor"/>: dt + log(1 - e^-dt), softplus's inverse (Mamba, arXiv 2312.00752).
    /// </summary>
    public static Initializer StepBias(float low = 1e-3f, float high = 1e-1f, float floor = 1e-4f) => (values, random) =>
    {
        for (int i = 0; i < values.Length; i++)
        {
            double dt = Math.Max(floor, Math.Exp(Math.Log(low) + (random.NextDouble() * (Math.Log(high) - Math.Log(low)))));
            values[i] = (float)(dt + Math.Log(-Math.Exp(-dt) + 1));
        }
    };

    /// <summary>
    /// A matrix [rows, columns] whose rows, or columns if those are fewer, are orthogonal and of length <paramref name="gain"/>: Gaussian
    /// draws, made orthogonal one after the other.
    /// </summary>
    public static Initializer Orthogonal(int rows, int columns, float gain) => (values, random) =>
    {
        (int count, int length) = (Math.Min(rows, columns), Math.Max(rows, columns));
        var vectors = new float[count][];
        for (int i = 0; i < count; i++)
        {
            float[] vector = vectors[i] = new float[length];
            random.FillGaussian(vector);
            for (int pass = 0; pass < 2; pass++) // once more for what rounding left
            {
                for (int j = 0; j < i; j++)
                {
                    float along = (float)Dot(vectors[j], vector);
                    for (int k = 0; k < length; k++)
                    {
                        vector[k] -= along * vectors[j][k];
                    }
                }

                float size = (float)Math.Sqrt(Dot(vector, vector));
                for (int k = 0; k < length; k++)
                {
                    vector[k] /= size;
                }
            }

            for (int k = 0; k < length; k++)
            {
                values[rows <= columns ? (i * columns) + k : (k * columns) + i] = gain * vector[k];
            }
        }

        static double Dot(float[] a, float[] b)
        {
            double sum = 0;
            for (int k = 0; k < a.Length; k++)
            {
                sum += (double)a[k] * b[k];
            }

            return sum;
        }
    };

    /// <summary>The logarithm of uniform draws: decay rates A_log = log U(low, high).</summary>
    public static Initializer LogUniform(float low, float high) => (values, random) =>
    {
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (float)Math.Log(Math.Max(1e-4, low + (random.NextDouble() * (high - low))));
        }
    };
}
