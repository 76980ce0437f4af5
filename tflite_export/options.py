"""The numbers and switches that `export` takes, checked."""

import math
from collections.abc import Collection
from typing import Any

ALLOWED = ("flex", "custom")  # operators that are not LiteRT's own


def check_options(tolerance: Any, samples: Any, batch_size: Any, allow: Any, verify: Any, labels: Any) -> None:
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
    if isinstance(allow, str) or not isinstance(allow, Collection) or not set(allow) <= set(ALLOWED):
        raise ValueError(f"`allow` must be a tuple of some of {list(ALLOWED)}. Received: {allow!r}")
    if not isinstance(verify, bool):
        raise ValueError(f"`verify` must be True or False. Received: {verify!r}")
    if not verify and labels is not None:
        raise ValueError("The accuracy for `labels` is measured by the check. Received: labels with verify=False")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
