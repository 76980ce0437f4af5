"""SNIP: how much the loss depends on a weight, or a channel, being there (Lee et al. 2019, "SNIP: single-shot network
pruning based on connection sensitivity")."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding
    from keras_prune.channels.measure import Statistics


def snip(binding: "Binding", statistics: "Statistics") -> np.ndarray | None:
    """|mean over the batches of Σ w·∂loss/∂w|, the sum over all weights that read the channel; of a single weight,
    |w·∂loss/∂w| with the gradient over all the data.

    It is meant for a model before training, ranked over all layers together.
    """
    return np.abs(statistics.mean_effect(binding, np.asarray)) if binding.role == "in" else None
