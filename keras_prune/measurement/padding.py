"""Positions of a sequence that a mask leaves out, such as those of padding: they say nothing about a layer's weights.

A mask is attached to a tensor, or is an argument of a layer around it, such as an attention or a block of a custom
class. Whether nothing at these positions reaches the outputs is not assumed but tried: a layer may ignore masks.
"""

import functools
import inspect
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.graph.stateful import states_untouched

_Outputs = list[tuple[np.ndarray, np.ndarray | None]]

SAME = 1e-4  # relative to the largest output: of float32, computed once more


@contextmanager
def replaced(layer: Any, name: str, value: Any) -> Iterator[None]:
    """Context in which an attribute of a layer is another one."""
    own = layer.__dict__.get(name)
    setattr(layer, name, value)
    try:
        yield
    finally:
        if own is None:
            delattr(layer, name)
        else:
            setattr(layer, name, own)


class Masks:
    """The masks of the calls that are under way."""

    def __init__(self) -> None:
        self._frames: list[tuple[dict[int, np.ndarray | None], list[np.ndarray | None]]] = []

    def of(self, given: Any) -> np.ndarray | None:
        """Which positions of a tensor count: its own mask or, of a tensor made within a layer, the mask of what that
        is called with. A boolean array of the first axes of the tensor; None if all count.
        """
        own = as_mask(_keras.mask_of(given))
        if own is not None:
            return own if _fits(own, given) else None
        for own_of, others in reversed(self._frames):  # attention takes the masks of its arguments away
            for mask in others if own_of.get(id(given)) is None else [own_of[id(given)]]:
                if mask is not None and _fits(mask, given):
                    return mask
        return None

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A function that calls another one, and knows the masks of its arguments meanwhile."""
        names = list(inspect.signature(call).parameters)

        @functools.wraps(call)
        def watched(*args: Any, **kwargs: Any) -> Any:
            named = dict(zip(names, args, strict=False)) | kwargs
            masks = [as_mask(each) for name, each in named.items() if name.endswith("mask")]
            own_of = {
                id(each): as_mask(_keras.mask_of(each)) for each in keras.tree.flatten(named) if ops.is_tensor(each)
            }
            self._frames.append((own_of, [*own_of.values(), *masks]))
            try:
                return call(*args, **kwargs)
            finally:
                self._frames.pop()

        return watched


@contextmanager
def masks_of_calls(model: keras.Layer, keys: Collection[int]) -> Iterator[Masks]:
    """While this holds, the masks of tensors that layers read are known, also within other layers.

    Args:
        model: The model, which must run eagerly.
        keys: The `id` of each of the layers.
    """
    masks = Masks()
    with ExitStack() as stack:
        for layer in _keras.flatten(model):
            within = any(id(part) in keys for part in _keras.flatten(layer) if part is not layer)
            if within and not _keras.is_graph(layer) and not isinstance(layer, keras.layers.RNN):
                stack.enter_context(replaced(layer, "call", masks.around(layer.call)))
        yield masks


def find_unused_padding(model: keras.Model, keys: Collection[int], inputs: Any) -> frozenset[int]:
    """Return those layers for which it makes no difference what they read at positions that a mask leaves out.

    It is tried with other values there. An output that has a mask itself is compared where that leaves nothing out.

    Args:
        model: The model, which is called eagerly.
        keys: The `id` of each of the layers.
        inputs: A batch.

    Returns:
        The `id` of these layers; without those that read no such position in the batch.
    """
    with states_untouched(model):
        expected, _ = _outputs(model, keys, (), inputs)
        found, reached = _outputs(model, keys, keys, inputs)
        if _same(found, expected):
            return frozenset(reached)
        return frozenset(key for key in reached if _same(_outputs(model, keys, {key}, inputs)[0], expected))


def as_mask(value: Any) -> np.ndarray | None:
    """A mask as a boolean array; None for what is none."""
    if value is None or not ops.is_tensor(value) or len(value.shape) < 2:
        return None
    array = np.asarray(ops.convert_to_numpy(value))
    return array.astype(bool) if array.dtype.kind in "biu" else None


def _as_floats(value: Any) -> np.ndarray:
    return np.array(ops.convert_to_numpy(ops.cast(value, "float32")))


def _fits(mask: np.ndarray, given: Any) -> bool:
    return len(given.shape) > mask.ndim and tuple(given.shape[: mask.ndim]) == mask.shape


def _outputs(
    model: keras.Model, keys: Collection[int], disturb: Collection[int], inputs: Any
) -> tuple[_Outputs, set[int]]:
    """The outputs of a model and their masks, and which layers read something else than usual."""
    reached: set[int] = set()
    with ExitStack() as stack, masks_of_calls(model, keys) as masks:
        for layer in _keras.flatten(model):
            if id(layer) in disturb:
                stack.enter_context(replaced(layer, "call", _disturbed(layer, masks, reached)))
        made = keras.tree.flatten(model(inputs, training=False))
        return [(_as_floats(each), as_mask(_keras.mask_of(each))) for each in made], reached


def _disturbed(layer: Any, masks: Masks, reached: set[int]) -> Callable[..., Any]:
    call = layer.call

    def change(given: Any, *args: Any, **kwargs: Any) -> Any:
        mask = masks.of(given) if ops.is_tensor(given) else None
        if mask is not None and not mask.all():
            reached.add(id(layer))
            values = _as_floats(given)
            noise = np.random.default_rng(0).normal(0.0, 3 * values.std() + 1e-3, values.shape)
            values = np.where(mask.reshape(*mask.shape, *[1] * (values.ndim - mask.ndim)), values, values + noise)
            other = ops.cast(ops.convert_to_tensor(values.astype(np.float32)), given.dtype)
            _keras.set_mask(other, _keras.mask_of(given))
            given = other
        return call(given, *args, **kwargs)

    return change


def _same(found: _Outputs, expected: _Outputs) -> bool:
    for (values, mask), (wanted, _) in zip(found, expected, strict=True):
        counted = slice(None) if mask is None or mask.shape != values.shape[: mask.ndim] else mask
        with np.errstate(invalid="ignore"):  # of what is not finite: that is not the same
            difference = np.abs(values[counted] - wanted[counted])
        if difference.size and not difference.max() <= SAME * max(np.abs(wanted[counted]).max(), 1e-30):
            return False
    return True
