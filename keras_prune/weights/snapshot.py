"""Snapshots of a model in training: weights, masks and the optimizer's variables, saved and restored."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.masking.masked_weights import apply_masks, find_masked


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """Copies of the variables of a model with masks.

    Metrics and the states of random generators are not part of it: training from a snapshot again meets other noise.

    Args:
        weights: The values of `model.weights`, masks among them.
        optimizer: The model's optimizer; None for a model that is not compiled.
        state: The values of `optimizer.variables`: its step, learning rate, momenta, moving averages.
    """

    weights: tuple[np.ndarray, ...]
    optimizer: Any
    state: tuple[np.ndarray, ...]

    @classmethod
    def take(cls, model: keras.Model) -> "Snapshot":
        """Copies the state of a model as it is now."""
        optimizer = _optimizer(model)
        state = () if optimizer is None else _values(optimizer.variables)
        return cls(_values(model.weights), optimizer, state)

    def restore(self, model: keras.Model) -> None:
        """Restores everything, masks too, as if nothing had happened since.

        Past `model.set_weights`, which warns when a model becomes less sparse: here that is meant.
        """
        for variable, value in zip(model.weights, self.weights, strict=True):
            variable.assign(value)
        self.restore_optimizer(model)

    def restore_weights(self, model: keras.Model) -> None:
        """Restores the weights but not the masks: pruned weights remain zero."""
        masks = {id(weight.mask) for weight in find_masked(model)}
        for variable, value in zip(model.weights, self.weights, strict=True):
            if id(variable) not in masks:
                variable.assign(value)
        for weight in find_masked(model):
            weight.recount()  # clusters were restored with the members that they had
        apply_masks(model)

    def restore_optimizer(self, model: keras.Model) -> None:
        """Restores the optimizer's variables, except the moving averages of weights that are pruned now.

        An optimizer that the model was compiled with since then is left unchanged.
        """
        optimizer = _optimizer(model)
        if optimizer is None or optimizer is not self.optimizer:
            return
        for variable, value in zip(optimizer.variables, self.state, strict=True):
            variable.assign(value)
        averages = _keras.moving_averages(optimizer)
        for weight in find_masked(model):
            average = averages.get(id(weight.weight))
            if average is not None:
                average.assign(ops.where(ops.not_equal(weight.mask.value, 0), average.value, 0.0))


def _optimizer(model: keras.Model) -> Any:
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built:  # Keras builds it in the first `fit`: then its zeros are known
        optimizer.build(model.trainable_variables)
    return optimizer


def _values(variables: Any) -> tuple[np.ndarray, ...]:
    return tuple(np.array(ops.convert_to_numpy(variable.value)) for variable in variables)  # torch lends its memory
