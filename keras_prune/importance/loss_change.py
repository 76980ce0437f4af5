"""Loss change: what the loss really does without a channel (the oracle of Molchanov et al. 2017, section 2.1)."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding
    from keras_prune.channels.measure import Statistics


def loss_change(binding: "Binding", statistics: "Statistics") -> np.ndarray | None:
    """|loss with zeros in the weights that read the channel - loss|, over all the data.

    Each channel costs one evaluation of the model: pass a few hundred samples, not the training set.
    """
    return np.abs(statistics.loss_changes(binding)) if binding.role == "in" else None
