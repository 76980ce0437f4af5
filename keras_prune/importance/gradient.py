"""Gradient magnitude: weights that the loss would move matter, however small they are."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.measure.weights import SingleWeights, WeightStatistics


def gradient(unit: "SingleWeights", statistics: "WeightStatistics") -> np.ndarray:
    """Mean over the batches of |∂loss/∂w|."""
    return statistics.mean_gradient(unit, np.abs)
