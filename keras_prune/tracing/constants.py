"""Arrays among the arguments of an operation: constants, cut where the channels that they meet are removed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune.tracing.kept_channels import Kept
from keras_prune.tracing.labels import Labels

# Where an argument is in a call: its position or name; then, in a list or dict of arguments, its place there.
Path = tuple[int | str, ...]


def find_constants(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """Yields where each array stands in a call, and its shape. Single numbers are none.

    Variables are none: they belong to layers, and others may read them.
    """
    for position, value in enumerate(args):
        yield from _find(value, (position,))
    for name, value in kwargs.items():
        yield from _find(value, (name,))


def _find(value: Any, path: Path) -> Iterator[tuple[Path, tuple[int, ...]]]:
    if isinstance(value, Labels | keras.Variable):
        return
    if isinstance(value, list | tuple | dict):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _find(part, (*path, key))
        return
    if len(getattr(value, "shape", ())) > 0:
        yield path, tuple(value.shape)


def cut_constants(
    args: tuple[Any, ...], kwargs: dict[str, Any], cuts: Mapping[Path, Sequence[np.ndarray]], kept: Kept
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, its constants cut as the tensors are, by their labels, that they are broadcast to."""
    for (first, *rest), planes in cuts.items():
        if isinstance(first, str):
            kwargs = {**kwargs, first: _replace(kwargs[first], rest, planes, kept)}
        else:
            args = (*args[:first], _replace(args[first], rest, planes, kept), *args[first + 1 :])
    return args, kwargs


def _replace(value: Any, path: Sequence[int | str], planes: Sequence[np.ndarray], kept: Kept) -> Any:
    if not path:
        return _cut(value, planes, kept)
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    changed = [(key, _replace(part, path[1:], planes, kept) if key == path[0] else part) for key, part in items]
    return type(value)(changed if isinstance(value, dict) else [part for _, part in changed])


def _cut(value: Any, planes: Sequence[np.ndarray], kept: Kept) -> Any:
    shape = tuple(value.shape)
    for axis, mask in kept.along_axes(*planes).items():
        place = axis - planes[0].ndim + len(shape)
        if place < 0 or shape[place] == 1:  # it has one entry for all channels
            continue
        if isinstance(value, np.ndarray):
            value = np.compress(mask, value, place)
        else:  # a tensor of the backend
            value = ops.take(value, np.flatnonzero(mask).astype("int32"), place)
    return value
