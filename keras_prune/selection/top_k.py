"""Exact top-k by counting: which scores are the `keep` highest of one or several arrays.

No array is sorted and nothing is concatenated. A sample brackets the wanted score, one pass counts what lies above the
bracket and collects the few scores inside it, and a partial sort of those few gives the exact answer. That is many
times faster than sorting, and it stays fast when most of the scores are equal, as they are once a model is pruned.

A pass processes an array in blocks that fit in the processor's cache. Scores that are a function of single values are
computed there, block by block, and never all held in memory.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

SAMPLE = 1 << 16  # scores that bracket the cut
BLOCK = 1 << 15  # scores that are processed together, so that they fit in the processor's cache


@dataclasses.dataclass(frozen=True)
class Scores:
    """The scores of one array.

    Args:
        values: Float array of any shape, without NaN. It is only read.
        kept: Boolean array of the same shape: entries that are False are never kept. None: all may be kept.
        function: Elementwise function of values that gives scores, called on parts of the array. None: the values are
            the scores.
        scale: Factor of the scores.
    """

    values: np.ndarray
    kept: np.ndarray | None = None
    function: Callable[[np.ndarray], np.ndarray] | None = None
    scale: float = 1.0

    @property
    def size(self) -> int:
        return self.values.size

    def blocks(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray | None]]:
        """The place of each block in the flat array, its scores, and which of them may be kept (None: all)."""
        flat, kept = self.values.reshape(-1), None if self.kept is None else self.kept.reshape(-1)
        for start in range(0, flat.size, BLOCK):
            place = slice(start, start + BLOCK)
            yield place, self._score(flat[place]), None if kept is None else kept[place]

    def sample(self, stride: int) -> np.ndarray:
        """A copy of each `stride`-th score, without those that are never kept."""
        values = self.values.reshape(-1)[::stride]
        if self.kept is not None:
            return self._score(values[self.kept.reshape(-1)[::stride]])
        return self._score(values.copy())  # a view would keep the whole array in memory

    def _score(self, values: np.ndarray) -> np.ndarray:
        scores = values if self.function is None else self.function(values)
        return scores if self.scale == 1.0 else scores * self.scale


@dataclasses.dataclass(frozen=True)
class LazyScores:
    """Scores that are fetched when needed, so that several arrays can be searched with one in memory.

    Args:
        size: Number of scores.
        compute: Function without arguments that returns them.
    """

    size: int
    compute: Callable[[], Scores]


@dataclasses.dataclass(frozen=True)
class Cut:
    """The line between kept and pruned scores.

    Args:
        value: Scores above it are kept.
        ties: How many scores equal to `value` are kept, in the order of their positions.
    """

    value: float
    ties: int

    def split(self, scores: Scores) -> tuple[np.ndarray, "Cut"]:
        """Returns the boolean mask of `scores` (True = kept), and the cut for the arrays that follow."""
        mask, ties = np.empty(scores.values.shape, bool), self.ties
        flat = mask.reshape(-1)
        for place, block, kept in scores.blocks():
            part = flat[place]
            np.greater(block, self.value, out=part)
            if kept is not None:
                part &= kept
            if ties:
                equal = np.flatnonzero(block == self.value)
                equal = (equal if kept is None else equal[kept[equal]])[:ties]
                part[equal] = True
                ties -= equal.size
        return mask, Cut(self.value, ties)


def count_kept(size: int, sparsity: float) -> int:
    """How many of `size` weights are kept at `sparsity`: rounded, at least 1 (as in TensorFlow Model Optimization)."""
    return max(round(size * (1.0 - sparsity)), 1) if size else 0


def keep_highest(scores: Scores, keep: int) -> np.ndarray:
    """Return the boolean mask (True = kept) of the `keep` highest scores of one array: the same as by `find_cut` and
    `Cut.split`, but mostly in one pass. It keeps the places of the scores inside the bracket, and the mask of others.

    Args:
        scores: The scores. NaN is refused; infinities are scores like others.
        keep: Number of scores to keep, at least 1 and at most all that may be kept.

    Raises:
        ValueError: A score is NaN.
    """
    arrays = [LazyScores(scores.size, lambda: scores)]
    low, high = _bracket(arrays, keep)
    mask = np.empty(scores.values.shape, bool)
    flat, over, inside, places = mask.reshape(-1), 0, [], []
    for place, block, kept in scores.blocks():
        _refuse_nan(block)
        part = np.greater_equal(block, high, out=flat[place])
        between = block > low
        if kept is not None:
            part &= kept
            between &= kept
        between ^= part
        found = np.flatnonzero(between)
        over += int(np.count_nonzero(part))
        inside.append(block[found])
        places.append(found + place.start)
    among, where = np.concatenate(inside), np.concatenate(places)
    if not (low < high and over < keep <= over + among.size):  # many equal scores, or an unlucky sample
        return find_cut(arrays, keep).split(scores)[0]
    cut = _cut_inside(among.copy(), keep - over)
    flat[where[among > cut.value]] = True
    flat[where[among == cut.value][: cut.ties]] = True
    return mask


def find_cut(arrays: Sequence[LazyScores], keep: int) -> Cut:
    """Find the cut that keeps exactly `keep` scores of all arrays together.

    Args:
        arrays: The scores. NaN is refused; infinities are scores like others.
        keep: Number of scores to keep, at least 1 and at most all that may be kept.

    Returns:
        The `Cut`; apply it with `Cut.split` to the arrays in the same order.

    Raises:
        ValueError: A score is NaN.
    """
    low, high = _bracket(arrays, keep)
    while True:
        over, inside = _count(arrays, low, high)
        if over < keep <= over + inside.size:
            return _cut_inside(inside, keep - over)
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


def _cut_inside(inside: np.ndarray, rank: int) -> Cut:
    """The cut at the rank-th highest of these scores, which are partly sorted in place."""
    inside.partition(inside.size - rank)
    value = inside[inside.size - rank]
    return Cut(float(value), int(rank - np.count_nonzero(inside > value)))


def _refuse_nan(block: np.ndarray) -> None:
    if np.isnan(block.max()):
        raise ValueError(
            "Cannot rank weights by scores that are not numbers: no score may be NaN. "
            "Did the training diverge? Received: scores with NaN"
        )


def _bracket(arrays: Sequence[LazyScores], keep: int) -> tuple[float, float]:
    """Two scores between which the wanted one very likely lies."""
    size = sum(array.size for array in arrays)
    if size <= SAMPLE:
        return -np.inf, np.inf
    # Odd, so that it meets every channel of the usual layouts, whose widths are even; and the sample small beside the
    # scores, which take memory enough.
    stride = max(size // SAMPLE, 8) | 1
    sample = np.concatenate([array.compute().sample(stride) for array in arrays])
    rank = keep / stride
    margin = 4.0 * np.sqrt(rank * (1 - keep / size)) + 1  # standard deviations of a sampled rank
    bottom, top = int(sample.size - rank - margin), max(int(sample.size - rank + margin), 0)
    ends = [end for end in (bottom, top) if 0 <= end < sample.size]
    if ends:
        sample.partition(ends)
    low = sample[bottom] if bottom in ends else -np.inf
    high = sample[top] if top in ends else np.inf
    return low, high


def _count(arrays: Sequence[LazyScores], low: float, high: float) -> tuple[int, np.ndarray]:
    """The number of scores at or above `high`, and the scores strictly between `low` and `high`."""
    over, inside = 0, []
    for array in arrays:
        for _, block, kept in array.compute().blocks():
            _refuse_nan(block)
            under_high = block < high
            if kept is not None:
                under_high &= kept
            over += (block.size if kept is None else int(np.count_nonzero(kept))) - int(np.count_nonzero(under_high))
            under_high &= block > low
            inside.append(block[under_high])
        del block, kept  # the scores of this array, before those of the next or the copies inside the bracket
    return over, np.concatenate(inside)


def _count_equal(arrays: Sequence[LazyScores], value: float) -> int:
    count = 0
    for array in arrays:
        for _, block, kept in array.compute().blocks():
            equal = block == value
            count += int(np.count_nonzero(equal if kept is None else equal & kept))
    return count
