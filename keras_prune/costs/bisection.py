"""The search behind budgets: the shortest part of a removal order without which a model is within its budget."""

from collections.abc import Callable


def lowest(low: int, high: int, holds: Callable[[int], bool], probes: int | None = None) -> int:
    """The lowest number for which something holds, found by halving.

    Args:
        low: The lowest number to try.
        high: A number for which it holds, as it does for all above the lowest.
        holds: Whether it holds for a number.
        probes: How often `holds` may be called, if it is expensive; then the number found may be too high. Defaults to
            None, as often as it takes.
    """
    while low < high and probes != 0:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
        probes = None if probes is None else probes - 1
    return high
