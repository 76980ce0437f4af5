"""Methods of the tensors of the backends, `x.view(...)`, `x.mean(dim=1)`, `x.shape.as_list()`, of symbolic ones.

A method is found by its name, as a function of the backend is that takes the tensor first.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_prune.expansion.backend_functions import counterpart, dtype_name, ints

Method = Callable[..., Any]


def _sizes(given: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes, or axes, that are passed one by one, or as one sequence."""
    return ints(given[0] if len(given) == 1 and not isinstance(given[0], int) else given)


def _reshape(x: Any, *shape: Any, **_: Any) -> Any:
    return ops.reshape(x, _sizes(shape))


def _transpose(x: Any, *axes: Any) -> Any:
    return ops.transpose(x, _sizes(axes) if axes and axes != (None,) else None)


def _size(x: Any, dim: int | None = None) -> Any:
    return tuple(x.shape) if dim is None else x.shape[dim]


def _expand(x: Any, *shape: Any) -> Any:
    sizes = _sizes(shape)
    known = (1,) * (len(sizes) - len(x.shape)) + tuple(x.shape)
    return ops.broadcast_to(x, [old if size == -1 else size for size, old in zip(sizes, known, strict=True)])


def _to(x: Any, *given: Any, **named: Any) -> Any:
    """As another type; on which device it lies means nothing here."""
    for each in (*given, *named.values()):
        try:
            return ops.cast(x, dtype_name(each))
        except (TypeError, ValueError):
            continue
    return x


def _itself(x: Any, *_: Any, **__: Any) -> Any:
    return x


TORCH: dict[str, Method] = {
    "view": _reshape,
    "reshape": _reshape,
    "permute": _transpose,
    "size": _size,
    "dim": lambda x: len(x.shape),
    "expand": _expand,
    "expand_as": lambda x, other: ops.broadcast_to(x, other.shape),
    "view_as": lambda x, other: ops.reshape(x, other.shape),
    "repeat": lambda x, *counts: ops.tile(x, _sizes(counts)),
    "contiguous": _itself,
    "clone": _itself,
    "detach": ops.stop_gradient,
    "to": _to,
    "float": lambda x: ops.cast(x, "float32"),
    "long": lambda x: ops.cast(x, "int64"),
    "int": lambda x: ops.cast(x, "int32"),
    "bool": lambda x: ops.cast(x, "bool"),
    "type_as": lambda x, other: ops.cast(x, other.dtype),
    "t": ops.transpose,
    "T": property(ops.transpose),  # type: ignore[dict-item]
    "mT": property(lambda x: ops.swapaxes(x, -1, -2)),  # type: ignore[dict-item]
    "masked_fill": lambda x, mask, value: ops.where(mask, ops.cast(value, x.dtype), x),
}
JAX: dict[str, Method] = {
    "reshape": _reshape,
    "transpose": _transpose,
    "swapaxes": ops.swapaxes,
    "astype": lambda x, dtype, **_: ops.cast(x, dtype_name(dtype)),
    "T": property(ops.transpose),  # type: ignore[dict-item]
    "mT": property(lambda x: ops.swapaxes(x, -1, -2)),  # type: ignore[dict-item]
    "size": property(lambda x: _product(x.shape)),  # type: ignore[dict-item]
}
TENSORFLOW: dict[str, Method] = {"get_shape": lambda x: x.shape}
TABLES = {"tensorflow": TENSORFLOW, "jax": JAX, "torch": TORCH}
# Methods that are functions of the backend, too, with the tensor first.
_OF_JAX = """
    sum mean max min prod std var any all argmax argmin clip flatten squeeze take cumsum dot round ravel
"""
_OF_TORCH = """
    sum mean max min prod std var any all argmax argmin clamp clip flatten squeeze unsqueeze transpose swapaxes chunk
    split matmul bmm softmax log_softmax sigmoid tanh relu exp log sqrt rsqrt abs pow square add mul sub div cumsum norm
    round sin cos neg unbind
"""
_FUNCTIONS = {"jax": _OF_JAX.split(), "torch": _OF_TORCH.split()}


def _product(shape: Any) -> int:
    return functools.reduce(lambda one, other: one * other, shape, 1)


def attribute(tensor: Any, name: str) -> Any:
    """Return what a tensor of the backend has by this name, of a symbolic tensor.

    Raises:
        AttributeError: It has none, or none that `keras.ops` knows.
    """
    family = keras.backend.backend()
    found: Any = TABLES.get(family, {}).get(name)
    if isinstance(found, property):
        return found.__get__(tensor)
    if found is None and name in _FUNCTIONS.get(family, ()):
        found = counterpart(family, name)
    if found is None:
        raise AttributeError(f"a symbolic tensor has no '{name}'")
    return functools.partial(found, tensor)


class Sizes(tuple[Any, ...]):
    """The shape of a tensor, as TensorFlow's are asked for it."""

    def as_list(self) -> list[Any]:
        """The sizes."""
        return list(self)

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self)

    ndims = rank

    def num_elements(self) -> int:
        """The number of entries."""
        return _product(self)
