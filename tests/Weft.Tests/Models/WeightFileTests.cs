using System.Buffers.Binary;
using Weft.Models.Checkpoints;
using Weft.Tensors;

namespace Weft.Tests.Models;

public sealed class WeightFileTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => this.folder.Dispose();

    [Fact]
    public void ReadsAnyRangeOfElements()
    {
        const int Count = 200_003; // more than one chunk of every type
        float[] values = new float[Count];
        new RandomSource(seed: 5).FillGaussian(values);
        SafetensorsType[] types = [SafetensorsType.F32, SafetensorsType.F16, SafetensorsType.BF16, SafetensorsType.F64];
        using (SafetensorsWriter writer = new(this.folder["model.safetensors"], types.Select(t => new SafetensorsEntry($"{t}", t, [Count]))))
        {
            foreach (SafetensorsType type in types)
            {
                writer.WriteBytes($"{type}", Bytes(type, values));
            }
            writer.Commit();
        }
        using WeightFile file = WeightFile.Open(this.folder.Path);
        Assert.Equal(this.folder["model.safetensors"], file.PathOf("F32"));
        Refused.With(() => file.PathOf("F31"), "model.safetensors'", "no tensor 'F31'");
        foreach (SafetensorsType type in types)
        {
            float[] whole = new float[Count];
            file.ReadFloat32($"{type}", whole);
            double tolerance = type is SafetensorsType.BF16 ? 1.0 / 128 : type is SafetensorsType.F16 ? 1.0 / 1024 : 0;
            Assert.All(whole.Zip(values), pair => Assert.InRange(pair.First, pair.Second - (tolerance * 5), pair.Second + (tolerance * 5)));
            foreach ((int start, int length) in new[] { (0, 0), (Count, 0), (Count - 1, 1), (1, 7), (3, 140_001), (70_000, 130_003) })
            {
                float[] part = new float[length];
                file.ReadFloat32($"{type}", start, part);
                Assert.Equal(whole[start..(start + length)], part);
                byte[] bytes = new byte[length];
                file.ReadBytes($"{type}", start, bytes);
                Assert.Equal(Bytes(type, values)[start..(start + length)], bytes);
            }
            foreach ((long start, int length) in new[] { (-1L, 1), (Count, 1), (Count - 1, 2), (long.MaxValue, 1), (long.MinValue, 1) })
            {
                Refused.With(() => file.ReadFloat32($"{type}", start, new float[length]), "model.safetensors'", $"'{type}'", $"element {start}");
            }
            Refused.With(() => file.ReadBytes($"{type}", -1, new byte[1]), $"'{type}'", "byte -1");
            Refused.With(() => file.ReadBytes($"{type}", long.MaxValue, new byte[1]), $"'{type}'", "byte 9223372036854775807");
        }
    }

    private static byte[] Bytes(SafetensorsType type, float[] values)
    {
        int size = new SafetensorsEntry("", type, []).BytesPerElement;
        byte[] bytes = new byte[values.Length * size];
        for (int i = 0; i < values.Length; i++)
        {
            Span<byte> one = bytes.AsSpan(i * size);
            switch (type)
            {
                case SafetensorsType.F32:
                    BinaryPrimitives.WriteSingleLittleEndian(one, values[i]);
                    break;
                case SafetensorsType.F16:
                    BinaryPrimitives.WriteHalfLittleEndian(one, (Half)values[i]);
                    break;
                case SafetensorsType.BF16:
                    BinaryPrimitives.WriteUInt16LittleEndian(one, (ushort)(BitConverter.SingleToUInt32Bits(values[i]) >> 16));
                    break;
                default:
                    BinaryPrimitives.WriteDoubleLittleEndian(one, values[i]);
                    break;
            }
        }
        return bytes;
    }
}
