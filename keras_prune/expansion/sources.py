"""Symbolic tensors in the place of weights and arrays, and what custom code may assign to a weight."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune.expansion.traced import ordered


class Source(keras.KerasTensor):
    """A symbolic tensor in the place of a variable, or an array.

    Args:
        shape: The shape.
        dtype: The type.
        assign: What is done where custom code assigns another value to it, given itself and the value.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str, assign: Callable[[Any, Any], Any]):
        super().__init__(shape, dtype=dtype)
        self._assigned = assign

    @property
    def value(self) -> "Source":
        """Itself: the value of a variable is a tensor."""
        return self

    def assign(self, value: Any) -> Any:
        """Hands the value on."""
        return self._assigned(self, value)

    def assign_add(self, value: Any) -> Any:
        """No tensor of a graph keeps a value for the next call."""
        raise ValueError("it changes its weights when it is called")

    assign_sub = assign_add


def only_masks(source: Any, value: Any, sources: Mapping[int, Any]) -> bool:
    """Whether a value is a weight, some entries of which are zeros: then it is the same from call to call.

    Args:
        source: The tensor in the place of the weight.
        value: What is computed of it.
        sources: By identity of a tensor that no operation made what it stands for.
    """
    if not isinstance(value, keras.KerasTensor) or tuple(value.shape) != tuple(source.shape):
        return False
    drawn = np.random.default_rng(0).normal(size=tuple(source.shape)).astype("float32")
    try:
        one, other = (_computed(source, value, sources, given) for given in (drawn, -2 * drawn))
    except Exception:  # it depends on the inputs of the model, or on other weights
        return False
    mask = one != 0
    return np.allclose(one, drawn * mask) and np.allclose(other, -2 * drawn * mask)


def _computed(source: Any, value: Any, sources: Mapping[int, Any], given: np.ndarray) -> np.ndarray:
    known = {each: held for each, held in sources.items() if not isinstance(held, keras.Variable)}
    known[id(source)] = ops.convert_to_tensor(given)
    for node in ordered(value, dict(sources)):
        args, kwargs = keras.tree.map_structure(
            lambda leaf: known[id(leaf)] if isinstance(leaf, keras.KerasTensor) else leaf,
            (node.arguments.args, dict(node.arguments.kwargs)),
        )
        made = node.operation(*args, **kwargs)
        known.update(zip(map(id, node.outputs), keras.tree.flatten(made), strict=True))
    return np.asarray(ops.convert_to_numpy(known[id(value)]))
