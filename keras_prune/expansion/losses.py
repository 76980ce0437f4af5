"""Losses that custom layers add in their code: each becomes a layer that adds it to those of the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_prune.graph.leaf_layers import AddLoss


@contextmanager
def losses_kept(layer: keras.Layer) -> Iterator[list[Any]]:
    """While this holds, the losses that a layer adds are put into the list that is yielded.

    Raises:
        TypeError: The layer adds a loss that is no symbolic tensor.
    """
    losses: list[Any] = []

    def add_loss(loss: Any) -> None:
        for each in keras.tree.flatten(loss):
            if not isinstance(each, keras.KerasTensor):
                raise TypeError(f"it adds a loss that does not depend on its inputs: {each!r}")
            losses.append(each)

    vars(layer)["add_loss"] = add_loss
    try:
        yield losses
    finally:
        vars(layer).pop("add_loss", None)


def add_losses(losses: list[Any], outputs: Any) -> Any:
    """The outputs of a layer, the first of them passed through layers that add these losses."""
    if not losses:
        return outputs
    flat = keras.tree.flatten(outputs)
    first = next(index for index, each in enumerate(flat) if isinstance(each, keras.KerasTensor))
    for loss in losses:
        flat[first] = AddLoss()(flat[first], loss)
    return keras.tree.pack_sequence_as(outputs, flat)
