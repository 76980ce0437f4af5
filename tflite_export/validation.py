"""Checks of arguments: each returns a plain Python value or raises.

Numbers of NumPy count as numbers, booleans do not. All messages say what is allowed and end in "Received: ...".
"""

import math
import numbers
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np


def is_integer(value: Any, minimum: int) -> bool:
    """Whether `value` is an integer, perhaps of NumPy, of at least `minimum`; 3.0 is none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= minimum


def check_integer(value: Any, name: str, minimum: int) -> int:
    """Return `value` as an int.

    Raises:
        ValueError: It is not an integer of at least `minimum`.
    """
    if not is_integer(value, minimum):
        raise ValueError(f"`{name}` must be an integer of at least {minimum}. Received: {name}={value!r}")
    return int(value)


def check_number(value: Any, name: str, minimum: float) -> float:
    """Return `value` as a float.

    Raises:
        ValueError: It is not a finite number of at least `minimum`.
    """
    if not _is_number(value) or value < minimum:
        raise ValueError(f"`{name}` must be a number of at least {minimum:g}. Received: {name}={value!r}")
    return float(value)


def check_flag(value: Any, name: str) -> bool:
    """Return `value` as a bool.

    Raises:
        ValueError: It is no boolean: text such as "no" would count as true.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}")
    return bool(value)


def check_choice(value: Any, name: str, allowed: Sequence[Any], where: str = "") -> Any:
    """Return `value`.

    Args:
        value: The argument.
        name: What it is called.
        allowed: What it may be.
        where: On what this depends, for the message: " with quantize='int8'". Defaults to "", on nothing.

    Raises:
        ValueError: It is none of `allowed`.
    """
    if not any(value is each or (type(value) is type(each) and value == each) for each in allowed):
        raise ValueError(f"`{name}` must be one of {list(allowed)}{where}. Received: {name}={value!r}")
    return value


def check_subset(value: Any, name: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """Return `value` as a tuple.

    Raises:
        ValueError: It is no collection, or holds something that is not in `allowed`.
    """
    if (
        isinstance(value, str)
        or not isinstance(value, Collection)
        or not all(isinstance(each, str) and each in allowed for each in value)
    ):
        raise ValueError(f"`{name}` must be a tuple of some of {list(allowed)}. Received: {name}={value!r}")
    return tuple(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
