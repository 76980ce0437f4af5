"""`Percentile`: prunes exactly the fraction of lowest scores, of each array or of all together."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np

from keras_prune.selection.base import Candidate, Selection
from keras_prune.selection.top_k import Cut, LazyScores, count_kept, find_cut, keep_highest
from keras_prune.validation import check_choice, check_number

Fetch = Callable[[], Candidate]


@dataclasses.dataclass(frozen=True)
class Percentile(Selection):
    """Selection that keeps the highest scores: exactly `max(round(size * (1 - sparsity)), 1)` weights, ties broken by
    position.

    Args:
        scope: `"layer"` prunes every weight array to the target sparsity. `"global"` ranks the weights of all arrays
            together, so layers with small scores are pruned more. Defaults to `"layer"`.
        normalize: With `"global"`: divide the scores of each array by their `"mean"` or `"max"` (over the weights that
            are not yet pruned) first, so that arrays of different scale can be compared; or `"none"`. Defaults to
            `"none"`.
        max_layer_sparsity: With `"global"`: the highest sparsity of an array, in (0, 1]; others are pruned more
            instead. Defaults to 1: an array may be pruned completely.

    Raises:
        ValueError: Another scope or normalisation, a `max_layer_sparsity` outside (0, 1], or either of the two with
            `"layer"`; when masks are chosen, a target sparsity above `max_layer_sparsity`.

    Example:

    ```python
    selection = Percentile(scope="global", normalize="mean", max_layer_sparsity=0.98)
    callback = PruningSchedule(ConstantSparsity(0.5), selection=selection)
    ```
    """

    scope: Literal["layer", "global"] = "layer"
    normalize: Literal["none", "mean", "max"] = "none"
    max_layer_sparsity: float = 1.0

    def __post_init__(self) -> None:
        check_choice(self.scope, "scope", ("layer", "global"))
        check_choice(self.normalize, "normalize", ("none", "mean", "max"))
        cap = check_number(self.max_layer_sparsity, "max_layer_sparsity", 0, 1, above=True)
        object.__setattr__(self, "max_layer_sparsity", cap)
        if self.scope == "layer" and (self.normalize != "none" or cap < 1):
            raise ValueError(
                f'`normalize` and `max_layer_sparsity` compare arrays, so they need scope="global". Received: {self!r}'
            )

    @property
    def max_sparsity(self) -> float | None:  # type: ignore[override]
        return self.max_layer_sparsity if self.max_layer_sparsity < 1 else None

    def select(self, candidates: Sequence[Fetch], sparsity: float, step: int) -> Iterator[np.ndarray]:
        if self.scope == "layer":
            return (_keep_highest(fetch(), sparsity) for fetch in candidates)
        return self._among_all(candidates, sparsity)

    def _among_all(self, candidates: Sequence[Fetch], sparsity: float) -> Iterator[np.ndarray]:
        arrays = [self._array(fetch) for fetch in candidates]
        keep = count_kept(sum(array.size for array in arrays), sparsity)
        if keep >= sum(array.kept for array in arrays):  # already at the target sparsity
            return (fetch().kept for fetch in candidates)
        return self._cut(arrays, keep)

    def _array(self, fetch: Fetch) -> "_Array":
        candidate = fetch()
        scale = 1.0
        if self.normalize != "none":
            scores = np.abs(candidate.scores()[candidate.kept])
            value = float(getattr(scores, self.normalize)()) if scores.size else 0.0
            scale = 1.0 / value if value > 0 else 1.0
        size, kept = candidate.kept.size, int(np.count_nonzero(candidate.kept))
        least = min(size - math.floor(self.max_layer_sparsity * size + 1e-9), kept)
        # Computed again in each pass: the scores of a whole model would take as much memory as the model.
        return _Array(size, kept, least, LazyScores(size, lambda: fetch().ranked(scale)))

    def _cut(self, arrays: Sequence["_Array"], keep: int) -> Iterator[np.ndarray]:
        """Arrays that would keep fewer than `least` keep so many, and the others share the rest, until all hold."""
        free = list(arrays)
        if self.max_layer_sparsity < 1:
            while True:
                cut = _cut_of(free, keep)
                short = [array for array, kept in zip(free, _counts(free, cut), strict=True) if kept < array.least]
                if not short:
                    break
                keep -= sum(array.least for array in short)
                free = [array for array in free if array not in short]
        shared = _cut_of(free, keep)

        def mask(array: _Array) -> np.ndarray:
            nonlocal shared
            if array not in free:
                return keep_highest(array.scores.compute(), array.least)
            chosen, shared = shared.split(array.scores.compute())
            return chosen

        return map(mask, arrays)  # which holds no mask while the next is made


@dataclasses.dataclass(frozen=True, eq=False)
class _Array:
    size: int
    kept: int  # so far
    least: int  # that must be kept
    scores: LazyScores


def _cut_of(arrays: Sequence[_Array], keep: int) -> Cut:
    return find_cut([array.scores for array in arrays], keep) if keep > 0 else Cut(math.inf, 0)


def _counts(arrays: Sequence[_Array], cut: Cut) -> Iterator[int]:
    for array in arrays:
        mask, cut = cut.split(array.scores.compute())
        yield int(np.count_nonzero(mask))


def _keep_highest(candidate: Candidate, sparsity: float) -> np.ndarray:
    keep = count_kept(candidate.kept.size, sparsity)
    if keep >= np.count_nonzero(candidate.kept):
        return candidate.kept
    return keep_highest(candidate.ranked(), keep)
