"""Data from `.npz` files, loaded without pickles, in the structure that a model takes."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from keras_prune.cli.errors import BadInput
from keras_prune.reading.npz_files import MAGIC, NpzReader

Split = Literal["train", "validation", "test"]
# The order of keys: those of this split, those of no split, those of another split.
_ENDINGS = {"train": ("_train", "", "_test"), "validation": ("_val", "", "_test"), "test": ("_test", "", "_train")}


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """Samples for a model.

    Args:
        x: An array, or the structure of arrays that the model takes.
        y: Targets, likewise; None if there are none.
    """

    x: Any
    y: Any

    @property
    def pair(self) -> Any:
        """`(x, y)`; `x` alone if there are no targets."""
        return self.x if self.y is None else (self.x, self.y)

    def parts(self, fraction: float) -> tuple["Data", "Data"]:
        """Split the data into all but this fraction of the samples, and this fraction, at random with a fixed seed.

        Raises:
            BadInput: There is a single sample.
        """
        count = len(keras.tree.flatten(self.x)[0])
        if count < 2:
            raise BadInput("A part of the data is held out: there must be two samples. Received: one")
        order = np.random.default_rng(0).permutation(count)
        cut = min(max(round(count * fraction), 1), count - 1)
        return self.of(np.sort(order[cut:])), self.of(np.sort(order[:cut]))

    def of(self, chosen: np.ndarray) -> "Data":
        """Return these samples alone."""
        x, y = keras.tree.map_structure(lambda array: None if array is None else array[chosen], (self.x, self.y))
        return Data(x, y)


def load_data(
    path: str,
    model: keras.Model | None,
    *,
    x_key: str | None = None,
    y_key: str | None = None,
    split: Split = "train",
    samples: int | None = None,
    targets: bool = False,
) -> Data:
    """Read inputs and targets of a model.

    Args:
        path: An `.npz` file. Its keys are `x` and `y`, or `x_train`, `y_train`, `x_test` and `y_test`; for a model
            with several inputs `x_<name of the input>`, with several outputs `y_<name of the output>`, also after a
            longer key: `x_train_<name>`.
        model: The model that takes the data. None: something that takes one array, such as a `.tflite` file.
        x_key: Key of the inputs. Defaults to the first that exists of those above.
        y_key: Key of the targets. Likewise.
        split: `"train"`, `"validation"` or `"test"`: the keys of this split (for validation `x_val` and `y_val`) come
            first. Defaults to `"train"`.
        samples: Number of samples, drawn without replacement, with a fixed seed. Defaults to None: all.
        targets: Whether targets are required. Defaults to False.

    Raises:
        BadInput: There is no such file, it holds Python objects, it lacks a key, or an array does not fit the model.
    """
    if not Path(path).is_file():
        raise BadInput(f"There is no such file. Received: {path!r}")
    with open(path, "rb") as file:
        single = file.read(len(MAGIC)) == MAGIC
    if single:
        raise BadInput(f"The data must be a .npz file, not a single array. Received: {path!r}")
    try:
        archive = NpzReader(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"The data must be a .npz file of arrays ({error}). Received: {path!r}") from error
    with archive:
        reader = _Reader(path, archive)
        x = reader.inputs(model, [x_key] if x_key else keys("x", split))
        y = reader.targets(model, [y_key] if y_key else keys("y", split), needed=targets or y_key is not None)
    return _draw(Data(x, y), samples, path)


def keys(letter: str, split: Split) -> list[str]:
    """The keys under which inputs (`"x"`) or targets (`"y"`) are looked up, in order."""
    return [letter + ending for ending in _ENDINGS[split]]


class _Reader:
    """Reader of the arrays of an open file.

    Args:
        path: The file.
        archive: The open file.
    """

    def __init__(self, path: str, archive: NpzReader):
        self._path = path
        self._archive = archive

    def inputs(self, model: keras.Model | None, keys: Sequence[str]) -> Any:
        structure = _input_of(model)
        if structure is None:
            return self._array(self._first(keys, [""]))
        tensors = keras.tree.flatten(structure)
        names = [""] if len(tensors) == 1 else [f"_{tensor.name}" for tensor in tensors]
        key = self._first(keys, names)
        arrays = [self._array(key + name) for name in names]
        for name, array, tensor in zip(names, arrays, tensors, strict=True):
            _check_shape(key + name, array, tensor.shape, self._path)
        return keras.tree.pack_sequence_as(structure, arrays)

    def targets(self, model: keras.Model | None, keys: Sequence[str], needed: bool) -> Any:
        outputs = _output_of(model)
        names = [f"_{name}" for name in outputs] if isinstance(outputs, dict) else [""]
        if model is not None and isinstance(outputs, list | tuple):
            names = [f"_{name}" for name in model.output_names]
        if len(names) == 1:
            names = [""]
        if not needed and not any(self._has(key, names) for key in keys):
            return None
        key = self._first(keys, names)
        arrays = [self._array(key + name) for name in names]
        if isinstance(outputs, dict):
            return dict(zip(outputs, arrays, strict=True))
        return arrays[0] if len(arrays) == 1 else arrays

    def _has(self, key: str, names: Sequence[str]) -> bool:
        return all(key + name in self._archive.names for name in names)

    def _first(self, keys: Sequence[str], names: Sequence[str]) -> str:
        """Return the first key that has an array for each name."""
        for key in keys:
            if self._has(key, names):
                return key
        wanted = " or ".join(" and ".join(repr(key + name) for name in names) for key in keys)
        hint = f"; --{keys[0][0]}-key names another one" if len(keys) > 1 else ""
        raise BadInput(
            f"The data need the key {wanted}{hint}. Received: '{self._path}' with the keys {self._archive.names}"
        )

    def _array(self, key: str) -> Any:
        received = f"Received: '{self._path}', key {key!r}"
        try:
            array = self._archive.read(key)
        except ValueError as error:
            raise BadInput(f"The array cannot be read: {error}. {received}") from error
        if array.dtype.kind not in "biuf":
            raise BadInput(f"The array must hold numbers. {received} of type {array.dtype}")
        if array.ndim == 0 or not len(array):
            raise BadInput(f"The array must hold at least one sample. {received} of shape {array.shape}")
        return array


def _input_of(model: keras.Model | None) -> Any:
    """Return the inputs in the structure that the model takes; None if it is unknown, as of a subclassed model."""
    if model is None or not getattr(model, "inputs", None):
        return None
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def _output_of(model: keras.Model | None) -> Any:
    """Return the outputs in their structure; None for a single one, or if it is unknown."""
    if model is None or isinstance(model, keras.Sequential) or not getattr(model, "inputs", None):
        return None
    return model.output


def _check_shape(key: str, array: np.ndarray, shape: Sequence[int | None], path: str) -> None:
    wanted = tuple(shape)[1:]
    fits = array.ndim == len(wanted) + 1 and all(
        size is None or size == own for size, own in zip(wanted, array.shape[1:], strict=True)
    )
    if not fits:
        sizes = ", ".join("any" if size is None else str(size) for size in wanted)
        received = f"Received: '{path}', key {key!r} of shape {array.shape}"
        raise BadInput(f"The model takes arrays of shape (samples, {sizes}). {received}")


def _draw(data: Data, samples: int | None, path: str) -> Data:
    arrays = keras.tree.flatten((data.x, data.y))
    lengths = [len(array) for array in arrays if array is not None]
    if len(set(lengths)) > 1:
        raise BadInput(f"All arrays must have as many samples. Received: '{path}' with {lengths} samples")
    if samples is None or samples >= lengths[0]:
        return data
    return data.of(np.sort(np.random.default_rng(0).permutation(lengths[0])[:samples]))
