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

    def shape(self, *planes: np.ndarray) -> tuple[int, ...]:
        """Return the shape of a tensor with these labels once the others are removed.

        Args:
            *planes: Its labels; several, where its channels lie along several axes: see `Planes`.
        """
        sizes = list(planes[0].shape)
        for axis, mask in self.along_axes(*planes).items():
            sizes[axis] = int(np.count_nonzero(mask))
        return tuple(sizes)

    def along_axes(self, *planes: np.ndarray) -> dict[int, np.ndarray]:
        """Return, for each axis along which something is removed, which positions are kept."""
        found: dict[int, np.ndarray] = {}
        for labels in planes:
            mask = self.mask(collapse([labels])[0])
            for axis in () if mask.all() else range(labels.ndim):
                kept = np.asarray(mask.any(axis=tuple(i for i in range(mask.ndim) if i != axis)))
                if mask.shape[axis] > 1 and not kept.all():
                    found[axis] = kept
        return found
