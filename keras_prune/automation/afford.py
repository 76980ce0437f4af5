"""The largest model that a budget allows, found by what models cost before they are fine-tuned: no training."""

from collections.abc import Callable

PROBES = 8  # costs that are measured at most: for bytes and latency each is an export
_NEAR = 0.985  # of the budget: near enough
_AIM = 0.993  # of the budget: so that the next model is within it


def afford(excess: Callable[[float], float], whole: float, lowest: float) -> float | None:
    """Return about the largest fraction to keep with which a model is within the budget; None if it never is.

    Costs grow about linearly with what is kept: the next fraction to try is where the line through the two measurements
    nearest to the budget meets it, within what is known to be too much and to be enough.

    Args:
        excess: The cost of a model, of which this fraction is kept, as a multiple of the budget.
        whole: That of the whole model, above 1.
        lowest: Lowest fraction that can be kept.
    """
    low, high = lowest, 1.0
    enough = False  # whether `low` was measured
    measured = [(0.0, 0.0), (1.0, whole)]  # nothing costs nothing: a guess, until there are two measurements
    for _ in range(PROBES):
        if high - low < 1e-3:
            break
        (kept, cost), (other, theirs) = sorted(measured, key=lambda point: abs(point[1] - 1))[:2]
        guess = kept + (_AIM - cost) * (other - kept) / (theirs - cost) if theirs != cost else low
        margin = 0.05 * (high - low)
        kept = min(max(guess, low + margin), high - margin)
        cost = excess(kept)
        measured = [*(point for point in measured if point[0] > 0), (kept, cost)]
        if cost > 1:
            high = kept
            continue
        low, enough = kept, True
        if cost >= _NEAR:
            break
    return low if enough or excess(lowest) <= 1 else None
