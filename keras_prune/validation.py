"""Checks of arguments, the same for every function: each returns a plain Python value or raises. And of numbers that
must be finite.

Numbers of NumPy count as numbers; booleans and text do not. Counts are integers; steps, which are often computed by a
division, may also be 3.0. All messages say what is allowed and end in "Received: ...".
"""

import math
import numbers
import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tflite_export.validation import check_flag as check_flag  # one for both packages

if TYPE_CHECKING:
    import keras

_EPSILON = 1e-9  # 0.7 * 10 is 6.999...: a fraction that was meant to be whole


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number, perhaps of NumPy, and no boolean."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value: Any, minimum: int | None = None) -> bool:
    """Whether `value` is an integer, perhaps of NumPy, of at least `minimum`; 3.0 is none."""
    integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return integer and (minimum is None or int(value) >= minimum)


def is_fraction(value: Any, *, zero: bool = True) -> bool:
    """Whether `value` is a number in [0, 1), or with `zero=False` in (0, 1)."""
    return is_number(value) and (value >= 0 if zero else value > 0) and value < 1


def check_integer(value: Any, name: str, minimum: int = 0, maximum: int | None = None) -> int:
    """Returns `value` as an int.

    Raises:
        ValueError: It is not an integer of at least `minimum`, and at most `maximum` if there is one.
    """
    if not is_integer(value, minimum) or (maximum is not None and value > maximum):
        span = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        raise ValueError(f"`{name}` must be an integer {span}. Received: {name}={value!r}")
    return int(value)


def check_step(value: Any, name: str, minimum: int = 0) -> int:
    """Returns `value`, a number of steps, epochs or rounds, as an int.

    Raises:
        ValueError: It is not a whole number, perhaps as 3.0, of at least `minimum`.
    """
    if not is_number(value) or value != int(value) or value < minimum:
        raise ValueError(f"`{name}` must be a whole number of at least {minimum}. Received: {name}={value!r}")
    return int(value)


def check_pair(value: Any, name: str, minimum: int = 0) -> tuple[int, int]:
    """Returns `value` as a tuple of two ints.

    Raises:
        ValueError: It is not a sequence of two integers of at least `minimum`.
    """
    pair = isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) == 2
    if not pair or not all(is_integer(each, minimum) for each in value):
        raise ValueError(f"`{name}` must be two integers of at least {minimum}. Received: {name}={value!r}")
    return int(value[0]), int(value[1])


def check_number(
    value: Any, name: str, minimum: float = -math.inf, maximum: float = math.inf, *, above: bool = False
) -> float:
    """Returns `value` as a float.

    Raises:
        ValueError: It is not a finite number of at least `minimum`, or with `above=True` above it, and at most
            `maximum`.
    """
    if not is_number(value) or not (value > minimum if above else value >= minimum) or value > maximum:
        if maximum < math.inf:
            span = f"number in {'(' if above else '['}{minimum:g}, {maximum:g}]"
        elif minimum > -math.inf:
            span = f"number {'above' if above else 'of at least'} {minimum:g}"
        else:
            span = "finite number"
        raise ValueError(f"`{name}` must be a {span}. Received: {name}={value!r}")
    return float(value)


def check_fraction(value: Any, name: str, *, zero: bool = True) -> float:
    """Returns `value` as a float.

    Raises:
        ValueError: It is not a number in [0, 1), or with `zero=False` in (0, 1).
    """
    if not is_fraction(value, zero=zero):
        raise ValueError(f"`{name}` must be a number in {'[' if zero else '('}0, 1). Received: {name}={value!r}")
    return float(value)


def check_sparsity(value: Any, name: str = "sparsity") -> float:
    """Returns `value` as a float.

    Raises:
        ValueError: It is no sparsity, a number in [0, 1).
    """
    try:
        number = math.nan if isinstance(value, bool | str | bytes) else float(value)  # `float` takes those too
    except (TypeError, ValueError):
        number = math.nan
    if not 0.0 <= number < 1.0:  # also catches NaN
        raise ValueError(
            f"`{name}` must be a number in [0, 1): at least one weight is always kept. Received: {name}={value!r}"
        )
    return number


def check_verbose(value: Any) -> int:
    """Returns `verbose` as an int.

    Raises:
        ValueError: It is neither a boolean nor an integer of at least 0.
    """
    return int(value) if isinstance(value, bool | np.bool_) else check_integer(value, "verbose")


def check_progress(value: Any) -> Literal["auto", 0, 1, 2]:
    """Returns `verbose` as Keras's `fit` takes it.

    Raises:
        ValueError: It is neither 0, 1, 2 nor "auto".
    """
    if isinstance(value, bool | np.bool_):
        return 1 if value else 0
    if not (is_integer(value) or isinstance(value, str)) or value not in ("auto", 0, 1, 2):
        raise ValueError(f'`verbose` must be 0, 1, 2 or "auto". Received: verbose={value!r}')
    return "auto" if value == "auto" else int(value)  # type: ignore[return-value]


def check_text(value: Any, name: str) -> str:
    """Returns `value`.

    Raises:
        ValueError: It is no text, or an empty one.
    """
    if not isinstance(value, str) or not value:
        raise ValueError(f"`{name}` must be a name. Received: {name}={value!r}")
    return value


def check_path(value: Any, name: str) -> str:
    """Returns a path as text.

    Raises:
        ValueError: It is neither text nor a `pathlib.Path`, or empty.
    """
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError(f"`{name}` must be a path, as text or a `pathlib.Path`. Received: {name}={value!r}")
    return path


def check_array(value: Any, name: str, kind: Literal["f", "b"]) -> np.ndarray:
    """Returns an array of finite floats ("f"), or one of booleans ("b"), also of those that are given as 0 and 1.

    Raises:
        ValueError: It is none.
    """
    array = np.asarray(value) if isinstance(value, np.ndarray | list | tuple) else None
    if array is None or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise ValueError(f"`{name}` must be an array of finite numbers. Received: {name}={value!r}")
    if kind == "b" and not np.isin(array, (0, 1)).all():
        raise ValueError(f"`{name}` must be an array of booleans. Received: {name}={value!r}")
    return array.astype(np.float64 if kind == "f" else bool)


def check_layer(value: Any, name: str = "model") -> "keras.Layer":
    """Returns `value`.

    Raises:
        TypeError: It is no Keras model or layer.
    """
    import keras  # here: numbers are checked without it

    if not isinstance(value, keras.Layer):
        raise TypeError(f"`{name}` must be a Keras model or layer. Received: {name}={value!r}")
    return value


def check_choice(value: Any, name: str, allowed: Collection[Any]) -> Any:
    """Returns `value`.

    Raises:
        ValueError: It is none of `allowed`.
    """
    if not any(value is each or (type(value) is type(each) and value == each) for each in allowed):
        raise ValueError(f"`{name}` must be one of {list(allowed)}. Received: {name}={value!r}")
    return value


class NotFiniteError(ValueError):
    """Weights, or what was measured with them, are NaN or infinite, as after a training that diverged."""


def is_finite(array: np.ndarray) -> bool:
    """Whether no entry of an array is NaN or infinite; in one pass over it, and without another array of its size."""
    with np.errstate(invalid="ignore"):
        return not array.size or bool(np.isfinite(array.min()) and np.isfinite(array.max()))


def check_finite(array: np.ndarray, what: str, path: str) -> None:
    """Raises unless an array is finite.

    Args:
        array: The values.
        what: What they are, the subject of the message: "Weights".
        path: The weight that they are of.

    Raises:
        NotFiniteError: A value is NaN or infinite.
    """
    if not is_finite(array):
        raise NotFiniteError(
            f"{what} must be finite: did the training diverge? Received: NaN or infinite values in '{path}'"
        )


def part(ratio: float, size: int) -> int:
    """The part of a number that a fraction of it is, rounded down."""
    return int(ratio * size + _EPSILON)
