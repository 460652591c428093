using System.Text;
using System.Text.Json.Nodes;
using Weft.Models.Checkpoints.HuggingFace;

namespace Weft.Tests.Models;

/// <summary>Configurations of published checkpoints: those of the folders in Fixtures/hf, with some keys changed.</summary>
internal static class Configs
{
    public static JsonObject Of(string folder) => JsonNode.Parse(File.ReadAllBytes(FixtureFiles.At("hf", folder, "config.json")))!.AsObject();

    public static HfConfig Of(string folder, string changes) => Read(Merged(Of(folder), changes));

    /// <summary>The configuration with the keys of <paramref name="changes"/> in place of its own.</summary>
    public static JsonObject Merged(JsonObject json, string changes)
    {
        foreach ((string key, JsonNode? value) in JsonNode.Parse(changes)!.AsObject())
        {
            json[key] = value?.DeepClone();
        }

        return json;
    }

    public static HfConfig Read(JsonObject json) => HfConfig.Read(Encoding.UTF8.GetBytes(json.ToJsonString()), "config.json");
}
