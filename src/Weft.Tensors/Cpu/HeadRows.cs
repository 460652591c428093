namespace Weft.Tensors.Cpu;

/// <summary>The keys and values of one key head of one sequence, by position, as copies whose rows fill up whole vectors with zeros.</summary>
internal readonly unsafe struct HeadRows(AttentionView view, int batch, int keyHead)
{
    /// <summary>The floats of a row of so many.</summary>
    public static int Width(int dim) => (dim + 15) / 16 * 16;

    /// <summary>Copies rows of <paramref name="dim"/> floats.</summary>
    public static void Copy(int count, int dim, float* rows, nint stride, float* copy)
    {
        int width = Width(dim);
        for (int i = 0; i < count; i++, rows += stride, copy += width)
        {
            new ReadOnlySpan<float>(rows, dim).CopyTo(new Span<float>(copy, dim));
            new Span<float>(copy + dim, width - dim).Clear();
        }
    }

    /// <summary>Copies the keys or values from one position to another; zeros stand for those before the sequence begins.</summary>
    public void Read(long key, long end, bool values, float* copy)
    {
        int dim = values ? view.ValueDim : view.HeadDim;
        nint width = Width(dim);
        if (key < 0)
        {
            int none = (int)(Math.Min(0, end) - key);
            new Span<float>(copy, none * (int)width).Clear();
            key += none;
            copy += none * width;
        }

        while (key < end)
        {
            KeyRun run = view.Run(key, end);
            float* rows = values ? view.Values(run, batch, keyHead) : view.Keys(run, batch, keyHead);
            Copy(run.Count, dim, rows, values ? view.ValueStride(run) : view.KeyStride(run), copy);
            key += run.Count;
            copy += run.Count * width;
        }
    }

    /// <summary>Adds rows to those from one position to another of a tensor of the sequence or of the past, where it is wanted.</summary>
    public void Add(long key, long end, float* rows, int dim, TokenRows own, TokenRows past)
    {
        while (key < end)
        {
            KeyRun run = view.Run(key, end);
            TokenRows target = run.Past ? past : own;
            for (int i = 0; i < run.Count; i++, rows += Width(dim))
            {
                if (!target.IsNull)
                {
                    Simd.Add(dim, rows, target.At(batch, run.Row + i, keyHead * dim));
                }
            }

            key += run.Count;
        }
    }
}
