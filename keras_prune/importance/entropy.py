"""Entropy: a channel whose value is nearly always the same tells little (Luo and Wu 2017, "An entropy-based pruning
method for CNN compression")."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding
    from keras_prune.channels.measure import Statistics


def entropy(binding: "Binding", statistics: "Statistics", bins: int = 32) -> np.ndarray | None:
    """Entropy, in nats, of the mean value of a channel in a sample, over samples, in bins of equal width.

    The bins span the values of all channels of the layer: with a range of its own, a channel of tiny values would tell
    as much as one of large values.
    """
    samples = statistics.samples(binding)
    if samples is None:
        return None
    low, high = samples.min(), samples.max()
    if low == high:
        return np.zeros(samples.shape[1])
    index = np.minimum(((samples - low) / (high - low) * bins).astype(int), bins - 1)
    counts = np.stack([np.count_nonzero(index == each, axis=0) for each in range(bins)])
    share = counts / len(index)
    return -(share * np.log(np.where(share > 0, share, 1))).sum(axis=0)
