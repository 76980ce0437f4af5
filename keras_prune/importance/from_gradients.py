"""Criteria that need data and a loss, and movement, which training adds up."""

import numpy as np

from keras_prune.importance.protocols import Statistics, Unit, WeightOnlyStatistics


def movement(unit: Unit, statistics: WeightOnlyStatistics) -> np.ndarray:
    """Movement: -Σ w·∂loss/∂w over the training steps. Weights that training moves away from zero matter (Sanh et al.
    2020, "Movement pruning: adaptive sparsity by fine-tuning"). The paper's factor of the learning rate, which all
    weights share, is left out."""
    return statistics.movement(unit)


def gradient(unit: Unit, statistics: WeightOnlyStatistics) -> np.ndarray:
    """Gradient magnitude: mean over the batches of |∂loss/∂w|."""
    return statistics.mean_gradient(unit, np.abs)


def taylor(unit: Unit, statistics: Statistics) -> np.ndarray | None:
    """Taylor: the change of the loss without a channel or a weight, to first order: mean over the batches of
    |Σ w·∂loss/∂w|, the sum over all weights that read the channel (Molchanov et al. 2017, "Pruning convolutional neural
    networks for resource efficient inference"; 2019, "Importance estimation for neural network pruning").

    A single weight scores the mean of |w·∂loss/∂w|. For a layer that is linear in its inputs the sum is Σ y·∂loss/∂y,
    over positions: the paper's, of activations. It takes the mean over single samples: pass batches of one for that.
    """
    return statistics.mean_effect(unit, np.abs) if unit.role == "in" else None


def snip(unit: Unit, statistics: Statistics) -> np.ndarray | None:
    """SNIP: |mean over the batches of Σ w·∂loss/∂w|, the sum over all weights that read the channel; of a single
    weight, |w·∂loss/∂w| with the gradient over all the data (Lee et al. 2019, "SNIP: single-shot network pruning based
    on connection sensitivity").

    It is meant for a model before training, ranked over all layers together.
    """
    return np.abs(statistics.mean_effect(unit, np.asarray)) if unit.role == "in" else None


def fisher(unit: Unit, statistics: Statistics) -> np.ndarray | None:
    """Fisher: the change of the loss without a channel or a weight, to second order, at a minimum of the loss: half the
    mean over the batches of (Σ w·∂loss/∂w)², the sum over all weights that read the channel (Theis et al. 2018, "Faster
    gaze prediction with dense networks and Fisher pruning").

    A single weight scores half the mean of (w·∂loss/∂w)². The paper takes the mean over single samples: pass batches of
    one for that. In larger ones the gradients of the samples are averaged before they are squared.
    """
    return statistics.mean_effect(unit, np.square) / 2 if unit.role == "in" else None


def loss_change(unit: Unit, statistics: Statistics) -> np.ndarray | None:
    """Loss change: |loss with zeros in the weights that read the channel - loss|, over all the data (the oracle of
    Molchanov et al. 2017, section 2.1).

    Each channel costs one evaluation of the model: pass a few hundred samples, not the training set.
    """
    return np.abs(statistics.loss_changes(unit)) if unit.role == "in" else None
