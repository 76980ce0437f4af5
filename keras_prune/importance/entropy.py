"""Entropy: a channel whose value is nearly always the same tells little (Luo and Wu 2017, "An entropy-based pruning
method for CNN compression")."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_prune.channels.binding import Binding
    from keras_prune.channels.measure import Statistics


def entropy(binding: "Binding", statistics: "Statistics", bins: int = 32) -> np.ndarray | None:
    """Entropy, in nats, of the mean value of a channel in a sample, over the samples, in bins of equal width.

    As in the paper the bins span the values of the channel itself, so its scale does not matter. A channel that is the
    same in all samples, but for rounding, has entropy 0.

    A single weight scores its |w| times that of what it reads, relative to the mean over all that its layer reads.
    """
    samples = statistics.samples(binding)
    if samples is None:
        return None
    low, high = samples.min(axis=0), samples.max(axis=0)
    width = np.where(high - low > 1e-5 * np.abs(samples).max(axis=0), high - low, np.inf)
    index = np.minimum(((samples - low) / width * bins).astype(int), bins - 1)
    share = np.stack([np.mean(index == each, axis=0) for each in range(bins)])
    return -(share * np.log(np.where(share > 0, share, 1))).sum(axis=0)
