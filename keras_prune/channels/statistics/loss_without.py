"""The loss without each channel, by removing it and evaluating: exact, and expensive."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.channels.groups import ChannelGroup
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.flat_copy import Runnable
from keras_prune.measurement.loss import compile_loss, mean_loss
from keras_prune.reporting.progress import track


def measure_loss_changes(
    copy: Runnable, groups: Sequence[ChannelGroup], atoms: int, batches: Batches, loss: Any, loss_weights: Any
) -> np.ndarray:
    """Return for each channel that can be removed how much the loss rises with zeros in the weights that read it.

    The batches are held in memory, as every channel is evaluated on all of them.

    Args:
        copy: The model.
        groups: The groups whose channels are removed.
        atoms: Number of channels.
        batches: Inputs and targets.
        loss: As `compile` takes it.
        loss_weights: Likewise.

    Returns:
        Float64 array of size `atoms`: 0 for channels that cannot be removed.

    Raises:
        ValueError: The loss cannot be computed, or is not finite.
    """
    compile_loss(copy.model, keras.optimizers.SGD(0.0), loss, loss_weights)
    held = list(batches)
    changes = np.zeros(atoms)
    before = mean_loss(copy.model, held)
    todo = [(group, channel) for group in groups for channel in group.channels[group.free].tolist()]
    for group, channel in track(todo, len(todo), f"Loss without each of {len(todo)} channels"):
        readers = [member for member in group.members if member.role == "in" and (member.labels == channel).any()]
        whole = {id(member.weight): np.array(_keras.as_numpy(member.weight)) for member in readers}
        without = {key: values.copy() for key, values in whole.items()}
        for member in readers:
            np.moveaxis(without[id(member.weight)], member.axis, 0)[member.labels == channel] = 0
        _assign(copy, without)
        try:
            changes[channel] = mean_loss(copy.model, held) - before
        finally:
            _assign(copy, whole)
    return changes


def _assign(copy: Runnable, values: dict[int, np.ndarray]) -> None:
    for key, array in values.items():
        copy.twins[key].assign(array)
