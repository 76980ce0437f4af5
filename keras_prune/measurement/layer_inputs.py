"""What layers read while a model runs: layers inside of layers too, such as the projections of attention, and what
runs at each step of a sequence."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.selection.layout import Axes

_CONVOLUTIONS = keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D

Sink = Callable[[np.ndarray], None]
Told = tuple[int, str, np.ndarray]
"""The `id` of a layer, the name of a weight of it, and what that read."""


@contextmanager
def watched(model: keras.Layer, sinks: Mapping[int, Mapping[str, Sink]]) -> Iterator[None]:
    """While this holds, each call of a layer of the model tells what its weights read.

    The model must run eagerly: call it as it is, neither `predict` nor in a compiled function. What runs in a loop of a
    user's own that the backend compiles is not seen.

    Args:
        model: The model.
        sinks: By the `id` of the layer that holds weights, and by the name of a weight, a function that gets what it
            reads. The first axis are the samples; what was read at the steps of a sequence comes together.
    """
    ears = _Ears(sinks)
    with ExitStack() as stack:
        for layer in _keras.flatten(model):
            key = id(layer)
            if isinstance(layer, keras.layers.RNN):
                if any(id(part) in sinks for part in _keras.flatten(layer)):
                    stack.enter_context(_replaced(layer, "call", _recurrent(layer, ears)))
                if key in sinks:  # of ConvLSTM, whose cell has no class that could be registered
                    stack.enter_context(_replaced(layer.cell, "call", _plain(layer.cell, key, ears)))
            elif isinstance(layer, keras.layers.TimeDistributed):
                stack.enter_context(_replaced(layer, "call", _stepwise(layer, ears)))
            elif key in sinks:
                stack.enter_context(_replaced(layer, "call", _plain(layer, key, ears)))
            if getattr(layer, "use_cudnn", False):  # then `Bidirectional` may run its layers without calling them
                stack.enter_context(_replaced(layer, "use_cudnn", False))
        yield


class _Ears:
    """Where what is read goes: to its sink, or, while a layer runs step by step, to who gathers the steps."""

    def __init__(self, sinks: Mapping[int, Mapping[str, Sink]]):
        self._sinks = sinks
        self._gathering: list[list[Told]] = []

    def names(self, key: int) -> list[str]:
        return list(self._sinks[key])

    def tell(self, key: int, name: str, read: Any) -> None:
        try:
            array = ops.convert_to_numpy(read)
        except Exception:  # symbolic, in a loop that the backend compiles: each has an error of its own
            return
        if self._gathering:
            self._gathering[-1].append((key, name, array))
        else:
            self._sinks[key][name](array)

    @contextmanager
    def gathered(self) -> Iterator[list[Told]]:
        """While this holds, what is told goes into a list."""
        self._gathering.append([])
        try:
            yield self._gathering[-1]
        finally:
            self._gathering.pop()

    def tell_steps(self, told: Sequence[Told]) -> None:
        """Tells what was read in several steps as one: they are of the same samples."""
        steps: dict[tuple[int, str], list[np.ndarray]] = {}
        for key, name, read in told:
            steps.setdefault((key, name), []).append(read)
        for (key, name), reads in steps.items():
            self.tell(key, name, np.stack(reads, axis=1))


def _plain(layer: Any, key: int, ears: _Ears) -> Callable[..., Any]:
    call = layer.call

    @functools.wraps(call)
    def spy(*args: Any, **kwargs: Any) -> Any:
        for name in ears.names(key):
            ears.tell(key, name, _what(layer, name, *args, *kwargs.values()))
        return call(*args, **kwargs)

    return spy


def _stepwise(layer: Any, ears: _Ears) -> Callable[..., Any]:
    """`TimeDistributed` calls its layer once for each step."""
    call = layer.call

    @functools.wraps(call)
    def spy(*args: Any, **kwargs: Any) -> Any:
        with ears.gathered() as told:
            found = call(*args, **kwargs)
        ears.tell_steps(told)
        return found

    return spy


def _recurrent(layer: Any, ears: _Ears) -> Callable[..., Any]:
    """Runs the cells once more, step by step: Keras has the backend compile its loop, or runs none of the cells."""
    call, loop = layer.call, layer.inner_loop
    told: list[Told] = []

    def run(sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        with ears.gathered() as steps:
            _run_cells(layer, sequences, initial_state, mask)
        told.extend(steps)
        return loop(sequences=sequences, initial_state=initial_state, mask=mask, training=training)

    @functools.wraps(call)
    def spy(*args: Any, **kwargs: Any) -> Any:
        told.clear()
        with ears.gathered(), _replaced(layer, "inner_loop", run):  # what Keras itself runs is not told twice
            found = call(*args, **kwargs)
        ears.tell_steps(told)
        return found

    return spy


def _run_cells(layer: Any, sequences: Any, states: Any, mask: Any) -> None:
    mask = mask[0] if isinstance(mask, list | tuple) else mask
    steps = range(sequences.shape[1])
    for step in reversed(steps) if layer.go_backwards else steps:
        _, after = layer.cell(sequences[:, step], states)
        if mask is not None:  # then the states stay as they are
            kept = mask[:, step]
            pairs = zip(keras.tree.flatten(after), keras.tree.flatten(states), strict=True)
            chosen = [ops.where(ops.reshape(kept, (-1, *[1] * (new.ndim - 1))), new, old) for new, old in pairs]
            after = keras.tree.pack_sequence_as(states, chosen)
        states = after if keras.tree.is_nested(after) else [after]


def _what(layer: Any, name: str, read: Any, *others: Any) -> Any:
    """What a weight of a layer reads, of the arguments that the layer is called with."""
    if name == "recurrent_kernel":
        (states, *_) = others
        state = states[0] if keras.tree.is_nested(states) else states
        return state if getattr(layer, "reset_after", True) else _reset(layer, read, state)
    if name == "pointwise_kernel":
        return ops.depthwise_conv(
            read,
            layer.depthwise_kernel,
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )
    if isinstance(layer, _CONVOLUTIONS) and layer.groups > 1:
        axis = 1 if layer.data_format == "channels_first" else read.ndim - 1
        shape = ops.shape(read)
        return ops.reshape(read, (*shape[:axis], layer.groups, shape[axis] // layer.groups, *shape[axis + 1 :]))
    return read


def _reset(cell: Any, read: Any, state: Any) -> Any:
    """What the three gates of a GRU read that resets its state before it multiplies: the last one the state that is
    left."""
    gate = slice(cell.units, 2 * cell.units)
    reset = ops.matmul(read, cell.kernel[:, gate]) + ops.matmul(state, cell.recurrent_kernel[:, gate])
    if cell.use_bias:
        reset = reset + cell.bias[gate]
    return ops.stack([state, state, cell.recurrent_activation(reset) * state], axis=-2)


@contextmanager
def _replaced(layer: Any, name: str, value: Any) -> Iterator[None]:
    own = layer.__dict__.get(name)
    setattr(layer, name, value)
    try:
        yield
    finally:
        if own is None:
            delattr(layer, name)
        else:
            setattr(layer, name, own)


class Seen:
    """Sums over what a weight reads, at each of its input positions.

    Args:
        axes: How the weight is a matrix, and which axes of what is read match which of its own.
        shape: Of the weight.
        samples: Whether the mean values of each sample are kept.
    """

    def __init__(self, axes: Axes, shape: Sequence[int], samples: bool):
        self._reads = axes.reads
        self._shape = tuple(shape)
        self._positions: tuple[int, ...] = ()
        self._samples: list[np.ndarray] | None = [] if samples else None
        self._count = 0
        self._sums = np.zeros(3)

    def add(self, read: np.ndarray) -> None:
        """Adds what a call read, of which the first axis are the samples."""
        values = read.astype(np.float32, copy=False)
        axes = [axis % values.ndim for _, axis in self._reads]
        self._positions = tuple(values.shape[axis] for axis in axes)
        places = tuple(axis for axis in range(values.ndim) if axis not in axes)
        order = np.argsort(np.argsort(axes))  # where each of them is once the others are summed
        parts = np.abs(values), np.square(values), values <= 0
        sums = [part.sum(axis=places, dtype=np.float64).transpose(order) for part in parts]
        self._sums = sums + self._sums if self.any else np.stack(sums)
        self._count += values.size // int(np.prod(self._positions))
        if self._samples is not None:
            means = values.mean(axis=tuple(axis for axis in places if axis))
            self._samples.append(means.transpose(0, *(order + 1)).reshape(len(values), -1))

    @property
    def any(self) -> bool:
        return self._count > 0

    def means(self) -> np.ndarray:
        """Mean absolute values, mean squares, and the fraction that is zero or below: each by input position."""
        return self._sums / max(self._count, 1)

    def samples(self) -> np.ndarray:
        """The mean value in each sample, at each input position: shape (samples, positions)."""
        return np.concatenate(self._samples or [])

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values by input position, for each weight: in its shape."""
        own = [axis for axis, _ in self._reads]
        values = values.reshape(self._positions).transpose(np.argsort(own))
        values = np.expand_dims(values, tuple(axis for axis in range(len(self._shape)) if axis not in own))
        for axis in own:  # where there are groups, more than one weight of an axis meets the same values
            values = values.repeat(self._shape[axis] // values.shape[axis], axis)
        return np.broadcast_to(values, self._shape)


def tokens(vocabulary: int, sink: Sink) -> Sink:
    """What an embedding reads of whole numbers: at each position of the vocabulary 1 where it stands, else 0, of which
    only the mean of a sample is passed on, as nothing else is of use."""

    def count(read: np.ndarray) -> None:
        rows = read.reshape(len(read), -1).astype(int)
        found = np.zeros((len(rows), vocabulary), np.float32)
        np.add.at(found, (np.arange(len(rows))[:, None], rows), 1 / rows.shape[1])
        sink(found)

    return count
