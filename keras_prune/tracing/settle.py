"""The labels that rules return, in the shapes that tensors have."""

from collections.abc import Sequence

import numpy as np

from keras_prune.tracing.labels import Planes, label_shape
from keras_prune.tracing.rule_context import Unsupported


def settle(labels: np.ndarray | Planes, shape: Sequence[int | None]) -> list[np.ndarray]:
    """Return the label arrays that a rule returned for a tensor, in the shape they must have.

    Raises:
        Unsupported: They do not fit: the tensor has unknown sizes.
    """
    return [_settle(each, shape) for each in (labels.arrays if isinstance(labels, Planes) else [labels])]


def _settle(labels: np.ndarray, shape: Sequence[int | None]) -> np.ndarray:
    labels = np.asarray(labels)
    wanted = label_shape(shape)
    if labels.ndim == len(wanted):
        for axis, size in enumerate(shape):
            if size is None and labels.shape[axis] > 1:
                first = labels.take([0], axis=axis)
                if not (labels == first).all():
                    break
                labels = first
    if labels.shape != wanted:
        raise Unsupported("sizes are involved that are unknown before the model runs")
    return labels
