"""Data to measure statistics on: in any form that `fit` takes, checked batch by batch."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.masking.training_data import is_array, to_numpy

Batch = tuple[Any, Any, Any]
BATCH_SIZE = 32


class Batches:
    """Iterable of batches `(x, y, sample_weight)` of NumPy arrays, the last two None where there are none.

    Args:
        data: Arrays `x`, `(x, y)` or `(x, y, sample_weight)`, tables of pandas too, or batches of them that can be
            read more than once: a `tf.data.Dataset`, a `keras.utils.PyDataset`, a torch `DataLoader`, a list. `x` and
            `y` may be dicts or lists of arrays.
        model: The model that they must fit.
        with_targets: Whether `y` is needed.
        batch_size: Samples in a batch, where `data` are arrays. Defaults to 32.

    Raises:
        ValueError: No data, or (when read) empty, not finite or not fitting the model.
        TypeError: Something that holds no batches, or that can be read only once.
    """

    def __init__(self, data: Any, model: keras.Model, with_targets: bool, batch_size: int = BATCH_SIZE):
        if data is None:
            raise ValueError(
                "This importance is measured on data: pass `data=x`, or `data=(x, y)` if it needs the loss. "
                "Received: data=None"
            )
        self._model, self._with_targets = model, with_targets
        self._inputs = len(model.inputs) if _keras.is_graph(model) else 1
        self._source = _source(data, self._inputs, batch_size)

    def __len__(self) -> int:
        """The number of batches; raises a `TypeError` where it is unknown."""
        return len(self._source)  # type: ignore[arg-type]

    @property
    def count(self) -> int | None:
        """The number of batches, None where it is unknown."""
        try:
            return len(self)
        except TypeError:
            return None

    def __iter__(self) -> Iterator[Batch]:
        empty = True
        for batch in self._source:
            empty = False
            yield self._checked(batch)
        if empty:
            raise ValueError("`data` is empty: it holds no batches. Received: 0 samples")

    def _checked(self, batch: Any) -> Batch:
        if isinstance(batch, list) and not _is_inputs(batch, self._inputs):  # as a DataLoader gives them
            batch = tuple(batch)
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        x = check_inputs(self._model, keras.tree.map_structure(to_numpy, x))
        y, weight = (None if part is None else keras.tree.map_structure(to_numpy, part) for part in (y, weight))
        if self._with_targets and y is None:
            raise ValueError("This importance needs the loss, so targets: pass `data=(x, y)`. Received: x without y")
        sizes = {len(leaf) if leaf.ndim else 0 for leaf in keras.tree.flatten((x, y, weight)) if leaf is not None}
        if len(sizes) > 1 or 0 in sizes:
            raise ValueError(
                "`data` must have one target for each sample, and at least one sample. "
                f"Received: x of shape {shapes(x)}, y of shape {shapes(y)}, sample_weight of shape {shapes(weight)}"
            )
        for name, part in (("x", x), ("y", y)):
            for leaf in keras.tree.flatten(part):
                if leaf is not None and leaf.dtype.kind in "fc" and not np.isfinite(leaf).all():
                    raise ValueError(f"`data` must be finite. Received: {name} with NaN or infinite values")
        return x, y, weight


def check_inputs(model: keras.Model, x: Any) -> Any:
    """The inputs of a batch, those of a dict in the model's order, if they have the shapes that the model takes.

    Raises:
        ValueError: They do not; the message names the shapes.
    """
    if not _keras.is_graph(model):  # what a subclassed model takes is unknown
        return x
    expected = _keras.input_structure(model)
    if isinstance(x, dict) and not isinstance(expected, dict):  # Keras finds them by the names of the inputs
        expected = {tensor.name: tensor for tensor in keras.tree.flatten(expected)}
    if isinstance(x, dict):
        x = {name: x[name] for name in expected if name in x}
    wanted, given = keras.tree.flatten(expected), keras.tree.flatten(x)
    if len(given) != len(wanted) or not all(map(_fits, given, wanted)):
        raise ValueError(
            f"`data` does not fit the inputs of the model '{model.name}': expected "
            f"{', '.join(f'{tensor.name} {tuple(tensor.shape)}' for tensor in wanted)}. "
            f"Received: x of shape {shapes(x)}"
        )
    return x


def as_inputs(model: keras.Model, x: Any) -> Any:
    """The inputs of a batch, in the structure in which the model has its inputs: else Keras warns of another one."""
    if not _keras.is_graph(model):
        return x
    return keras.tree.pack_sequence_as(_keras.input_structure(model), keras.tree.flatten(x))


def shapes(arrays: Any) -> Any:
    """The shapes of arrays, for messages."""
    found = keras.tree.map_structure(lambda leaf: str(None if leaf is None else leaf.shape), arrays)
    return found if isinstance(found, str) else str(found).replace("'", "")


def _fits(array: np.ndarray, tensor: Any) -> bool:
    expected = tuple(tensor.shape)
    # Keras adds a last axis of size 1, or takes it away.
    candidates = [array.shape, (*array.shape, 1)] + ([array.shape[:-1]] if array.shape[-1:] == (1,) else [])
    return any(
        len(shape) == len(expected)
        and all(size is None or size == got for size, got in zip(expected[1:], shape[1:], strict=True))
        for shape in candidates
    )


def _source(data: Any, inputs: int, batch_size: int) -> Iterable[Any]:
    if isinstance(data, keras.utils.PyDataset):
        if data.num_batches is None:
            raise ValueError(
                "`data` never ends: pass some of its batches, `[data[index] for index in range(20)]`. "
                "Received: a PyDataset of infinite size"
            )
        return _Indexed(data)
    if isinstance(data, tuple) or is_array(data) or isinstance(data, dict) or _is_inputs(data, inputs):
        return _Slices(data if isinstance(data, tuple) else (data,), batch_size)
    if isinstance(data, str | bytes) or not hasattr(data, "__iter__"):
        raise TypeError(
            "`data` must be arrays `x` or `(x, y)`, or batches of them (a `tf.data.Dataset`, `PyDataset`, `DataLoader` "
            f"or list). Received: data of type {type(data).__name__}"
        )
    if iter(data) is data:
        raise TypeError(
            "`data` must be readable more than once: an iterator is not, but a list of its batches is, "
            f"`list(itertools.islice(data, 20))`. Received: data of type {type(data).__name__}"
        )
    cardinality = getattr(data, "cardinality", None)
    if callable(cardinality) and int(cardinality()) == -1:
        raise ValueError("`data` never ends: pass `data.take(20)`. Received: a dataset of infinite size")
    return data


class _Slices:
    """Arrays in batches."""

    def __init__(self, arrays: tuple[Any, ...], batch_size: int):
        self._batch_size = batch_size
        self._arrays = keras.tree.map_structure(lambda leaf: None if leaf is None else to_numpy(leaf), arrays)
        sizes = {len(leaf) if leaf.ndim else 0 for leaf in keras.tree.flatten(self._arrays) if leaf is not None}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(
                "The arrays in `data` must hold one entry for each sample, and at least one sample. "
                f"Received: arrays of shape {shapes(self._arrays)}"
            )
        self._size = sizes.pop()

    def __len__(self) -> int:
        return -(-self._size // self._batch_size)

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, self._size, self._batch_size):
            part = slice(start, start + self._batch_size)
            yield keras.tree.map_structure(lambda leaf, part=part: None if leaf is None else leaf[part], self._arrays)


class _Indexed:
    """The batches of a `PyDataset`, which says how many it has."""

    def __init__(self, data: keras.utils.PyDataset):
        self._data = data

    def __len__(self) -> int:
        return self._data.num_batches

    def __iter__(self) -> Iterator[Any]:
        return (self._data[index] for index in range(len(self)))


def _is_inputs(value: Any, inputs: int) -> bool:
    """Whether this list holds the arrays for a model of several inputs, rather than batches, or x and y."""
    return isinstance(value, list) and inputs > 1 and len(value) == inputs and all(map(is_array, value))
