"""Progress of long work: a bar in a terminal, some lines elsewhere, and nothing of what is done in seconds."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import keras

T = TypeVar("T")
PATIENCE = 5.0  # seconds without output
_GROWTH = 1.5  # of the time from one line to the next


def track(items: Iterable[T], total: int | None, title: str) -> Iterator[T]:
    """Yield the items; show how many were done, once they have taken some seconds and some more are to come.

    In a terminal that is a bar. Elsewhere (a notebook, a pipe, IDLE) the bar's commands for the terminal would be kept
    with the output, so there are lines instead, each after more time than the last.

    Args:
        items: What is worked through.
        total: Their number, if known.
        title: What is done: printed above the bar, or at the beginning of each line.
    """
    start = time.monotonic()
    bar: Any = None
    for count, item in enumerate(items):
        passed = time.monotonic() - start
        rest = passed if total is None else passed / max(count, 1) * (total - count)
        if bar is None and min(passed, rest) > PATIENCE:
            bar = _bar(total, title)
        if bar is not None:
            bar.update(count, finalize=False)
        yield item
    if bar is not None:
        bar.update(count + 1, finalize=True)


def in_terminal() -> bool:
    """Return whether what is printed goes to a terminal. IDLE says so too, but shows a terminal's commands as text."""
    is_terminal = getattr(sys.stdout, "isatty", None)
    return is_terminal is not None and is_terminal() and not type(sys.stdout).__module__.startswith("idlelib")


class Lines:
    """Progress as lines of text.

    Args:
        total: Number of items, if known.
        title: At the beginning of each line.
    """

    def __init__(self, total: int | None, title: str):
        self._total, self._title = total, title
        self._start, self._next = time.monotonic(), 0.0

    def update(self, count: int, finalize: bool) -> None:
        """Print a line, if half as much time as before the last has passed since it, or at the end."""
        passed = time.monotonic() - self._start
        if passed < self._next and not finalize:
            return
        self._next = max(passed, PATIENCE) * _GROWTH
        print(f"{self._title}: {count}{'' if self._total is None else f'/{self._total}'}", flush=True)


def _bar(total: int | None, title: str) -> Any:
    if not in_terminal():
        return Lines(total, title)
    print(title)
    return keras.utils.Progbar(total, interval=1.0)
