"""Scores, ranks, and where they were cut: the same for weights, channels and layers."""

import dataclasses

import numpy as np


def ranks(scores: np.ndarray) -> np.ndarray:
    """The rank of each score, 1 = lowest, so the first to go; of equal ones the last goes first.

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
class Cut:
    """Where the scores of what went end, and where those of what stayed begin.

    Args:
        removed: How many went.
        kept: How many stayed.
        highest_removed: The highest score of those that went; None if none did.
        lowest_kept: The lowest score of those that stayed; None if none did.
        overlap: How many of those that went are not among as many lowest scores. 0: the scores alone explain it.
    """

    removed: int
    kept: int
    highest_removed: float | None
    lowest_kept: float | None
    overlap: int

    @property
    def threshold(self) -> float | None:
        """The score from which on everything stayed, if the scores explain what went; else None."""
        return None if self.overlap or not self.removed else self.lowest_kept


def find_cut(scores: np.ndarray, gone: np.ndarray) -> Cut:
    """Compares the scores of what went and what stayed.

    Args:
        scores: Vector of floats.
        gone: For each, whether it went.
    """
    went, stayed = scores[gone], scores[~gone]
    overlap = 0
    if went.size and stayed.size:
        edge = np.partition(scores, went.size - 1)[went.size - 1]
        overlap = int(np.count_nonzero(went > edge))
    return Cut(
        removed=went.size,
        kept=stayed.size,
        highest_removed=float(went.max()) if went.size else None,
        lowest_kept=float(stayed.min()) if stayed.size else None,
        overlap=overlap,
    )


def score_text(score: float | None) -> str:
    """A score with four digits; a dash if there is none."""
    return "-" if score is None else f"{score:.4g}"


def positions_text(positions: tuple[int, ...], limit: int = 12) -> str:
    """Positions in short: "0-3, 7"; after some ranges only how many more there are."""
    ranges: list[list[int]] = []
    for position in positions:
        if ranges and position == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], position]
        else:
            ranges.append([position])
    text = ", ".join("-".join(map(str, each)) for each in ranges[:limit])
    rest = sum(each[-1] - each[0] + 1 for each in ranges[limit:])
    return text + (f", and {rest} more" if rest else "")
