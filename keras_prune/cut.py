"""Exact selection by counting: which scores are the `keep` highest of one or several arrays.

No array is sorted and nothing is concatenated. A sample brackets the wanted score, one pass counts what lies above the
bracket and collects the few scores inside it, and a partial sort of those few gives the exact answer. That is many
times faster than sorting, and it stays fast when most of the scores are equal, as they are once a model is pruned.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

SAMPLE = 1 << 17  # scores that bracket the cut
BLOCK = 1 << 15  # scores that are looked at together, so that they stay in the processor's cache


@dataclasses.dataclass(frozen=True)
class LazyScores:
    """Scores that are computed when asked for, so that several arrays can be searched with one in memory.

    Args:
        size: Number of scores.
        compute: Function without arguments that returns a float array of `size` scores, without NaN.
    """

    size: int
    compute: Callable[[], np.ndarray]

    def flat(self) -> np.ndarray:
        return self.compute().reshape(-1)


@dataclasses.dataclass(frozen=True)
class Cut:
    """The line between kept and pruned scores.

    Args:
        value: Scores above it are kept.
        ties: How many scores equal to `value` are kept, in the order of their positions.
    """

    value: float
    ties: int

    def split(self, scores: np.ndarray) -> tuple[np.ndarray, "Cut"]:
        """Returns the boolean mask of `scores` (True = kept), and the cut for the arrays that follow."""
        mask = scores > self.value
        flat, ties = scores.reshape(-1), self.ties
        for start in range(0, flat.size, BLOCK):
            if not ties:
                break
            equal = np.flatnonzero(flat[start : start + BLOCK] == self.value)[:ties]
            mask.reshape(-1)[start + equal] = True
            ties -= equal.size
        return mask, Cut(self.value, ties)


def count_kept(size: int, sparsity: float) -> int:
    """How many of `size` weights stay at `sparsity`: rounded, and never none (as in TensorFlow Model Optimization)."""
    return max(round(size * (1.0 - sparsity)), 1) if size else 0


def find_cut(arrays: Sequence[LazyScores], keep: int) -> Cut:
    """Finds the cut that keeps exactly `keep` scores of all arrays together.

    Args:
        arrays: The scores. NaN is refused; infinities are scores like others.
        keep: Number of scores to keep, at least 1 and at most all of them.

    Returns:
        The `Cut`; apply it with `Cut.split` to the arrays in the same order.

    Raises:
        ValueError: A score is NaN.
    """
    low, high = _bracket(arrays, keep)
    while True:
        over, inside = _count(arrays, low, high)
        if over < keep <= over + inside.size:
            rank = keep - over  # the cut is the rank-th highest score inside the bracket
            inside.partition(inside.size - rank)
            value = inside[inside.size - rank]
            return Cut(float(value), int(rank - np.count_nonzero(inside > value)))
        # The cut may be one of the ends (many equal scores), else the sample was unlucky: open the side that missed.
        if keep <= over:
            above = over - _count_equal(arrays, high)
            if above < keep:
                return Cut(float(high), keep - above)
            high = np.inf
        else:
            rank = keep - over - inside.size
            if low < high and rank <= _count_equal(arrays, low):
                return Cut(float(low), rank)
            low = -np.inf


def _bracket(arrays: Sequence[LazyScores], keep: int) -> tuple[float, float]:
    """Two scores between which the wanted one very likely lies."""
    size = sum(array.size for array in arrays)
    if size <= SAMPLE:
        return -np.inf, np.inf
    # Odd, so that it meets every channel of the usual layouts, whose widths are even; and the sample small beside the
    # scores, which take memory enough.
    stride = max(size // SAMPLE, 8) | 1
    sample = np.concatenate([array.flat()[::stride].copy() for array in arrays])  # views would keep all in memory
    rank = keep / size * sample.size
    margin = 2.0 * np.sqrt(sample.size)  # four standard deviations of a sampled rank, at its widest
    bottom, top = int(sample.size - rank - margin), int(sample.size - rank + margin)
    ends = np.clip((bottom, top), 0, sample.size - 1)
    sample.partition(ends)
    low = sample[bottom] if bottom >= 0 else -np.inf
    high = sample[top] if top < sample.size else np.inf
    return low, high


def _count(arrays: Sequence[LazyScores], low: float, high: float) -> tuple[int, np.ndarray]:
    """The number of scores at or above `high`, and the scores strictly between `low` and `high`."""
    over, inside = 0, []
    for array in arrays:
        flat = array.flat()
        for start in range(0, flat.size, BLOCK):
            block = flat[start : start + BLOCK]
            if np.isnan(block.max()):
                raise ValueError(
                    "Cannot rank weights by scores that are not numbers: no score may be NaN. "
                    "Did the training diverge? Received: scores with NaN"
                )
            under_high = block < high
            over += block.size - int(np.count_nonzero(under_high))
            under_high &= block > low
            inside.append(block[under_high])
        del flat, block  # the scores of this array, before those of the next or the copies inside the bracket
    return over, np.concatenate(inside)


def _count_equal(arrays: Sequence[LazyScores], value: float) -> int:
    return sum(int(np.count_nonzero(array.flat() == value)) for array in arrays)
