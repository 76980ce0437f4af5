"""Statistics of the inputs of a layer: no activations are kept."""

import dataclasses

import numpy as np

from tflite_export.reporting import Shown


@dataclasses.dataclass(frozen=True, eq=False)
class ActivationStats(Shown):
    """Statistics of the inputs of a layer at each position along an axis of its weight, over all samples and all places
    in the image or sequence.

    Args:
        magnitude: Float array: mean of the absolute values.
        norm: Float array: root of the mean of the squares, the Euclidean norm except for a factor that all positions
            share.
        off: Float array: the fraction of the values that are zero or below.
    """

    magnitude: np.ndarray
    norm: np.ndarray
    off: np.ndarray
