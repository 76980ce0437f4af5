"""Gradients of the loss with respect to weights, batch by batch, on any backend.

Keras has no function for gradients, but each of its backends passes them to an optimizer: here to one that records them
and changes nothing.
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune.measurement.batches import Batches
from keras_prune.measurement.loss import compile_loss, no_loss
from keras_prune.reporting.progress import track


class Recorder(keras.optimizers.Optimizer):
    """Optimizer that records the gradients of the last batch, and does not change the weights."""

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


def batch_gradients(
    model: keras.Model, weights: Sequence[keras.Variable], batches: Batches, loss: Any, loss_weights: Any
) -> Iterator[dict[int, np.ndarray]]:
    """Yields, for each batch, the gradient of the mean loss with respect to each weight, by the weight's `id`.

    Args:
        model: A copy that may be compiled; its other variables become frozen.
        weights: Variables of the copy.
        batches: Inputs and targets.
        loss: As `compile` takes it.
        loss_weights: Weights of the losses, as `compile` takes them.

    Raises:
        ValueError: The loss cannot be computed.
    """
    if not isinstance(getattr(model, "optimizer", None), Recorder):  # Keras sets it in `compile`
        wanted = {id(variable) for variable in weights}
        for variable in model.trainable_variables:  # the others need no gradients
            variable.trainable = id(variable) in wanted
        compile_loss(model, Recorder(), loss, loss_weights)
    recorder = model.optimizer
    for x, y, weight in track(batches, batches.count, "Gradients"):
        with no_loss(model, y), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*[Gg]radients do not exist.*")  # of weights that take no part
            model.train_on_batch(x, y, sample_weight=weight)
        pairs = zip(model.trainable_variables, recorder.gradients, strict=True)
        yield {id(variable): ops.convert_to_numpy(gradient.value) for variable, gradient in pairs}
