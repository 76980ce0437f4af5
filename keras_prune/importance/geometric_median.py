"""FPGM: filters near the geometric median of their layer can be replaced by the others (He et al. 2019, "Filter pruning
via geometric median")."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding

_BLOCK = 1024  # rows of distances at once


def fpgm(binding: "Binding") -> np.ndarray | None:
    """Sum of the Euclidean distances to all filters of the layer: the least is nearest to their geometric median."""
    if not binding.makes:
        return None
    filters = binding.slices().astype(np.float64)
    squares = np.square(filters).sum(axis=1)
    sums = []
    for start in range(0, len(filters), _BLOCK):
        block = slice(start, start + _BLOCK)
        distances = squares[block, None] + squares - 2 * filters[block] @ filters.T
        sums.append(np.sqrt(np.maximum(distances, 0)).sum(axis=1))
    return np.concatenate(sums)
