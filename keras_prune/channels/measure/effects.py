"""The gradient of the loss with respect to the size of each channel, batch by batch, on any backend.

Keras has no function for gradients, but each of its backends gives them to an optimizer: here to one that keeps them
and changes nothing.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import keras_internals
from keras_prune.channels.binding import Binding
from keras_prune.channels.labels import FIXED
from keras_prune.channels.measure.batches import Batches
from keras_prune.channels.measure.loss import compile_loss, no_loss
from keras_prune.channels.measure.progress import track
from keras_prune.channels.measure.runnable import Runnable


class Recorder(keras.optimizers.Optimizer):
    """Keeps the gradients of the last batch, and leaves the weights alone."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.0)
        self.gradients: list[keras.Variable] = []

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if not self.built:
            super().build(variables)
            self.gradients = self.add_optimizer_variables(variables, "gradient")

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        self.assign(self.gradients[index], gradient)


def measure_effects(
    copy: Runnable, readers: Sequence[Binding], atoms: int, batches: Batches, loss: Any, loss_weights: Any
) -> np.ndarray:
    """For each batch and channel, Σ w·∂loss/∂w over the weights that read the channel.

    To first order that is how much the loss of the batch falls when the channel is taken away; exactly, the gradient
    with respect to a factor, now 1, in front of the channel wherever it is read.

    Args:
        copy: The model.
        readers: The axes of weights that read channels, labelled with channels.
        atoms: Number of channels.
        batches: Inputs and targets.
        loss: As `compile` takes it.
        loss_weights: Likewise.

    Returns:
        Float64 array of shape (batches, atoms).

    Raises:
        ValueError: The loss cannot be computed, or is not finite.
    """
    recorder = Recorder()
    wanted = {id(copy.twins[id(binding.weight)]) for binding in readers}
    for variable in copy.model.trainable_variables:  # the others need no gradients
        variable.trainable = id(variable) in wanted
    compile_loss(copy.model, recorder, loss, loss_weights)
    rows = []
    for x, y, weight in track(batches, batches.count, "Gradients"):
        with no_loss(copy.model, y), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*[Gg]radients do not exist.*")  # of weights that take no part
            copy.model.train_on_batch(x, y, sample_weight=weight)
        rows.append(_effects(copy, readers, atoms, recorder))
    found = np.stack(rows)
    if not np.isfinite(found).all():
        raise ValueError("The gradients of the loss must be finite. Received: NaN or infinite ones")
    return found


def _effects(copy: Runnable, readers: Sequence[Binding], atoms: int, recorder: Recorder) -> np.ndarray:
    gradients = dict(zip(map(id, copy.model.trainable_variables), recorder.gradients, strict=True))
    products: dict[int, np.ndarray] = {}
    row = np.zeros(atoms)
    for binding in readers:
        key = id(binding.weight)
        if key not in products:
            values = keras_internals.as_numpy(binding.weight)
            if values.dtype.itemsize < 4:
                values = values.astype(np.float32)
            products[key] = values * ops.convert_to_numpy(gradients[id(copy.twins[key])].value)
        axes = tuple(axis for axis in range(products[key].ndim) if axis != binding.axis % products[key].ndim)
        sums = products[key].sum(axis=axes, dtype=np.float64)
        mine = binding.labels != FIXED
        np.add.at(row, binding.labels[mine], sums[mine])
    return row
