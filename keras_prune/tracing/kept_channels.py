"""`Kept`: which channels are kept, from which sizes are computed when a model is counted or rebuilt."""

import numpy as np

from keras_prune.tracing.labels import collapse


class Kept:
    """The channels that are kept.

    Args:
        keep: Boolean array: for each atom whether it is kept.
    """

    def __init__(self, keep: np.ndarray):
        self._keep = np.append(keep, True)  # the label FIXED is -1: the last entry

    def mask(self, labels: np.ndarray) -> np.ndarray:
        """Return whether each entry is kept."""
        return self._keep[labels]

    def count(self, labels: np.ndarray) -> int:
        """Return how many entries of a vector of labels are kept."""
        return int(np.count_nonzero(self.mask(labels)))

    def shape(self, labels: np.ndarray) -> tuple[int, ...]:
        """Return the shape of a tensor with these labels once the others are removed."""
        mask = self.mask(collapse([labels])[0])
        if mask.all():
            return labels.shape
        sizes = list(labels.shape)
        for axis in range(labels.ndim):
            if mask.shape[axis] > 1:
                sizes[axis] = int(np.count_nonzero(mask.any(axis=tuple(i for i in range(mask.ndim) if i != axis))))
        return tuple(sizes)
