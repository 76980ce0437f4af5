"""Forward hooks: the inputs of layers while a model runs, of sublayers too, such as the projections of attention, and
of what runs at each step of a sequence."""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.measurement.padding import Masks, as_mask, masks_of_calls, replaced
from keras_prune.selection.layout import Axes

_CONVOLUTIONS = keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D

Hook = Callable[[np.ndarray, np.ndarray | None], None]
Hooks = Mapping[int, Mapping[str, Hook]]
Recorded = tuple[int, str, np.ndarray]
"""The `id` of a layer, the name of a weight of it, and the input of that weight."""


@contextmanager
def input_hooks(model: keras.Layer, hooks: Hooks, unused: Collection[int] = ()) -> Iterator[None]:
    """While this holds, each call of a layer of the model passes the inputs of its weights to their hooks.

    The model must run eagerly: call it as it is, neither `predict` nor in a compiled function. What runs in a custom
    loop that the backend compiles is not seen.

    Args:
        model: The model.
        hooks: By the `id` of the layer that holds weights, and by the name of a weight, a function that gets its input.
            The first axis are the samples; the inputs at the steps of a sequence come together. It also gets which
            positions count, a boolean array of the first axes; None if all do.
        unused: The `id` of each layer for which padding makes no difference, see `find_unused_padding`. Defaults to
            none: only for recurrent layers, which leave their states as they are, it is known what counts.
    """
    with ExitStack() as stack:
        recorder = _Recorder(hooks, stack.enter_context(masks_of_calls(model, unused)), unused)
        for layer in _keras.flatten(model):
            key = id(layer)
            if isinstance(layer, keras.layers.RNN):
                if any(id(part) in hooks for part in _keras.flatten(layer)):
                    stack.enter_context(replaced(layer, "call", _recurrent(layer, recorder)))
                if key in hooks:  # of ConvLSTM, whose cell has no class that could be registered
                    stack.enter_context(replaced(layer.cell, "call", _plain(layer.cell, key, recorder)))
            elif isinstance(layer, keras.layers.TimeDistributed):
                stack.enter_context(replaced(layer, "call", _stepwise(layer, recorder)))
            elif key in hooks:
                stack.enter_context(replaced(layer, "call", _plain(layer, key, recorder)))
            if getattr(layer, "use_cudnn", False):  # then `Bidirectional` may run its layers without calling them
                stack.enter_context(replaced(layer, "use_cudnn", False))
        yield


class _Recorder:
    """Passes each input to its hook or, while a layer runs step by step, to the list that collects the steps."""

    def __init__(self, hooks: Hooks, masks: Masks, unused: Collection[int]):
        self._hooks, self._masks, self._unused = hooks, masks, unused
        self._collecting: list[list[Recorded]] = []

    def names(self, key: int) -> list[str]:
        return list(self._hooks[key])

    def record(self, key: int, name: str, given: Any, mask: np.ndarray | None = None) -> None:
        try:
            array = ops.convert_to_numpy(given)
        except Exception:  # symbolic, in a loop that the backend compiles: each has an error of its own
            return
        if self._collecting:
            self._collecting[-1].append((key, name, array))
            return
        counted = self._masks.of(given) if mask is None and key in self._unused else mask
        self._hooks[key][name](array, counted)

    @contextmanager
    def collected(self) -> Iterator[list[Recorded]]:
        """While this holds, inputs are recorded in a list."""
        self._collecting.append([])
        try:
            yield self._collecting[-1]
        finally:
            self._collecting.pop()

    def record_steps(self, recorded: Sequence[Recorded], mask: np.ndarray | None = None) -> None:
        """Records the inputs of several steps as one: they are of the same samples, at the steps of the mask."""
        steps: dict[tuple[int, str], list[np.ndarray]] = {}
        for key, name, given in recorded:
            steps.setdefault((key, name), []).append(given)
        for (key, name), each in steps.items():
            self.record(key, name, np.stack(each, axis=1), mask)


def _plain(layer: Any, key: int, recorder: _Recorder) -> Callable[..., Any]:
    call = layer.call

    @functools.wraps(call)
    def spy(*args: Any, **kwargs: Any) -> Any:
        for name in recorder.names(key):
            if not _is_read(layer, name, *args, **kwargs):
                continue
            recorder.record(key, name, _input_of(layer, name, *args, *kwargs.values()))
        return call(*args, **kwargs)

    return spy


def _is_read(layer: Any, name: str, given: Any = None, reverse: Any = False, *args: Any, **kwargs: Any) -> bool:
    """Whether a call with these arguments multiplies the tokens or features that it is given by this weight.

    A call of a `ReversibleEmbedding` looks up tokens in one table, or multiplies by the other. If it is the same one,
    turned round, it has its inputs as outputs there: scores are of the tokens that are looked up.
    """
    if not hasattr(layer, "tie_weights") or not isinstance(layer, keras.layers.Embedding):
        return True
    return bool(reverse) == (name == "reverse_embeddings")


def _stepwise(layer: Any, recorder: _Recorder) -> Callable[..., Any]:
    """`TimeDistributed` calls its layer once for each step."""
    call = layer.call

    @functools.wraps(call)
    def spy(*args: Any, **kwargs: Any) -> Any:
        with recorder.collected() as recorded:
            found = call(*args, **kwargs)
        recorder.record_steps(recorded)
        return found

    return spy


def _recurrent(layer: Any, recorder: _Recorder) -> Callable[..., Any]:
    """Runs the cells once more, step by step: Keras has the backend compile its loop, or runs none of the cells."""
    call, loop = layer.call, layer.inner_loop
    recorded: list[Recorded] = []
    masks: list[np.ndarray | None] = []

    def run(sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        with recorder.collected() as steps:
            _run_cells(layer, sequences, initial_state, mask)
        recorded.extend(steps)
        counted = as_mask(mask[0] if isinstance(mask, list | tuple) else mask)
        masks.append(counted if counted is None or not layer.go_backwards else counted[:, ::-1])
        return loop(sequences=sequences, initial_state=initial_state, mask=mask, training=training)

    @functools.wraps(call)
    def spy(*args: Any, **kwargs: Any) -> Any:
        recorded.clear()
        masks.clear()
        with recorder.collected(), replaced(layer, "inner_loop", run):  # what Keras itself runs is not recorded twice
            found = call(*args, **kwargs)
        recorder.record_steps(recorded, masks[0] if masks else None)
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


def _input_of(layer: Any, name: str, given: Any, *others: Any) -> Any:
    """The input of a weight of a layer, among the arguments that the layer is called with."""
    if name == "recurrent_kernel":
        (states, *_) = others
        state = states[0] if keras.tree.is_nested(states) else states
        return state if getattr(layer, "reset_after", True) else _reset(layer, given, state)
    if name == "pointwise_kernel":
        return ops.depthwise_conv(
            given,
            layer.depthwise_kernel,
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )
    if isinstance(layer, _CONVOLUTIONS) and layer.groups > 1:
        axis = 1 if layer.data_format == "channels_first" else given.ndim - 1
        shape = ops.shape(given)
        return ops.reshape(given, (*shape[:axis], layer.groups, shape[axis] // layer.groups, *shape[axis + 1 :]))
    return given


def _reset(cell: Any, given: Any, state: Any) -> Any:
    """The states that the three gates of a GRU multiply, if it resets the state before: for the last gate what is left
    of it."""
    gate = slice(cell.units, 2 * cell.units)
    reset = ops.matmul(given, cell.kernel[:, gate]) + ops.matmul(state, cell.recurrent_kernel[:, gate])
    if cell.use_bias:
        reset = reset + cell.bias[gate]
    return ops.stack([state, state, cell.recurrent_activation(reset) * state], axis=-2)


class InputStatistics:
    """Running sums over the inputs of a weight, at each of its input positions.

    Args:
        axes: How the weight is a matrix, and which axes of its input match which of its own.
        shape: Of the weight.
        samples: Whether the mean values of each sample are kept too.
    """

    def __init__(self, axes: Axes, shape: Sequence[int], samples: bool):
        self._reads = axes.reads
        self._shape = tuple(shape)
        self._positions: tuple[int, ...] = ()
        self._samples: list[np.ndarray] | None = [] if samples else None
        self._count = 0
        self._sums = np.zeros(3)

    def add(self, inputs: np.ndarray, counted: np.ndarray | None = None) -> None:
        """Adds the input of a call, of which the first axis are the samples. Padding is added as it is."""
        values = inputs.astype(np.float32, copy=False)
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


def one_hot(vocabulary: int, hook: Hook) -> Hook:
    """A hook for the tokens that an embedding gets: it passes on the mean of their one-hot vectors in each sample, as
    nothing else is of use."""

    def count(given: np.ndarray, counted: np.ndarray | None) -> None:
        rows = given.reshape(len(given), -1).astype(int)
        found = np.zeros((len(rows), vocabulary), np.float32)
        np.add.at(found, (np.arange(len(rows))[:, None], rows), 1 / rows.shape[1])
        hook(found, None)

    return count
