"""Fisher: the change of the loss without a channel or a weight, to second order, at a minimum of the loss (Theis et al.
2018, "Faster gaze prediction with dense networks and Fisher pruning")."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding
    from keras_prune.channels.measure import Statistics


def fisher(binding: "Binding", statistics: "Statistics") -> np.ndarray | None:
    """Half the mean over the batches of (Σ w·∂loss/∂w)², the sum over all weights that read the channel.

    A single weight scores half the mean of (w·∂loss/∂w)². The paper takes the mean over single samples: pass batches of
    one for that. In larger ones the gradients of the samples are averaged before they are squared.
    """
    return statistics.mean_effect(binding, np.square) / 2 if binding.role == "in" else None
