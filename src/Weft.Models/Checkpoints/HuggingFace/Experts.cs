namespace Weft.Models.Checkpoints.HuggingFace;

/// <summary>The weights of a mixture's experts: a matrix each, or joined into one tensor for all gates and ups, or ups alone, and one for all downs.</summary>
internal static class Experts
{
    /// <summary>
    /// Maps the experts of the block <paramref name="ours"/>. <paramref name="joined"/> is what stands before the keys of joined tensors;
    /// <paramref name="each"/> gives the keys of one expert's gate, if it has one, up and down.
    /// </summary>
    public static void Map(WeightMap map, string ours, int experts, int hidden, int width, string joined, Func<int, (string? Gate, string Up, string Down)> each)
    {
        bool isGated = each(0).Gate is not null;
        string up = isGated ? "gate_up_proj" : "up_proj";
        if (map.Has(joined + up))
        {
            map[$"{ours}experts.{up}.weight"] = WeightSource.Of(joined + up).As(experts, isGated ? 2L * hidden : hidden, width);
            map[ours + "experts.down_proj.weight"] = WeightSource.Of(joined + "down_proj").As(experts, width, hidden);
            return;
        }

        (string? Gate, string Up, string Down)[] keys = [.. Enumerable.Range(0, experts).Select(each)];
        map[$"{ours}experts.{up}.weight"] = WeightSource.Stack(keys.SelectMany(k => (string?[])[k.Gate, k.Up]).OfType<string>().Select(k => WeightSource.Of(k, hidden)));
        map[ours + "experts.down_proj.weight"] = WeightSource.Stack(keys.Select(k => WeightSource.Of(k.Down, width)));
    }
}
