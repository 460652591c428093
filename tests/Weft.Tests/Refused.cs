using Weft.Tensors;

namespace Weft.Tests;

/// <summary>What a person gave is refused with an <see cref="InputException"/> of one line that says these things.</summary>
public static class Refused
{
    public static void With(Func<object?> creation, params string[] says) => With(new Action(() => creation()), says);

    public static void With(Action action, params string[] says)
    {
        InputException e = Assert.Throws<InputException>(action);
        Assert.DoesNotContain('\n', e.Message);
        Assert.All(says, part => Assert.Contains(part, e.Message));
    }
}
