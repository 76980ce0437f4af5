"""Checks of numbers that users pass: each returns plain Python numbers, or raises a `ValueError`."""

import math
import numbers
from typing import Any


def check_sparsity(value: Any, name: str = "sparsity") -> float:
    """Returns `value` as a float, or raises a `ValueError` when it is no sparsity (a number in [0, 1))."""
    try:
        number = math.nan if isinstance(value, bool | str | bytes) else float(value)  # `float` takes those too
    except (TypeError, ValueError):
        number = math.nan
    if not 0.0 <= number < 1.0:  # also catches NaN
        raise ValueError(
            f"`{name}` must be a number in [0, 1): at least one weight is always kept. Received: {name}={value!r}"
        )
    return number


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number, of NumPy's perhaps, and no boolean."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def check_step(value: Any, name: str, minimum: int = 0) -> int:
    """Returns `value` as an int, or raises a `ValueError` when it is not a whole number of at least `minimum`."""
    if not is_number(value) or value != int(value) or value < minimum:
        raise ValueError(f"`{name}` must be a whole number of at least {minimum}. Received: {name}={value!r}")
    return int(value)


_EPSILON = 1e-9  # 0.7 * 10 is 6.999...: a fraction that was meant to be whole


def is_fraction(value: Any) -> bool:
    """Whether it is a number in [0, 1)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def part(ratio: float, size: int) -> int:
    """This fraction of a number, rounded down."""
    return int(ratio * size + _EPSILON)
