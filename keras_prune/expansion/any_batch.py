"""From two graphs of different batch sizes to one of any: which settings and constants follow the batch, and how."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops


class Follows(Exception):
    """Exception for something that follows the batch in a way that no graph of any batch size expresses."""


@dataclasses.dataclass(frozen=True)
class Batches:
    """The sizes of the batch in the two graphs."""

    first: int
    second: int

    def follows(self, one: Any, other: Any) -> bool:
        """Whether two sizes are the batch, or multiples of it. Raises `Follows` if they differ otherwise."""
        if one == other:
            return False
        if not _is_size(one) or not _is_size(other) or one * self.second != other * self.first:
            raise Follows(f"a size is {one} for a batch of {self.first} and {other} for a batch of {self.second}")
        return True


def _is_size(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def shape_of_any(one: Any, other: Any, output: Any, batches: Batches) -> tuple[int, ...]:
    """The shape to reshape to, for any batch: -1 in the place of the size that follows it.

    Args:
        one: The shape for the first batch size.
        other: That for the second.
        output: The shape that comes out for the first: what is -1 in both is known there.
        batches: The batch sizes.
    """
    one, other = _as_tuple(one), _as_tuple(other)
    if len(one) != len(other):
        raise Follows(f"shapes are {one} and {other}")
    follow = [batches.follows(first, second) for first, second in zip(one, other, strict=True)]
    if sum(follow) > 1:
        raise Follows(f"several sizes of a shape follow the batch: {one} and {other}")
    sizes = []
    for size, moves, known in zip(one, follow, output, strict=True):
        sizes.append(-1 if moves else int(known if size == -1 and any(follow) else size))
    return tuple(sizes)


def _as_tuple(shape: Any) -> tuple[Any, ...]:
    return (shape,) if _is_size(shape) else tuple(shape)


def slice_of_any(one: slice, other: slice, batches: Batches) -> slice:
    """A slice for any batch: what ends at the last sample ends nowhere."""
    if same(one, other):
        return one
    ends = (one.stop, other.stop) == (batches.first, batches.second)
    if ends and one.start in (None, 0) and (one.start, one.step) == (other.start, other.step):
        return slice(one.start, None, one.step)
    raise Follows(f"a slice is {one} for one batch size and {other} for another")


def array_of_any(one: Any, other: Any, batches: Batches) -> tuple[np.ndarray, bool]:
    """A constant for any batch, and whether its first axis, cut to one row, is to be repeated for each sample."""
    first, second = ops.convert_to_numpy(one), ops.convert_to_numpy(other)
    if first.shape == second.shape:
        if not np.array_equal(first, second, equal_nan=first.dtype.kind == "f"):
            raise Follows("a constant that its code makes has other values each time, or in training")
        return first, False
    if first.ndim != second.ndim or first.shape[1:] != second.shape[1:] or first.shape[0] != batches.first:
        raise Follows(f"constants are of shape {first.shape} and {second.shape}")
    if not np.array_equal(np.broadcast_to(first[:1], second.shape), second) or not (first == first[:1]).all():
        raise Follows("the rows of a constant differ between samples")
    return first[:1], True


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The settings that differ, by name."""
    return [key for key in one if not same(one[key], other.get(key))]


def same(one: Any, other: Any) -> bool:
    """Whether two settings are equal."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray) or ops.is_tensor(one) or ops.is_tensor(other):
        try:
            return bool(np.array_equal(ops.convert_to_numpy(one), ops.convert_to_numpy(other)))
        except (TypeError, ValueError):
            return False
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, slice) and isinstance(other, slice):
        return same((one.start, one.stop, one.step), (other.start, other.stop, other.step))
    if isinstance(one, keras.dtype_policies.DTypePolicy):
        return type(one) is type(other) and one.name == other.name
    try:
        return bool(one is other or one == other)
    except (TypeError, ValueError):
        return False
