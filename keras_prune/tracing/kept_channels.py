"""Which channels are kept: what sizes are computed from when a model is counted or rebuilt."""

import numpy as np

from keras_prune.tracing.labels import collapse


class Kept:
    """Which channels are kept.

    Args:
        keep: True or False for each atom.
    """

    def __init__(self, keep: np.ndarray):
        self._keep = np.append(keep, True)  # the label FIXED is -1: the last entry

    def mask(self, labels: np.ndarray) -> np.ndarray:
        """Whether each entry stays."""
        return self._keep[labels]

    def count(self, labels: np.ndarray) -> int:
        """How many entries of a vector of labels stay."""
        return int(np.count_nonzero(self.mask(labels)))

    def shape(self, labels: np.ndarray) -> tuple[int, ...]:
        """The shape that a tensor with these labels has left."""
        mask = self.mask(collapse([labels])[0])
        if mask.all():
            return labels.shape
        sizes = list(labels.shape)
        for axis in range(labels.ndim):
            if mask.shape[axis] > 1:
                sizes[axis] = int(np.count_nonzero(mask.any(axis=tuple(i for i in range(mask.ndim) if i != axis))))
        return tuple(sizes)
