"""Statistics of the inputs of layers, channel by channel, summed up batch by batch: no activations are kept."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune.measurement.activation_stats import ActivationStats
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.flat_copy import Runnable
from keras_prune.measurement.predict_batch import predict_batch
from keras_prune.reporting.progress import track
from keras_prune.tracing.binding import Binding
from keras_prune.tracing.labels import FIXED
from keras_prune.tracing.trace import Trace


class Readings:
    """Statistics of the inputs of every layer.

    Args:
        copy: The model.
        trace: What is known of its channels.
        readers: The axes of weights that read channels, labelled with channels.
        batches: Inputs.
    """

    def __init__(self, copy: Runnable, trace: Trace, readers: Sequence[Binding], batches: Batches):
        self._trace = trace
        self._tensors: dict[int, _Tensor | None] = {}
        self._uses: dict[str, list[tuple[list[_Tensor], list[_Tensor]]]] = {}
        paths = {binding.layer for binding in readers}
        for step in copy.steps:
            if step.path in paths:
                self._uses.setdefault(step.path, []).append((self._seen(step.inputs), self._seen(step.outputs)))
        tensors = [tensor for tensor in self._tensors.values() if tensor is not None]
        _measure(copy.model, tensors, batches)

    def of(self, binding: Binding) -> ActivationStats | None:
        """Return the statistics at each position of a binding; None where there are none, as inside of attention."""
        found = list(self._read_by(binding))
        if not found:
            return None

        def mean(sums: Callable[[_Tensor], np.ndarray]) -> np.ndarray:
            return np.mean([tensor.at(binding.labels, sums(tensor)) for tensor in found], axis=0)

        squares = mean(lambda tensor: tensor.squares)
        return ActivationStats(mean(lambda tensor: tensor.magnitude), np.sqrt(squares), mean(lambda tensor: tensor.off))

    def samples(self, binding: Binding) -> np.ndarray | None:
        """Return for each sample and position the mean value of the channel there; None likewise."""
        found = list(self._read_by(binding))
        return np.concatenate([tensor.samples_at(binding.labels) for tensor in found]) if found else None

    def _read_by(self, binding: Binding) -> Iterator["_Tensor"]:
        mine = binding.labels[binding.labels != FIXED]
        for inputs, outputs in self._uses.get(binding.layer, ()):
            # A recurrent layer reads what it makes: then none of its inputs has these channels.
            for tensors in (inputs, outputs):
                holding = [tensor for tensor in tensors if np.isin(mine, tensor.channels).all()]
                yield from holding
                if holding:
                    break

    def _seen(self, pairs: Sequence[tuple[Any, Any]]) -> list["_Tensor"]:
        for old, new in pairs:
            if id(new) not in self._tensors:
                self._tensors[id(new)] = _tensor(self._trace, old, new)
        found = {id(new): self._tensors[id(new)] for _, new in pairs}
        return [tensor for tensor in found.values() if tensor is not None]


@dataclasses.dataclass(eq=False)
class _Tensor:
    """A tensor of the copy, the axis along which its channels lie, the channel at each position, and sums so far."""

    symbol: Any
    axis: int
    channels: np.ndarray
    magnitude: np.ndarray
    squares: np.ndarray
    off: np.ndarray
    samples: list[np.ndarray]

    def condensed(self) -> list[Any]:
        """What is computed of it: four tensors of shape (samples, positions)."""
        values = ops.cast(self.symbol, "float32")
        places = tuple(axis for axis in range(1, len(values.shape)) if axis != self.axis)
        off = ops.cast(values <= 0, "float32")
        parts = (ops.abs(values), ops.square(values), off, values)
        return [ops.mean(part, axis=places) if places else part for part in parts]

    def add(
        self, magnitude: np.ndarray, squares: np.ndarray, off: np.ndarray, values: np.ndarray, share: float
    ) -> None:
        self.magnitude += share * magnitude.mean(axis=0, dtype=np.float64)
        self.squares += share * squares.mean(axis=0, dtype=np.float64)
        self.off += share * off.mean(axis=0, dtype=np.float64)
        _, inverse, counts = np.unique(self.channels, return_inverse=True, return_counts=True)
        means = np.zeros((len(counts), len(values)))
        np.add.at(means, inverse, values.T)
        self.samples.append((means / counts[:, None]).T.astype(np.float32))

    def at(self, labels: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The values at the positions of a weight: the same ones, or else the mean over those of the same channel."""
        mine = labels != FIXED
        if labels.shape == self.channels.shape and (labels == self.channels)[mine].all():
            return values
        unique, inverse, counts = np.unique(self.channels, return_inverse=True, return_counts=True)
        return (np.bincount(inverse, values) / counts)[_places(unique, labels)]

    def samples_at(self, labels: np.ndarray) -> np.ndarray:
        return np.concatenate(self.samples)[:, _places(np.unique(self.channels), labels)]


def _places(unique: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Where the labels are in a sorted array; anywhere for FIXED, whose scores are not used."""
    return np.minimum(np.searchsorted(unique, labels), len(unique) - 1)


def _tensor(trace: Trace, old: Any, new: Any) -> _Tensor | None:
    labels, atoms = trace.tensors[id(old)], trace.found.atoms
    varying = atoms.varying(labels)
    axis = varying[0] if varying else labels.ndim - 1
    if len(varying) > 1 or axis < 1 or new.shape[axis] != labels.shape[axis] or "float" not in str(new.dtype):
        return None
    # The labels are the same at all other positions.
    channels = atoms.roots(labels[tuple(slice(None) if each == axis else 0 for each in range(labels.ndim))])
    if (channels == FIXED).all():
        return None
    zeros = np.zeros(len(channels))
    return _Tensor(new, axis, channels, zeros.copy(), zeros.copy(), zeros, [])


def _measure(model: keras.Model, tensors: Sequence[_Tensor], batches: Batches) -> None:
    if not tensors:
        return
    condensed = keras.Model(model.input, [part for tensor in tensors for part in tensor.condensed()])
    condensed.jit_compile = keras.backend.backend() == "jax"  # XLA is not worth compiling for, where it is a choice
    seen = 0
    for x, _, _ in track(batches, batches.count, "Activations"):
        parts = iter(predict_batch(condensed, x))
        size = len(keras.tree.flatten(x)[0])
        for tensor in tensors:
            magnitude, squares, off, values = (next(parts) for _ in range(4))
            if not np.isfinite(magnitude).all():
                raise ValueError("Activations must be finite. Received: NaN or infinite ones")
            tensor.magnitude *= seen / (seen + size)
            tensor.squares *= seen / (seen + size)
            tensor.off *= seen / (seen + size)
            tensor.add(magnitude, squares, off, values, size / (seen + size))
        seen += size
