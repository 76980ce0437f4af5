"""Patterns of masks that scores alone do not explain: n of every m weights, or whole blocks."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from keras_prune.selection import Block, Candidate, NByM, Selection
from keras_prune.selection.layout import Axes

_GROUPS = (4, 2, 8, 16)
_BLOCKS = ((16, 1), (1, 16), (8, 8), (4, 4), (8, 1), (1, 8), (4, 1), (1, 4), (2, 2), (2, 1), (1, 2))
_ENOUGH = 8  # groups or blocks: fewer may look like a pattern by chance


@dataclasses.dataclass(frozen=True)
class Pattern:
    """Pattern that a mask has.

    Args:
        selection: The selection that makes such masks.
        sparsity: The target at which it makes one of as many entries.
        text: What it is called.
    """

    selection: Selection
    sparsity: float
    text: str

    def explains(self, scores: np.ndarray, kept: np.ndarray, alive: np.ndarray, axes: Axes) -> bool:
        """Return whether the selection, with these scores, makes this very mask.

        Args:
            scores: Higher = keep.
            kept: The mask.
            alive: The mask before.
            axes: How the weight is a matrix.
        """
        candidate = Candidate(scores, np.array, alive, axes)  # the scores stand for the weight; a copy is overwritten
        (mask,) = self.selection.select([lambda: candidate], self.sparsity, 0)
        return bool(np.array_equal(mask, kept))


def find_patterns(kept: np.ndarray, axes: Axes) -> Iterator[Pattern]:
    """Yield the patterns that a mask has, the most specific first.

    Args:
        kept: The mask, True = kept, in the shape of the weight.
        axes: How the weight is a matrix.
    """
    rows = np.moveaxis(axes.cube(kept), 1, -1)  # window, outputs, inputs
    for m in _GROUPS:
        whole = rows.shape[-1] // m * m
        counts = rows[..., :whole].reshape(-1, m).sum(axis=1)
        if counts.size >= _ENOUGH and 0 < counts[0] < m and (counts == counts[0]).all():
            n = int(counts[0])
            yield Pattern(NByM(n, m), 1 - n / m, f"{n}:{m} pattern along the inputs")
    matrix = axes.matrix(kept)
    for shape in _BLOCKS:
        if matrix.shape[0] < shape[0] or matrix.shape[1] < shape[1]:
            continue
        blocks = matrix[:: shape[0], :: shape[1]]
        whole_blocks = blocks.repeat(shape[0], axis=0).repeat(shape[1], axis=1)
        few = min(np.count_nonzero(blocks), np.count_nonzero(~blocks)) < _ENOUGH
        if not few and np.array_equal(whole_blocks[: matrix.shape[0], : matrix.shape[1]], matrix):
            text = f"pattern of blocks of {shape[0]}x{shape[1]} (inputs x outputs)"
            yield Pattern(Block(shape), 1 - float(blocks.mean()), text)
