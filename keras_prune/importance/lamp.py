"""LAMP: what share a weight, or a filter, has of what is left without the smaller ones (Lee et al. 2021,
"Layer-adaptive sparsity for the magnitude-based pruning")."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding


def lamp(binding: "Binding") -> np.ndarray | None:
    """The square of a weight over the sum of its own and all larger ones of the layer; of a filter, the squared norm.

    In one layer the order is that of the magnitude, or norm. The largest filter of every layer scores 1, so layers can
    be compared: it is meant for `scope="global"`.
    """
    if not binding.makes:
        return None
    squares = np.square(binding.slices(), dtype=np.float64).sum(axis=1)
    order = np.argsort(squares, kind="stable")
    remaining = np.cumsum(squares[order][::-1])[::-1]
    scores = np.empty_like(squares)
    scores[order] = np.divide(squares[order], remaining, out=np.zeros_like(remaining), where=remaining > 0)
    return scores
