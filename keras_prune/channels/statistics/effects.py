"""The gradient of the loss with respect to the size of each channel, batch by batch, on any backend."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_prune import _keras
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.flat_copy import Runnable
from keras_prune.measurement.gradients import batch_gradients
from keras_prune.tracing.binding import Binding
from keras_prune.tracing.labels import FIXED


def measure_effects(
    copy: Runnable, readers: Sequence[Binding], atoms: int, batches: Batches, loss: Any, loss_weights: Any
) -> np.ndarray:
    """Return for each batch and channel Σ w·∂loss/∂w over the weights that read the channel.

    To first order that is how much the loss of the batch falls when the channel is removed; exactly, the gradient
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
    rows = [
        _effects(copy, readers, atoms, gradients)
        for gradients in batch_gradients(
            copy.model, [copy.twins[id(b.weight)] for b in readers], batches, loss, loss_weights
        )
    ]
    found = np.stack(rows)
    if not np.isfinite(found).all():
        raise ValueError("The gradients of the loss must be finite. Received: NaN or infinite ones")
    return found


def _effects(copy: Runnable, readers: Sequence[Binding], atoms: int, gradients: Mapping[int, np.ndarray]) -> np.ndarray:
    products: dict[int, np.ndarray] = {}
    row = np.zeros(atoms)
    for binding in readers:
        key = id(binding.weight)
        if key not in products:
            values = _keras.as_numpy(binding.weight)
            if values.dtype.itemsize < 4:
                values = values.astype(np.float32)
            products[key] = values * gradients[id(copy.twins[key])]
        axes = tuple(axis for axis in range(products[key].ndim) if axis != binding.axis % products[key].ndim)
        sums = products[key].sum(axis=axes, dtype=np.float64)
        mine = binding.labels != FIXED
        np.add.at(row, binding.labels[mine], sums[mine])
    return row
