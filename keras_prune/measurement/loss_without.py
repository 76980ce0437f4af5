"""The loss without each weight, by setting it to zero and evaluating: exact, and expensive."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_prune.masking.masked_weights import MaskedWeight
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.loss import compile_loss, mean_loss
from keras_prune.reporting.progress import track

MOST = 100_000  # evaluations


def change_of_each(
    model: keras.Model, weights: Mapping[int, MaskedWeight], batches: Batches, loss: Any, loss_weights: Any
) -> dict[int, np.ndarray]:
    """How much the loss rises with a zero in place of each weight.

    The batches are kept in memory, as every weight is evaluated on all of them.

    Args:
        model: A copy that may be compiled.
        weights: Weights of the copy, by any key.
        batches: Inputs and targets.
        loss: As `compile` takes it.
        loss_weights: Weights of the losses, as `compile` takes them.

    Returns:
        By the same key, an array of the shape of the weight; 0 where it is zero.

    Raises:
        ValueError: The loss cannot be computed or is not finite, or more than 100,000 weights are not zero.
    """
    values = {key: np.array(keras.ops.convert_to_numpy(each.weight.value)) for key, each in weights.items()}
    todo = [(key, place) for key, array in values.items() for place in np.flatnonzero(array)]
    if len(todo) > MOST:
        raise ValueError(
            f"The loss without each weight takes an evaluation for each: at most {MOST:,}. Choose 'taylor', which is "
            f"the same to first order. Received: {len(todo):,} weights that are not zero"
        )
    compile_loss(model, keras.optimizers.SGD(0.0), loss, loss_weights)
    held = list(batches)
    before = mean_loss(model, held)
    changes = {key: np.zeros(array.shape, np.float64) for key, array in values.items()}
    for key, place in track(todo, len(todo), f"Loss without each of {len(todo)} weights"):
        without = values[key].copy()
        without.reshape(-1)[place] = 0
        weights[key].weight.assign(without)
        changes[key].reshape(-1)[place] = mean_loss(model, held) - before
        weights[key].weight.assign(values[key])
    return changes
