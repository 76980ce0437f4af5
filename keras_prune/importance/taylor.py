"""Taylor: the change of the loss without a channel or a weight, to first order (Molchanov et al. 2017, "Pruning
convolutional neural networks for resource efficient inference"; 2019, "Importance estimation for neural network
pruning")."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding
    from keras_prune.channels.measure import Statistics


def taylor(binding: "Binding", statistics: "Statistics") -> np.ndarray | None:
    """Mean over the batches of |Σ w·∂loss/∂w|, the sum over all weights that read the channel.

    A single weight scores the mean of |w·∂loss/∂w|. For a layer that is linear in what it reads the sum is Σ
    y·∂loss/∂y, over positions: the paper's, of activations. It takes the mean over single samples: pass batches of one
    for that.
    """
    return statistics.mean_effect(binding, np.abs) if binding.role == "in" else None
