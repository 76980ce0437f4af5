"""The inputs of a model: symbolic ones of a given batch size, those of any, and random numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import _keras

Sizes = Mapping[str, int | Sequence[int]]


class InputSpecs:
    """Shapes, types and names of the inputs of a model, in the structure that it takes.

    Args:
        model: A built model.
        sizes: By name of an input its sizes after that of the batch, or one number for all that are unknown.
        example: A batch of inputs.

    Raises:
        ValueError: `sizes` does not fit the inputs, or it is unknown what the model takes.
    """

    def __init__(self, model: keras.Model, sizes: Sizes | None, example: Any):
        self._tensors = _inputs_of(model, example)
        if not isinstance(sizes, Mapping | None):
            raise TypeError(
                f"`sizes` must be a dict of sizes by the name of an input. Received: {sizes!r} of {type(sizes)}"
            )
        self._sizes = dict(sizes or {})
        self._names = _names_of(self._tensors)
        unknown = [name for name in self._sizes if name not in self._names]
        if unknown:
            raise ValueError(
                f"`sizes` names an input that the model does not have: its inputs are {self._names}. "
                f"Received: {unknown}"
            )
        flat = keras.tree.flatten(self._tensors)
        self._shapes = [self._shape(*pair) for pair in zip(self._names, flat, strict=True)]

    @property
    def open(self) -> dict[str, int]:
        """The inputs with unknown sizes beside that of the batch, and how many."""
        counts = {name: shape[1:].count(None) for name, shape in zip(self._names, self._shapes, strict=True)}
        return {name: count for name, count in counts.items() if count}

    @property
    def sizes(self) -> dict[str, tuple[int | None, ...]]:
        """The sizes of each input after that of the batch, None where unknown."""
        return {name: shape[1:] for name, shape in zip(self._names, self._shapes, strict=True)}

    @property
    def batch(self) -> int | None:
        """The batch size, if the model has a fixed one."""
        return next((shape[0] for shape in self._shapes if shape and shape[0] is not None), None)

    def symbolic(self, batch: int | None) -> Any:
        """Symbolic inputs for this batch size; None: any."""
        made = [
            _copy(tensor, (shape[0] if shape[0] is not None else batch, *shape[1:]), name)
            for tensor, shape, name in zip(keras.tree.flatten(self._tensors), self._shapes, self._names, strict=True)
        ]
        return keras.tree.pack_sequence_as(self._tensors, made)

    def random(self, batch: int, highest: int, seed: int, size: int = 16) -> Any:
        """Random inputs.

        Args:
            batch: Their number, unless the model has a fixed one.
            highest: Whole numbers are smaller than this.
            seed: Seed.
            size: In the place of unknown sizes.
        """
        random = np.random.default_rng(seed)

        def draw(tensor: Any, shape: tuple[int | None, ...]) -> np.ndarray:
            sizes = [
                shape[0] if shape[0] is not None else batch,
                *(size if each is None else each for each in shape[1:]),
            ]
            if keras.backend.is_float_dtype(tensor.dtype):
                return random.normal(size=sizes).astype(tensor.dtype if tensor.dtype != "bfloat16" else "float32")
            if tensor.dtype == "bool":
                return random.integers(0, 2, sizes).astype(bool)
            return random.integers(0, highest, sizes).astype(tensor.dtype)

        flat = keras.tree.flatten(self._tensors)
        return keras.tree.pack_sequence_as(
            self._tensors, [draw(*pair) for pair in zip(flat, self._shapes, strict=True)]
        )

    def _shape(self, name: str, tensor: Any) -> tuple[int | None, ...]:
        shape = tuple(tensor.shape)
        given = self._sizes.get(name)
        if given is None:
            return shape
        unknown = shape[1:].count(None)
        numbers = list(given) if isinstance(given, list | tuple) else [given] * (unknown or len(shape) - 1)
        if unknown and len(numbers) == unknown:
            left = iter(numbers)
            numbers = [next(left) if size is None else size for size in shape[1:]]
        if len(numbers) != len(shape) - 1 or not all(
            type(number) is int and number > 0 and size in (None, number)
            for number, size in zip(numbers, shape[1:], strict=True)
        ):
            raise ValueError(
                f"`sizes['{name}']` must be a positive integer for each unknown size of this input, whose shape is "
                f"{shape}, or one for all. Received: {given!r}"
            )
        return (shape[0], *numbers)


def _copy(tensor: Any, shape: tuple[int | None, ...], name: str) -> Any:
    history = getattr(tensor, "_keras_history", None)
    if history is not None and history.operation is not None:
        return _keras.copy_input(tensor, shape)
    return keras.Input(batch_shape=shape, dtype=tensor.dtype, name=name)


def _inputs_of(model: keras.Model, example: Any) -> Any:
    """Symbolic tensors like the model's inputs."""
    graph = isinstance(model, _keras.FUNCTIONAL | keras.Sequential)
    several = [] if graph else _keras.arguments_of_call(model)[1:]
    if several:
        raise ValueError(
            "A graph has one argument: the inputs, which may be a list or dict of tensors. Give the model's `call` one "
            f"that it takes apart. Received: '{model.name}' of class {type(model).__name__}, whose `call` also takes "
            f"{', '.join(several)}"
        )
    if example is not None:
        return keras.tree.map_structure(_like, example)
    if graph:
        return _keras.input_structure(model)
    shapes = _keras.shapes_of_call(model)
    if shapes is None:
        raise ValueError(
            "It is unknown what the model takes. Call it on data first, or pass a batch of inputs as `example`. "
            f"Received: '{model.name}' of class {type(model).__name__}"
        )
    return _keras.symbolic_tensors(shapes, model.input_dtype)


def _like(array: Any) -> Any:
    dtype = str(np.asarray(array).dtype) if not hasattr(array, "dtype") else array.dtype
    try:
        dtype = keras.backend.standardize_dtype(dtype)
    except ValueError as error:
        raise TypeError(
            f"`example` must be a batch of numbers, or of several inputs. Received: {array!r} of {type(array)}"
        ) from error
    dtype = keras.config.floatx() if dtype == "float64" else dtype
    return keras.KerasTensor((None, *np.shape(array)[1:]), dtype=dtype)


def _names_of(tensors: Any) -> list[str]:
    """A name for each input: its key in a dict, else that of its layer, else `inputs`, `inputs_1` ..."""
    names = []
    for path, tensor in keras.tree.flatten_with_path(tensors):
        history = getattr(tensor, "_keras_history", None)
        if path and isinstance(path[-1], str):
            names.append(path[-1])
        elif history is not None and history.operation is not None:
            names.append(history.operation.name)
        else:
            names.append(f"inputs_{len(names)}" if names else "inputs")
    return names
