"""Importance: how much a weight or a channel matters, as a score; higher = keep. One idea a file.

Of a weight it is a function `weight -> scores` of NumPy arrays of the same shape. It returns a new array, which the
caller may overwrite. `get` finds them by name, and any function of that form does instead of a name.

Of a channel it is a function `binding -> scores`, or `(binding, statistics) -> scores` if it is measured on data: a
score for each position along an axis of a weight, or None. `keras_prune.channels.ChannelImportance` finds them by name.
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
