namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>The weights of a mixture's experts: a matrix each, or joined into one tensor for all gates and ups and one for all downs.</summary>
internal static class Experts
{
    /// <summary>
    /// Maps the experts of the block <paramref name="ours"/>. <paramref name="joined"/> is what stands before the keys of joined tensors;
    /// <paramref name="each"/> gives the keys of one expert's gate, up and down.
    /// </summary>
    public static void Map(WeightMap map, string ours, int experts, int hidden, int width, string joined, Func<int, (string Gate, string Up, string Down)> each)
    {
        if (map.Has(joined + "gate_up_proj"))
        {
            map[ours + "experts.gate_up_proj.weight"] = WeightSource.Of(joined + "gate_up_proj").As(experts, 2L * hidden, width);
            map[ours + "experts.down_proj.weight"] = WeightSource.Of(joined + "down_proj").As(experts, width, hidden);
            return;
        }

        (string Gate, string Up, string Down)[] keys = [.. Enumerable.Range(0, experts).Select(each)];
        map[ours + "experts.gate_up_proj.weight"] = WeightSource.Stack(keys.SelectMany<(string Gate, string Up, string), WeightSource>(k => [WeightSource.Of(k.Gate, hidden), WeightSource.Of(k.Up, hidden)]));
        map[ours + "experts.down_proj.weight"] = WeightSource.Stack(keys.Select(k => WeightSource.Of(k.Down, width)));
    }
}
