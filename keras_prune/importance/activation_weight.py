"""Activation-weight product: how much a weight, or a channel through the weights that read it, adds to what follows.
Wanda is the same with another mean of the activations."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding
    from keras_prune.channels.measure import Statistics


def activation_weight(binding: "Binding", statistics: "Statistics") -> np.ndarray | None:
    """Σ |w|·|y|: the mean of |y| over samples and positions, times the sum of |w| over the weights that read y. Of a
    single weight, its own |w|·|y|."""
    read = statistics.activations(binding)
    return None if read is None else read.magnitude * np.abs(binding.slices()).sum(axis=1)
