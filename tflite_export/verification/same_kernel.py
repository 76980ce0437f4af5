"""Whether a constant of a file may be a kernel of the model: by its values, which tell more than its size."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_ENOUGH = 4  # signs in a row, for its sum to tell anything
_ROUNDED = 0.75  # more of a kernel's values are not rounded to zero, even in 4 bits
_ALIKE = 0.75  # fewer of the signs of a kernel are those of another one, of a size at which that can be told


def may_be(kernel: Array, constant: Array | None) -> bool:
    """Whether a constant may be a kernel in another order of axes, scaled, and perhaps without its zeros.

    Where the kernel is not zero, the constant must have the same signs, or in a whole channel the opposite ones: the
    converter multiplies scales into kernels, which leave signs as they are, and rounds.

    Args:
        kernel: Values of the kernel, as Keras has them.
        constant: Values of a constant with as many elements; None where they are unknown, and it may be any.
    """
    if constant is None:
        return True
    signs = np.sign(np.asarray(constant, "float32"))
    orders = itertools.permutations(range(kernel.ndim))
    return any(_agree(np.sign(kernel.transpose(order)).reshape(signs.shape), signs) for order in orders)


def _agree(one: Array, other: Array) -> bool:
    same, support = one * other, np.count_nonzero(one)
    count = np.count_nonzero(same)
    if support < _ENOUGH:
        return True  # too few to tell
    if count < (1 - _ROUNDED) * support:
        return False
    for axis in (None, *range(same.ndim)):
        rows = same.reshape(1, -1) if axis is None else np.moveaxis(same, axis, 0).reshape(same.shape[axis], -1)
        if count >= _ENOUGH * len(rows) and np.abs(rows.sum(axis=1)).sum() >= _ALIKE * count:
            return True
    return False


def fewest(kernels: Sequence[Array], zeros: Sequence[int], constants: Sequence[Array | None]) -> list[int]:
    """Return which of these kernels are in a file at least: for each constant one that it may be, of few zeros.

    Args:
        kernels: Kernels of one size.
        zeros: How many zeros each has.
        constants: The constants of this size in the file; None where the values of one are unknown.
    """
    candidates = [[place for place, each in enumerate(kernels) if may_be(each, constant)] for constant in constants]
    taken: list[int] = []
    for places in sorted(candidates, key=len):
        left = [place for place in places if place not in taken]
        if left:
            taken.append(min(left, key=lambda place: zeros[place]))
    return taken
