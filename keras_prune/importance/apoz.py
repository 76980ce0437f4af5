"""APoZ, the average percentage of zeros: a channel that is mostly off matters little (Hu et al. 2016, "Network
trimming")."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding
    from keras_prune.channels.measure import Statistics


def apoz(binding: "Binding", statistics: "Statistics") -> np.ndarray | None:
    """One minus the fraction of zeros among the values that the next layer reads, so that higher = keep.

    Values below zero count as zeros: after ReLU there are none, and of other activations (GELU, SiLU) they are the
    side on which a channel is off. After sigmoid, which is never off, all channels score 1.
    A single weight scores its |w| times that of what it reads, relative to the mean over all that its layer reads.
    """
    read = statistics.activations(binding)
    return None if read is None else 1 - read.off
