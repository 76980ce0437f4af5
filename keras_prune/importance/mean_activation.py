"""Mean activation: a channel whose values are small matters little (Molchanov et al. 2017, section 2.2)."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding
    from keras_prune.channels.measure import Statistics


def mean_activation(binding: "Binding", statistics: "Statistics") -> np.ndarray | None:
    """Mean of |y| over samples and positions, y the values of the channel that the next layer reads.

    A single weight scores its |w| times that of what it reads, relative to the mean over all that its layer reads.
    """
    read = statistics.activations(binding)
    return None if read is None else read.magnitude
