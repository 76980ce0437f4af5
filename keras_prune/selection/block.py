"""Block sparsity: blocks of weights are kept or pruned together, as runtimes with block-sparse kernels need."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np

from keras_prune.selection.base import Candidate, Selection
from keras_prune.selection.layout import Axes
from keras_prune.selection.top_k import Scores, count_kept, keep_highest
from keras_prune.validation import check_choice, check_pair


@dataclasses.dataclass(frozen=True)
class Block(Selection):
    """Selection that keeps the blocks of the highest pooled scores (Narang et al. 2017, "Block-sparse recurrent neural
    networks").

    A weight is divided as a matrix with its inputs as rows and its outputs as columns: that of Dense as it is, that of
    a convolution with all inputs of the first place in the window, then those of the second, and so on. Exactly
    `max(round(blocks * (1 - sparsity)), 1)` blocks are kept, ties broken by position. Blocks at the end of an axis may
    be smaller; they count as blocks.

    LiteRT stores Dense kernels transposed, so its 1x4 blocks are `Block((4, 1))` here: see `LITERT_1X4` (float32) and
    `LITERT_1X16` (int8).

    Args:
        shape: Rows (inputs) and columns (outputs) of a block, each at least 1.
        pooling: The score of a block: the `"mean"` or the `"max"` of the scores in it. Defaults to `"mean"`.

    Raises:
        ValueError: A shape that is not a pair of integers of at least 1, or another pooling.

    Example:

    ```python
    pruned = prune_weights(model, 0.5, selection=Block((4, 1)))
    ```
    """

    shape: tuple[int, int]
    pooling: Literal["mean", "max"] = "mean"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", check_pair(self.shape, "shape", minimum=1))
        check_choice(self.pooling, "pooling", ("mean", "max"))

    def select(self, candidates: Sequence[Callable[[], Candidate]], sparsity: float, step: int) -> Iterator[np.ndarray]:
        for fetch in candidates:
            yield self._mask(fetch(), sparsity)

    def _mask(self, candidate: Candidate, sparsity: float) -> np.ndarray:
        axes: Axes = candidate.form
        pooled = self._pool(axes.matrix(candidate.scores()), axes.matrix(candidate.kept))
        keep = count_kept(pooled.size, sparsity)
        kept = keep_highest(Scores(pooled), keep)
        rows, columns = self.shape
        matrix = axes.matrix(candidate.weight).shape
        entries = kept.repeat(rows, axis=0).repeat(columns, axis=1)[: matrix[0], : matrix[1]]
        return axes.restore(entries, candidate.weight.shape) & candidate.kept

    def _pool(self, scores: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """The score of each block, of its weights that are not pruned; blocks without any score lowest."""
        ends = [np.arange(0, size, step) for size, step in zip(scores.shape, self.shape, strict=True)]

        def reduce(operation: np.ufunc, values: np.ndarray) -> np.ndarray:
            return operation.reduceat(operation.reduceat(values, ends[0], axis=0), ends[1], axis=1)

        alive = reduce(np.logical_or, kept)
        if self.pooling == "max":
            pooled = reduce(np.maximum, scores)
        else:
            counts = np.multiply.outer(*(np.diff([*end, size]) for end, size in zip(ends, scores.shape, strict=True)))
            pooled = reduce(np.add, np.where(kept, scores, 0).astype(np.float64)) / counts
        return np.where(alive, pooled, -np.inf)


LITERT_1X4 = Block((4, 1))
LITERT_1X16 = Block((16, 1))
