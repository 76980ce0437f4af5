"""The numbers and switches that `export` takes, checked."""

import math
from typing import Any


def check_options(tolerance: Any, samples: Any, batch_size: Any) -> None:
    """Whether these arguments of `export` are what they must be.

    Raises:
        ValueError: One is not.
    """
    if tolerance is not None and (not _is_number(tolerance) or not 0 <= tolerance < math.inf):
        raise ValueError(f"`tolerance` must be a finite number, 0 or more. Received: {tolerance!r}")
    if not _is_count(samples):
        raise ValueError(f"`samples` must be an integer, 1 or more. Received: {samples!r}")
    if batch_size is not None and not _is_count(batch_size):
        raise ValueError(f"`batch_size` must be an integer, 1 or more, or None. Received: {batch_size!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
