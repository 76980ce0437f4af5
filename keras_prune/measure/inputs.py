"""What layers read while a model runs: layers inside of layers too, such as the projections of attention."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import keras_internals
from keras_prune.axes import Axes

Sink = Callable[[np.ndarray], None]


@contextmanager
def watched(model: keras.Layer, sinks: dict[int, dict[str, Sink]]) -> Iterator[None]:
    """While this holds, each call of a layer of the model tells what its weights read.

    The model must run eagerly: call it as it is, neither `predict` nor in a compiled function. What runs in a loop that
    the backend compiles is not seen: models in `TimeDistributed`, cells of your own.

    Args:
        model: The model.
        sinks: By the `id` of the layer that holds weights, and by the name of a weight, a function that gets what it
            reads.
    """
    layers = keras_internals.flatten(model)
    inside = {id(layer.layer) for layer in layers if isinstance(layer, keras.layers.TimeDistributed)}
    with ExitStack() as stack:
        for layer in layers:
            if isinstance(layer, keras.layers.RNN):  # runs its cell without calling it
                mine = sinks.get(id(layer)) or sinks.get(id(layer.cell))
                if mine:
                    stack.enter_context(_replaced(layer, _recurrent(layer, mine)))
            elif isinstance(layer, keras.layers.TimeDistributed):  # its layer runs in a loop
                if id(layer.layer) in sinks and not isinstance(layer.layer, keras.layers.RNN):
                    stack.enter_context(_replaced(layer, _plain(layer, sinks[id(layer.layer)], _of_steps(layer.layer))))
            elif id(layer) in sinks and id(layer) not in inside and not hasattr(layer, "state_size"):
                stack.enter_context(_replaced(layer, _plain(layer, sinks[id(layer)], _reads(layer))))
        yield


def _reads(layer: Any) -> Callable[[Any, str], Any]:
    """What a weight of a layer reads, of what the layer reads."""
    return functools.partial(_separable, layer) if hasattr(layer, "pointwise_kernel") else lambda read, name: read


def _of_steps(layer: Any) -> Callable[[Any, str], Any]:
    """The same of what is read in many steps, (samples, steps, ...), which stay together: they are of one sample."""
    reads = _reads(layer)

    def read_steps(read: Any, name: str) -> Any:
        size, steps, *rest = ops.shape(read)
        found = reads(ops.reshape(read, (size * steps, *rest)), name)
        return ops.reshape(found, (size, steps, *ops.shape(found)[1:]))

    return read_steps


def _separable(layer: Any, read: Any, name: str) -> Any:
    if name == "depthwise_kernel":
        return read
    return ops.depthwise_conv(
        read,
        layer.depthwise_kernel,
        strides=layer.strides,
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
        data_format=layer.data_format,
    )


def _plain(layer: Any, sinks: Mapping[str, Sink], reads: Callable[[Any, str], Any]) -> Callable[..., Any]:
    call = layer.call

    @functools.wraps(call)
    def spy(*args: Any, **kwargs: Any) -> Any:
        (read, *_) = args or kwargs.values()
        for name, sink in sinks.items():
            _tell(sink, reads(read, name))
        return call(*args, **kwargs)

    return spy


def _recurrent(layer: Any, sinks: Mapping[str, Sink]) -> Callable[..., Any]:
    """Runs the layer once more for all its states: step by step they are seen nowhere."""
    call = layer.call

    @functools.wraps(call)
    def spy(*args: Any, **kwargs: Any) -> Any:
        (read, *_) = args or kwargs.values()
        if "kernel" in sinks:
            _tell(sinks["kernel"], read)
        if "recurrent_kernel" in sinks:
            kept = layer.return_sequences, layer.return_state
            layer.return_sequences, layer.return_state = True, False
            try:
                states = call(*args, **kwargs)
            finally:
                layer.return_sequences, layer.return_state = kept
            # A step reads the state of the one before, which at the first step is zero.
            before = ops.concatenate([ops.zeros_like(states[:, :1]), states[:, :-1]], axis=1)
            _tell(sinks["recurrent_kernel"], before)
        return call(*args, **kwargs)

    return spy


def _tell(sink: Sink, read: Any) -> None:
    try:
        array = ops.convert_to_numpy(read)
    except Exception:  # symbolic, in a loop that the backend compiles: each has an error of its own
        return
    sink(array)


@contextmanager
def _replaced(layer: Any, call: Callable[..., Any]) -> Iterator[None]:
    own = layer.__dict__.get("call")
    layer.call = call
    try:
        yield
    finally:
        if own is None:
            del layer.call
        else:
            layer.call = own


class Seen:
    """Sums over what a weight reads, at each of its input positions.

    Args:
        axes: How the weight is a matrix, and which axes of what is read match which of its own.
        shape: Of the weight.
        samples: Whether the mean values of each sample are kept.
    """

    def __init__(self, axes: Axes, shape: Sequence[int], samples: bool):
        self._reads = axes.reads
        self._shape = tuple(shape[axis] for axis, _ in axes.reads)
        self._samples: list[np.ndarray] | None = [] if samples else None
        self._count = 0
        self._sums = np.zeros((3, *self._shape))

    def add(self, read: np.ndarray) -> None:
        """Adds what a call read, of which the first axis are the samples."""
        values = read.astype(np.float32, copy=False)
        axes = [axis % values.ndim for _, axis in self._reads]
        places = tuple(axis for axis in range(values.ndim) if axis not in axes)
        order = np.argsort(np.argsort(axes))  # where each of them is once the others are summed
        for row, part in enumerate((np.abs(values), np.square(values), values <= 0)):
            self._sums[row] += part.sum(axis=places, dtype=np.float64).transpose(order)
        self._count += values.size // int(np.prod(self._shape))
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

    def spread(self, values: np.ndarray, rank: int) -> np.ndarray:
        """Values by input position in a shape that broadcasts to the weight's."""
        own = [axis for axis, _ in self._reads]
        values = values.reshape(self._shape).transpose(np.argsort(own))
        return np.expand_dims(values, tuple(axis for axis in range(rank) if axis not in own))


def tokens(vocabulary: int, sink: Sink) -> Sink:
    """What an embedding reads of whole numbers: at each position of the vocabulary 1 where it stands, else 0, of which
    only the mean of a sample is passed on, as nothing else is of use."""

    def count(read: np.ndarray) -> None:
        rows = read.reshape(len(read), -1).astype(int)
        found = np.zeros((len(rows), vocabulary), np.float32)
        np.add.at(found, (np.arange(len(rows))[:, None], rows), 1 / rows.shape[1])
        sink(found)

    return count
