"""Whether the copy of a layer computes what the layer computes, tried on random inputs where that is not certain.

What Keras's own classes hold is known, and copied. A class of the user's may hold what a copy shares, loses or draws
again: an object that allows no copies, a number that its configuration does not tell. Such a copy would differ in
silence.
"""

import functools
import inspect
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras

_SIZE = 16  # of an axis of unknown size, after that of the samples
_SAMPLES = 2
_TOLERANCE = {"float32": 1e-3, "float64": 1e-3}  # of the largest number; those of fewer bits differ more
_KNOWN = frozenset({"jax", "jaxlib", "keras", "numpy", "tensorflow", "torch"}) | sys.stdlib_module_names


def check_copy(layer: keras.Layer, copy: keras.Layer, used: keras.Layer | None = None) -> None:
    """Compare a layer with its copy on one random batch, if it holds anything that is not Keras's own.

    Their variables are given other values meanwhile, the same to both: a copy that still reads a variable of the
    original is found too. Neither is changed. Layers that cannot run on such inputs, or that give other outputs each
    time, are passed over.

    Args:
        layer: A layer of a model.
        copy: Its copy, built, with the values of its variables.
        used: What stands for the layer in the model's graph, a wrapper perhaps. Defaults to None: the layer itself.

    Raises:
        ValueError: The copy fails, or its outputs are others.
    """
    nodes = _keras.nodes_of(layer if used is None else used)
    if not nodes or not _may_differ(layer):
        return
    with nothing_drawn():
        try:
            args, kwargs = _random_inputs(layer, nodes[0])
            expected = _outputs(layer, args, kwargs)
        except Exception:  # whatever its class raises on inputs that it was not made for
            return
        try:
            found = _outputs(copy, args, kwargs)
        except Exception as error:
            raise _refusal(layer, f"{type(error).__name__}: {error}") from error
        if not _are_same(layer, found, expected) and _are_same(layer, _outputs(layer, args, kwargs), expected):
            raise _refusal(layer, "other outputs for the same inputs")


def _refusal(layer: keras.Layer, found: str) -> ValueError:
    return ValueError(
        f"The copy of layer '{layer.name}' does not compute what the layer computes. What its `call` reads must be in "
        "its attributes and allow copies, or follow from `get_config`; numbers that it draws belong into variables. "
        f"Received: a layer of class {type(layer).__name__}, whose copy gives {found}"
    )


def _may_differ(layer: keras.Layer) -> bool:
    return any(
        not _keras.is_of_keras(type(part))
        or not _keras.can_duplicate(part)
        or isinstance(part, keras.layers.Lambda | keras.layers.JaxLayer)
        or any(map(_is_foreign, vars(part).values()))
        for part in _keras.flatten(layer)
    )


def _is_foreign(held: Any) -> bool:
    """Whether an attribute is a function or an object of the user's."""
    held = held.func if isinstance(held, functools.partial) else held
    kind = held if isinstance(held, types.FunctionType | types.MethodType) else type(held)
    return (kind.__module__ or "").split(".")[0] not in _KNOWN


@contextmanager
def nothing_drawn() -> Iterator[None]:
    """What a layer draws meanwhile is not missing later."""
    state = np.random.get_state()  # noqa: NPY002  # which layers of the user's may draw from
    try:
        with _keras.unnoticed():
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _random_inputs(layer: keras.Layer, node: Any) -> tuple[Any, dict[str, Any]]:
    """What the layer is called with in the graph, with numbers in place of the tensors; not as in training."""
    random = np.random.default_rng(0)

    def draw(leaf: Any) -> Any:
        if not isinstance(leaf, keras.KerasTensor):
            return leaf
        shape = [size or (_SIZE if axis else _SAMPLES) for axis, size in enumerate(leaf.shape)]
        whole = not keras.backend.is_float_dtype(leaf.dtype)
        values = random.integers(0, 2, shape) if whole else random.normal(size=shape)
        return ops.cast(ops.convert_to_tensor(values), leaf.dtype)

    args, kwargs = keras.tree.map_structure(draw, (node.arguments.args, dict(node.arguments.kwargs)))
    if "training" in inspect.signature(layer.call).parameters:
        kwargs["training"] = False
    return args, kwargs


def _outputs(layer: keras.Layer, args: Any, kwargs: dict[str, Any]) -> list[np.ndarray]:
    mapping = [
        (variable, ops.convert_to_tensor(_moved(variable), variable.dtype))
        for variable in layer.variables
        if keras.backend.is_float_dtype(variable.dtype)
    ]
    with keras.StatelessScope(state_mapping=mapping):  # what it assigns is forgotten
        found = keras.tree.flatten(layer(*args, **kwargs))
    return [ops.convert_to_numpy(ops.cast(each, "float32")) for each in found if each is not None]


def _moved(variable: keras.Variable) -> np.ndarray:
    values = np.asarray(_keras.as_numpy(variable), "float32") * 1.125
    return values + 0.01 if variable.trainable else values  # moving statistics may not become negative


def _are_same(layer: keras.Layer, found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    if [each.shape for each in found] != [each.shape for each in expected]:
        return False
    part = _TOLERANCE.get(layer.compute_dtype, 0.03)
    return all(
        np.allclose(one, other, rtol=0, atol=part * _largest(other), equal_nan=True)
        for one, other in zip(found, expected, strict=True)
    )


def _largest(values: np.ndarray) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max()) if finite.size else 0.0
