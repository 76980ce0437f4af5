"""Scores, ranks, and the boundary between removed and kept: the same for weights, channels and layers."""

import dataclasses

import numpy as np

from tflite_export.reporting import Shown


def ranks(scores: np.ndarray) -> np.ndarray:
    """Return the rank of each score, 1 = lowest, so removed first; of equal scores the last has the lowest rank.

    Args:
        scores: Float array of any shape.

    Returns:
        Integers of the same shape.
    """
    flat = scores.reshape(-1)
    found = np.empty(flat.size, np.int64)
    found[np.lexsort((-np.arange(flat.size), flat))] = np.arange(1, flat.size + 1)
    return found.reshape(scores.shape)


@dataclasses.dataclass(frozen=True)
class Cut(Shown):
    """Boundary between the scores of what was removed and of what was kept.

    Args:
        removed: How many were removed.
        kept: How many were kept.
        highest_removed: The highest score of those removed; None if none was.
        lowest_kept: The lowest score of those kept; None if none was.
        overlap: How many of those removed are not among as many lowest scores. 0: the scores alone explain it.
    """

    removed: int
    kept: int
    highest_removed: float | None
    lowest_kept: float | None
    overlap: int

    @property
    def threshold(self) -> float | None:
        """The score from which on everything was kept, if the scores explain what was removed; else None."""
        return None if self.overlap or not self.removed else self.lowest_kept


def find_cut(scores: np.ndarray, pruned: np.ndarray) -> Cut:
    """Compare the scores of what was removed and what was kept.

    Args:
        scores: Vector of floats.
        pruned: Boolean vector of the same length: what was removed.
    """
    removed, kept = scores[pruned], scores[~pruned]
    overlap = 0
    if removed.size and kept.size:
        edge = np.partition(scores, removed.size - 1)[removed.size - 1]
        overlap = int(np.count_nonzero(removed > edge))
    return Cut(
        removed=removed.size,
        kept=kept.size,
        highest_removed=float(removed.max()) if removed.size else None,
        lowest_kept=float(kept.min()) if kept.size else None,
        overlap=overlap,
    )


def score_text(score: float | None) -> str:
    """Return a score with four digits; a dash if there is none."""
    return "-" if score is None else f"{score:.4g}"


def positions_text(positions: tuple[int, ...], limit: int = 12) -> str:
    """Return positions in short: "0-3, 7"; after some ranges only how many more there are."""
    ranges: list[list[int]] = []
    for position in positions:
        if ranges and position == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], position]
        else:
            ranges.append([position])
    text = ", ".join("-".join(map(str, each)) for each in ranges[:limit])
    rest = sum(each[-1] - each[0] + 1 for each in ranges[limit:])
    return text + (f", and {rest} more" if rest else "")
