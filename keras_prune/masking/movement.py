"""The movement of weights, -Σ w·∂loss/∂w, added up by the training step of a model that has variables for it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_prune import _keras
from keras_prune.masking.masked_weights import MaskedWeight

Moved = list[tuple[MaskedWeight, Any]]


@contextmanager
def seen_movement(model: Any, masked: Sequence[MaskedWeight]) -> Iterator[Moved]:
    """A list that is filled, in a training step of the model, with its masked weights and the change of the movement
    of each.

    Raises:
        ValueError: The step is made on several devices at once.
    """
    weights = {id(each.weight): each for each in masked if each.movement is not None}
    moved: Moved = []
    if not weights:
        yield moved
        return
    strategy = getattr(model, "distribute_strategy", None)  # of TensorFlow, which makes the step on each device
    replicas = getattr(strategy, "num_replicas_in_sync", 1)
    if replicas > 1:
        raise ValueError(
            "Each device has a part of the movement of weights, so it is added up on a single one: train without "
            "`tf.distribute`, or use `wrap_pruning(model)` without movement. "
            f"Received: {replicas} devices, {type(strategy).__name__}"
        )

    def see(variables: Sequence[keras.Variable], values: Sequence[Any], gradients: Sequence[Any]) -> None:
        for variable, value, gradient in zip(variables, values, gradients, strict=True):
            if id(variable) in weights and gradient is not None:
                gradient = ops.cast(ops.convert_to_tensor(gradient), "float32")
                moved.append((weights[id(variable)], -ops.cast(value, "float32") * gradient))

    with _keras.gradients_shown(model, see):
        yield moved


def add_movement(moved: Moved) -> None:
    """Adds the changes of a step."""
    for weight, change in moved:
        assert weight.movement is not None
        weight.movement.assign(weight.movement.value + ops.stop_gradient(change))


def stateless_add_movement(model: keras.Model, moved: Moved, non_trainable_variables: Sequence[Any]) -> list[Any]:
    """The same as a pure function: returns the new values of the model's non-trainable variables."""
    changed = list(non_trainable_variables)
    place = {id(variable): index for index, variable in enumerate(model.non_trainable_variables)} if moved else {}
    for weight, change in moved:
        changed[place[id(weight.movement)]] += change
    return changed
