"""Taylor: the change of the loss without a channel, to first order (Molchanov et al. 2017, "Pruning convolutional
neural networks for resource efficient inference"; 2019, "Importance estimation for neural network pruning")."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding
    from keras_prune.channels.measure import Statistics


def taylor(binding: "Binding", statistics: "Statistics") -> np.ndarray | None:
    """Mean over the batches of |Σ w·∂loss/∂w|, the sum over all weights that read the channel.

    For a layer that is linear in what it reads the sum is Σ y·∂loss/∂y, over positions: the paper's, of activations.
    """
    return np.abs(statistics.effects(binding)).mean(axis=0) if binding.role == "in" else None
