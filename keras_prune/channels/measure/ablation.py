"""The loss without each channel, by taking it away and evaluating: exact, and as dear as that."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import keras_internals
from keras_prune.channels.groups import ChannelGroup
from keras_prune.channels.measure.batches import Batch, Batches
from keras_prune.channels.measure.loss import compile_loss, no_loss
from keras_prune.channels.measure.progress import track
from keras_prune.channels.measure.runnable import Runnable


def measure_loss_changes(
    copy: Runnable, groups: Sequence[ChannelGroup], atoms: int, batches: Batches, loss: Any, loss_weights: Any
) -> np.ndarray:
    """For each channel that can go, how much the loss rises with zeros in the weights that read it.

    The batches are held in memory, as every channel is evaluated on all of them.

    Args:
        copy: The model.
        groups: Whose channels are taken away.
        atoms: Number of channels.
        batches: Inputs and targets.
        loss: As `compile` takes it.
        loss_weights: Likewise.

    Returns:
        Float64 array of size `atoms`: 0 for channels that cannot go.

    Raises:
        ValueError: The loss cannot be computed, or is not finite.
    """
    compile_loss(copy.model, keras.optimizers.SGD(0.0), loss, loss_weights)
    held = list(batches)
    changes = np.zeros(atoms)
    before = _loss(copy.model, held)
    todo = [(group, channel) for group in groups for channel in group.channels[group.free].tolist()]
    for group, channel in track(todo, len(todo), f"Loss without each of {len(todo)} channels"):
        readers = [member for member in group.members if member.role == "in" and (member.labels == channel).any()]
        whole = {id(member.weight): np.array(keras_internals.as_numpy(member.weight)) for member in readers}
        without = {key: values.copy() for key, values in whole.items()}
        for member in readers:
            np.moveaxis(without[id(member.weight)], member.axis, 0)[member.labels == channel] = 0
        _assign(copy, without)
        try:
            changes[channel] = _loss(copy.model, held) - before
        finally:
            _assign(copy, whole)
    return changes


def _assign(copy: Runnable, values: dict[int, np.ndarray]) -> None:
    for key, array in values.items():
        copy.twins[key].assign(array)


def _loss(model: keras.Model, batches: Sequence[Batch]) -> float:
    total = count = 0.0
    for x, y, weight in batches:
        size = len(keras.tree.flatten(x)[0])
        with no_loss(model, y):
            found = model.test_on_batch(x, y, sample_weight=weight)
        total += size * float(found[0] if isinstance(found, list | tuple) else found)
        count += size
    if not math.isfinite(total):
        raise ValueError(f"The loss must be finite. Received: loss={total / count}")
    return total / count
