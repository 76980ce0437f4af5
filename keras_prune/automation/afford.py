"""The largest model that a budget allows, found by what models cost before they are fine-tuned: no training."""

from collections.abc import Callable

PROBES = 8  # costs that are measured at most: for bytes and latency each is an export
_NEAR = 0.985  # of the budget: near enough


def afford(excess: Callable[[float], float], whole: float, lowest: float) -> float | None:
    """Return about the largest fraction to keep with which a model is within the budget; None if it never is.

    Costs grow about linearly with what is kept: the next fraction to try is where the line through the nearest one
    within the budget and the nearest one above it meets the budget.

    Args:
        excess: The cost of a model, of which this fraction is kept, as a multiple of the budget.
        whole: That of the whole model, above 1.
        lowest: Lowest fraction that can be kept.
    """
    low, high = (lowest, 0.0), (1.0, whole)  # so far as is known, within the budget and above it
    measured = False  # whether `low` was
    for _ in range(PROBES):
        if high[0] - low[0] < 1e-3:
            break
        slope = (high[1] - low[1]) / (high[0] - low[0])
        guess = low[0] + (0.5 * (1 + _NEAR) - low[1]) / slope
        margin = 0.05 * (high[0] - low[0])
        kept = min(max(guess, low[0] + margin), high[0] - margin)
        found = (kept, excess(kept))
        if found[1] > 1:
            high = found
        else:
            low, measured = found, True
            if found[1] >= _NEAR:
                break
    return low[0] if measured or excess(lowest) <= 1 else None
