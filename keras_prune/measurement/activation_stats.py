"""What a layer reads, condensed: no activations are kept."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class ActivationStats:
    """What a layer reads at each position along an axis of its weight, over samples and places in the image or
    sequence.

    Args:
        magnitude: Mean of the absolute values.
        norm: Root of the mean of the squares: the Euclidean norm, but for a factor that all positions share.
        off: The fraction of the values that are zero or below.
    """

    magnitude: np.ndarray
    norm: np.ndarray
    off: np.ndarray
