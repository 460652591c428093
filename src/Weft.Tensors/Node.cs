namespace Weft.Tensors;

/// <summary>
/// A recorded operation: its outputs, the inputs that its backward pass needs (fields of the derived class) and how gradients go
/// from the ones to the others. Nodes are pooled by their tape.
/// </summary>
internal abstract class Node
{
    internal NodePool Pool { get; set; } = null!;

    /// <summary>What the operation produced.</summary>
    internal Tensor Output { get; set; } = null!;

    /// <summary>The second output of a recurrence: its state after the last token. Null where there is none.</summary>
    internal Tensor? FinalState { get; set; }

    /// <summary>
    /// Adds to the inputs' gradients what the outputs' say. At least one of the outputs has a gradient when this is called;
    /// with a final state, the other may have none.
    /// </summary>
    internal abstract void Backward(Tape tape);
}

/// <summary>The nodes of one type that a tape has made, to be used again.</summary>
internal sealed class NodePool
{
    private readonly Stack<Node> free = [];

    internal T Take<T>() where T : Node, new() => free.TryPop(out Node? node) ? (T)node : new T { Pool = this };

    internal void Return(Node node) => free.Push(node);
}

internal static class NodeType
{
    private static int count;

    internal static int Next() => Interlocked.Increment(ref count) - 1;
}

internal static class NodeType<T> where T : Node
{
    internal static readonly int Id = NodeType.Next();
}
