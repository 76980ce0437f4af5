"""Importance: how much a weight matters, as a score; higher = keep.

An importance is a function `weight -> scores` of NumPy arrays of the same shape. It returns a new array, which the
caller may overwrite. One idea a file; `get` finds them by name, and any function of that form does instead of a name.
"""

from collections.abc import Callable

import numpy as np

from keras_prune.importance.magnitude import magnitude

Importance = Callable[[np.ndarray], np.ndarray]

_BY_NAME: dict[str, Importance] = {"magnitude": magnitude}


def get(importance: str | Importance) -> Importance:
    """Returns the importance of this name, or the function itself.

    Raises:
        ValueError: No importance has this name, or the argument is neither a name nor a function.
    """
    if isinstance(importance, str) and importance in _BY_NAME:
        return _BY_NAME[importance]
    if callable(importance):
        return importance
    raise ValueError(
        f"`importance` must be one of {sorted(_BY_NAME)} or a function `weight -> scores`. "
        f"Received: importance={importance!r}"
    )
