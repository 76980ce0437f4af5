"""Criteria that need data: they weigh a weight, or a channel, with the activations that it is multiplied by."""

import numpy as np

from keras_prune.importance.protocols import ChannelOnlyStatistics, Statistics, Unit


def mean_activation(unit: Unit, statistics: Statistics) -> np.ndarray | None:
    """Mean activation: mean of |y| over samples and positions, y the values of the channel that the next layer reads
    (Molchanov et al. 2017, section 2.2).

    A single weight scores its |w| times that of its input, relative to the mean over all inputs of its layer.
    """
    read = statistics.activations(unit)
    return None if read is None else read.magnitude


def apoz(unit: Unit, statistics: Statistics) -> np.ndarray | None:
    """APoZ: one minus the average percentage of zeros among the values that the next layer reads, so that higher = keep
    (Hu et al. 2016, "Network trimming").

    Values below zero count as zeros: after ReLU there are none, and of other activations (GELU, SiLU) they are the
    side on which a channel is off. After sigmoid, which is never off, all channels score 1.
    A single weight scores its |w| times that of its input, relative to the mean over all inputs of its layer.
    """
    read = statistics.activations(unit)
    return None if read is None else 1 - read.off


def entropy(unit: Unit, statistics: Statistics, bins: int = 32) -> np.ndarray | None:
    """Entropy, in nats, of the mean value of a channel in a sample, over the samples, in bins of equal width (Luo and
    Wu 2017, "An entropy-based pruning method for CNN compression").

    As in the paper the bins span the values of the channel itself, so its scale does not matter. A channel that is the
    same in all samples, except for rounding, has entropy 0.

    A single weight scores its |w| times that of its input, relative to the mean over all inputs of its layer.
    """
    samples = statistics.samples(unit)
    if samples is None:
        return None
    low, high = samples.min(axis=0), samples.max(axis=0)
    width = np.where(high - low > 1e-5 * np.abs(samples).max(axis=0), high - low, np.inf)
    index = np.minimum(((samples - low) / width * bins).astype(int), bins - 1)
    share = np.stack([np.mean(index == each, axis=0) for each in range(bins)])
    return -(share * np.log(np.where(share > 0, share, 1))).sum(axis=0)


def activation_weight(unit: Unit, statistics: Statistics) -> np.ndarray | None:
    """Activation-weight product: mean of |y| over samples and positions, times the sum of |w| over the weights that
    read y. Of a single weight, its own |w|·|y|. Wanda is the same with another mean of the activations."""
    read = statistics.activations(unit)
    return None if read is None else read.magnitude * np.abs(unit.slices()).sum(axis=1)


def wanda(unit: Unit, statistics: Statistics) -> np.ndarray | None:
    """Wanda: |w|·‖y‖ of a weight, ‖y‖ the Euclidean norm of its input over samples and positions; of a channel, summed
    over the weights that read it (Sun et al. 2023, "A simple and effective pruning approach for large language
    models").

    The paper ranks the weights of each output by themselves; here they are ranked as the selection says.
    """
    read = statistics.activations(unit)
    return None if read is None else read.norm * np.abs(unit.slices()).sum(axis=1)


def reconstruction(unit: Unit, statistics: ChannelOnlyStatistics) -> np.ndarray | None:
    """Reconstruction: the channels of a group are taken away one by one, each time the one without which least squares
    can restore most of what the layers that read it give; the score of a channel is the error once it is gone, relative
    to the sum of squares of the outputs (the order of Hassibi and Stork 1993, for what He et al. 2017 compensate).
    """
    return statistics.errors_without(unit)
