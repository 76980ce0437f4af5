"""Wanda: a weight matters as much as what it is multiplied by (Sun et al. 2023, "A simple and effective pruning
approach for large language models")."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding
    from keras_prune.channels.measure import Statistics


def wanda(binding: "Binding", statistics: "Statistics") -> np.ndarray | None:
    """|w|·‖y‖ of a weight, ‖y‖ the Euclidean norm of what it reads over samples and positions; of a channel, summed
    over the weights that read it.

    The paper ranks the weights of each output by themselves; here they are ranked as the selection says.
    """
    read = statistics.activations(binding)
    return None if read is None else read.norm * np.abs(binding.slices()).sum(axis=1)
