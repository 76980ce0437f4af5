"""Data from `.npz` files, loaded without pickles, in the structure that a model takes."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_prune.cli.arrays import Arrays, drawn, open_arrays
from keras_prune.cli.errors import BadInput
from keras_prune.cli.keys import Split, keys


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
    with open_arrays(path) as arrays:
        x = _inputs(arrays, model, [x_key] if x_key else keys("x", split))
        y = _targets(arrays, model, [y_key] if y_key else keys("y", split), needed=targets or y_key is not None)
    return _draw(Data(x, y), samples, path)


def _inputs(arrays: Arrays, model: keras.Model | None, keys: Sequence[str]) -> Any:
    structure = _input_of(model)
    if structure is None:
        return arrays.read(arrays.first(keys, [""]))
    tensors = keras.tree.flatten(structure)
    names = [""] if len(tensors) == 1 else [f"_{tensor.name}" for tensor in tensors]
    key = arrays.first(keys, names)
    found = [arrays.read(key + name) for name in names]
    for name, array, tensor in zip(names, found, tensors, strict=True):
        _check_shape(key + name, array, tensor.shape, arrays.path)
    return keras.tree.pack_sequence_as(structure, found)


def _targets(arrays: Arrays, model: keras.Model | None, keys: Sequence[str], needed: bool) -> Any:
    outputs = _output_of(model)
    names = [f"_{name}" for name in outputs] if isinstance(outputs, dict) else [""]
    if model is not None and isinstance(outputs, list | tuple):
        names = [f"_{name}" for name in model.output_names]
    if len(names) == 1:
        names = [""]
    if not needed and not any(arrays.has(key, names) for key in keys):
        return None
    key = arrays.first(keys, names)
    found = [arrays.read(key + name) for name in names]
    if isinstance(outputs, dict):
        return dict(zip(outputs, found, strict=True))
    return found[0] if len(found) == 1 else found


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
    return data.of(drawn(lengths[0], samples))
