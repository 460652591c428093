using System.Buffers;
using System.Runtime.InteropServices;
using Weft.Models.Checkpoints.HuggingFace;
using Weft.Tensors;

namespace Weft.Models.Checkpoints;

/// <summary>Fills a model with a file's weights, and gives them back under the file's names, as a <see cref="WeightMap"/> says.</summary>
internal static class WeightLoader
{
    private const int PieceBytes = 1 << 20; // of weights read at a time: they stay in the cache on their way to the tensor

    /// <summary>
    /// Builds a model and reads its weights, after all names and shapes were checked. Matrices that the file holds in bfloat16 stay so,
    /// unless they are to be <paramref name="learned"/>. <paramref name="config"/> is the file that describes the model, for messages.
    /// </summary>
    /// <exception cref="InputException">The model cannot be built, or a tensor is missing, has another shape, or is one too many.</exception>
    public static LanguageModel Load(string config, ModelConfig model, Func<LanguageModel, WeightMap> map, WeightFile file, Device device, bool learned)
    {
        LanguageModel made = Build(config, model, map, file, device, out WeightMap sources);
        Fill(made, sources, file, learned);
        return made;
    }

    /// <summary>Builds a model without values for its weights, and checks that a file has them all, in their shapes, and nothing else.</summary>
    /// <exception cref="InputException">The model cannot be built, or a tensor is missing, has another shape, or is one too many.</exception>
    public static LanguageModel Build(string config, ModelConfig model, Func<LanguageModel, WeightMap> map, WeightFile file, Device device, out WeightMap sources)
    {
        LanguageModel made = Build(config, model, device, file);
        sources = map(made);
        Check(config, file, sources, made);
        return made;
    }

    // A configuration may ask for any size. It gets twice the numbers of 2 bytes that its files can hold, so that a difference is still told by name.
    private static LanguageModel Build(string config, ModelConfig model, Device device, WeightFile weights)
    {
        long allowance = weights.ByteCount + (1 << 20);
        try
        {
            return LanguageModel.Blank(model, device, allowance);
        }
        catch (InputException e)
        {
            throw WeightFile.Bad(config, e.Message, e);
        }
    }

    /// <summary>
    /// What a file holds under each of the checkpoint's keys, made from arrays of a model's parameters: the other direction, for saving.
    /// Of gradients (<paramref name="areGradients"/>) shifts are left out, factors multiply, and those of a key that makes several parameters are added.
    /// </summary>
    public static IEnumerable<(string Key, long[] Shape, float[] Values)> Unmap(WeightMap map, LanguageModel model, Func<Parameter, float[]> values, bool areGradients = false)
    {
        Parameter[] parameters = [.. model.Parameters()];
        Dictionary<string, long[]> shapes = map.Shapes(parameters);
        List<string>[] due = Due(map, parameters);
        var open = new Dictionary<string, float[]>(StringComparer.Ordinal);
        for (int i = 0; i < parameters.Length; i++)
        {
            float[] ours = values(parameters[i]);
            foreach ((WeightSource.Part part, int row, int rows, int columns) in map.Pieces(parameters[i]))
            {
                if (!open.TryGetValue(part.Key, out float[]? theirs))
                {
                    open.Add(part.Key, theirs = new float[shapes[part.Key].Aggregate(1L, (a, b) => a * b)]);
                }

                Put(part, ours.AsSpan(row * columns, rows * columns), columns, theirs, areGradients);
            }

            foreach (string key in due[i])
            {
                yield return (key, shapes[key], open[key]);
                open.Remove(key);
            }
        }
    }

    /// <summary>Writes a model's weights under the keys of a map: in bfloat16 what is held so, all else in float32.</summary>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public static void Save(string path, LanguageModel model, WeightMap map)
    {
        Parameter[] parameters = [.. model.Parameters()];
        Dictionary<string, long[]> shapes = map.Shapes(parameters);
        var exact = new HashSet<string>(parameters.Where(p => p.Tensor.Format != WeightFormat.BFloat16).SelectMany(p => map.Of(p).Parts).Select(p => p.Key), StringComparer.Ordinal);
        string[] keys = [.. Due(map, parameters).SelectMany(k => k)];
        using var file = new SafetensorsWriter(path, keys.Select(k => new SafetensorsEntry(k, exact.Contains(k) ? SafetensorsType.F32 : SafetensorsType.BF16, shapes[k])),
            new Dictionary<string, string> { ["format"] = "pt" }); // what transformers asks for: tensors in row-major order
        foreach ((string key, _, float[] values) in Unmap(map, model, p => p.Tensor.ToArray()))
        {
            if (exact.Contains(key))
            {
                file.Write(key, values);
                continue;
            }

            // The values are bfloat16 numbers: their upper halves are all of them.
            file.Write(key, Array.ConvertAll(values, v => (ushort)(BitConverter.SingleToUInt32Bits(v) >> 16)));
        }

        file.Commit();
    }

    // The keys that are whole once parameter i has been read, so that no more of them are held at once than must be.
    private static List<string>[] Due(WeightMap map, Parameter[] parameters)
    {
        var last = new Dictionary<string, int>(StringComparer.Ordinal);
        var keys = new List<string>();
        for (int i = 0; i < parameters.Length; i++)
        {
            foreach (WeightSource.Part part in map.Of(parameters[i]).Parts)
            {
                if (!last.ContainsKey(part.Key))
                {
                    keys.Add(part.Key);
                }

                last[part.Key] = i;
            }
        }

        List<string>[] due = [.. parameters.Select(_ => new List<string>())];
        keys.ForEach(k => due[last[k]].Add(k));
        return due;
    }

    private static void Put(WeightSource.Part part, ReadOnlySpan<float> ours, int columns, float[] theirs, bool areGradients)
    {
        Span<float> target = theirs.AsSpan(part.Start * columns, ours.Length);
        int rows = ours.Length / columns;
        for (int i = 0; i < ours.Length; i++)
        {
            int at = part.Transposed ? (i % columns * rows) + (i / columns) : i;
            target[at] = areGradients ? target[at] + (ours[i] * part.Scale) : (ours[i] - part.Shift) / part.Scale;
        }
    }

    private static void Check(string config, WeightFile file, WeightMap map, LanguageModel model)
    {
        Dictionary<string, long[]> shapes = map.Shapes(model.Parameters());
        string? missing = shapes.Keys.Where(k => !file.Contains(k)).Min(StringComparer.Ordinal);
        string? extra = file.Names.Where(k => !shapes.ContainsKey(k) && !map.Ignores(k)).Min(StringComparer.Ordinal);
        if (missing is not null || extra is not null)
        {
            string[] files = [.. file.Names.Select(file.PathOf).Distinct()];
            throw WeightFile.Bad(missing is null ? file.PathOf(extra!) : files.Length == 1 ? files[0] : Path.GetDirectoryName(config)!, missing is not null
                ? $"it lacks the tensor {AtomicFile.Quote(missing)}" + (extra is null ? "" : $" and holds {AtomicFile.Quote(extra)}, which is not expected")
                : $"it holds the tensor {AtomicFile.Quote(extra!)}, which a model with this {ModelFolder.ConfigFile} does not have");
        }

        foreach ((string key, long[] shape) in shapes)
        {
            SafetensorsEntry found = file.Info(key);
            if (!found.Shape.AsSpan().SequenceEqual(shape))
            {
                throw WeightFile.Bad(file.PathOf(key), key, $"its shape is {found.ShapeText} where {ModelFolder.ConfigFile} gives [{string.Join(", ", shape)}]");
            }
        }
    }

    private static void Fill(LanguageModel model, WeightMap map, WeightFile file, bool learned)
    {
        int widest = model.Parameters().Max(p => p.Tensor.Shape.Columns);
        float[] piece = ArrayPool<float>.Shared.Rent(Math.Max(widest, PieceBytes / sizeof(float)));
        try
        {
            foreach (Parameter parameter in model.Parameters())
            {
                bool held = !learned && parameter.IsQuantizable && map.Of(parameter).Parts.All(p => file.Info(p.Key).Type == SafetensorsType.BF16 && p.Scale == 1 && p.Shift == 0 && !p.Transposed);
                parameter.Tensor.HoldAs(held ? WeightFormat.BFloat16 : WeightFormat.Float32);
                foreach ((WeightSource.Part part, int row, int rows, int columns) in map.Pieces(parameter))
                {
                    if (part.Transposed)
                    {
                        FillTransposed(parameter.Tensor, part, rows, columns, file);
                        continue;
                    }

                    int most = Math.Max(1, piece.Length / columns);
                    for (int done = 0, count; done < rows; done += count)
                    {
                        count = Math.Min(rows - done, most);
                        long from = (long)(part.Start + done) * columns;
                        if (held)
                        {
                            Span<ushort> bits = MemoryMarshal.Cast<float, ushort>(piece.AsSpan())[..(count * columns)];
                            file.ReadBytes(part.Key, from * sizeof(ushort), MemoryMarshal.AsBytes(bits));
                            parameter.Tensor.SetRows(row + done, bits);
                        }
                        else
                        {
                            Span<float> values = piece.AsSpan(0, count * columns);
                            file.ReadFloat32(part.Key, from, values);
                            Change(values, part);
                            SetRows(parameter.Tensor, row + done, values);
                        }
                    }
                }
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(piece);
        }
    }

    private static void FillTransposed(Tensor tensor, WeightSource.Part part, int rows, int columns, WeightFile file)
    {
        var theirs = new float[(long)rows * columns]; // [columns, rows]
        file.ReadFloat32(part.Key, 0, theirs);
        var row = new float[columns];
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < columns; j++)
            {
                row[j] = theirs[((long)j * rows) + i];
            }

            Change(row, part);
            tensor.SetRows(i, row);
        }
    }

    // A vector's rows are, for a map, its numbers; for a tensor it is one row.
    private static void SetRows(Tensor tensor, int row, ReadOnlySpan<float> values)
    {
        if (tensor.Shape.Rank >= 2)
        {
            tensor.SetRows(row, values);
            return;
        }

        if (values.Length == tensor.Shape.Count)
        {
            tensor.Set(values);
            return;
        }

        float[] whole = row == 0 ? new float[tensor.Shape.Count] : tensor.ToArray();
        values.CopyTo(whole.AsSpan(row));
        tensor.Set(whole);
    }

    private static void Change(Span<float> values, WeightSource.Part part)
    {
        if (part.Scale == 1 && part.Shift == 0)
        {
            return;
        }

        foreach (ref float value in values)
        {
            value = (value * part.Scale) + part.Shift;
        }
    }
}
