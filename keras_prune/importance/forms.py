"""The forms that a function which scores may have."""

import inspect
from collections.abc import Callable
from typing import Any


def name_of(score: Any) -> str:
    """What an importance is called: its own name, or that of the function."""
    return score if isinstance(score, str) else getattr(score, "__name__", type(score).__name__)


def takes_statistics(score: Callable[..., Any]) -> bool:
    """Whether a function has a second argument that must be passed: it is measured on data."""
    try:
        parameters = inspect.signature(score).parameters.values()
    except (TypeError, ValueError):  # of some functions written in C
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in positional and each.default is inspect.Parameter.empty for each in parameters) > 1
