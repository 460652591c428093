using System.Text;
using Weft.Tensors;

namespace Weft.Tests.Models;

/// <summary>Damages bytes at random, and holds what reads them to one-line errors and little memory.</summary>
internal sealed class Fuzz(ulong seed)
{
    private readonly HashSet<string> reasons = [];

    public RandomSource Random { get; } = new(seed);

    /// <summary>How many damaged inputs were accepted.</summary>
    public int Accepted { get; private set; }

    /// <summary>How many different reasons for a refusal were seen.</summary>
    public int Reasons => this.reasons.Count;

    /// <summary>One to three changes: bytes and bits changed, ranges removed, repeated or cut off, pieces put in, numbers replaced.</summary>
    public byte[] Damage(byte[] sound, IReadOnlyList<byte[]> pieces)
    {
        List<byte> bytes = [.. sound];
        for (int changes = 1 + Random.NextInt(3); changes > 0; changes--)
        {
            int at = Random.NextInt(bytes.Count);
            int length = Math.Min(Random.NextInt(8) == 0 ? Random.NextInt(60) : 1, bytes.Count - at);
            switch (Random.NextInt(8))
            {
                case 0:
                    bytes[at] = (byte)Random.NextInt(256);
                    break;
                case 1:
                    bytes[at] ^= (byte)(1 << Random.NextInt(8));
                    break;
                case 2 when bytes.Count > length:
                    bytes.RemoveRange(at, length);
                    break;
                case 3:
                    bytes.InsertRange(at, bytes.GetRange(at, length));
                    break;
                case 4 when at > 0 && Random.NextInt(4) == 0:
                    bytes.RemoveRange(at, bytes.Count - at);
                    break;
                case 5:
                    ReplaceNumber(bytes, at);
                    break;
                default:
                    bytes.InsertRange(at, pieces[Random.NextInt(pieces.Count)]);
                    break;
            }
        }
        return [.. bytes];
    }

    /// <summary>Runs a reader: it may accept the bytes or refuse them in one line; anything else, or too much memory, fails the test.</summary>
    public void Read(Action read, long mostBytes)
    {
        InputException? refusal = null;
        long before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            read();
        }
        catch (InputException e)
        {
            refusal = e;
        }
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        if (refusal is null)
        {
            Accepted++;
        }
        else
        {
            Assert.DoesNotContain('\n', refusal.Message);
            Assert.InRange(refusal.Message.Length, 1, 2_000);
            this.reasons.Add(string.Concat(refusal.Message.Split(':')[^1].Where(c => !char.IsAsciiDigit(c)).Take(14)));
        }
        Assert.InRange(allocated, 0, mostBytes);
    }

    public static byte[][] Pieces(params string[] texts) => [.. texts.Select(Encoding.UTF8.GetBytes)];

    // The decimal digits at or after a place.
    private void ReplaceNumber(List<byte> bytes, int at)
    {
        int start = bytes.FindIndex(at, b => b is >= (byte)'0' and <= (byte)'9');
        if (start >= 0)
        {
            int end = bytes.FindIndex(start, b => b is < (byte)'0' or > (byte)'9');
            bytes.RemoveRange(start, (end < 0 ? bytes.Count : end) - start);
            bytes.InsertRange(start, Encoding.UTF8.GetBytes($"{(Random.NextInt(2) == 0 ? (ulong)Random.NextInt(50) : Random.NextUInt64() >> Random.NextInt(64))}"));
        }
    }
}
