"""Activation-weight product: how much a channel adds to what reads it. Wanda's |w|·‖y‖ (Sun et al. 2023, "A simple and
effective pruning approach for large language models"), summed over the weights that read a channel."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding
    from keras_prune.channels.measure import Statistics


def activation_weight(binding: "Binding", statistics: "Statistics") -> np.ndarray | None:
    """Σ |w|·|y|: the mean of |y| over samples and positions, times the sum of |w| over the weights that read y."""
    read = statistics.activations(binding)
    return None if read is None else read.magnitude * np.abs(binding.slices()).sum(axis=1)
