"""Progress of long work: a bar in a terminal; lines, without escape codes, where output is kept."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Literal, TypeVar

import keras

from tflite_export.reporting import shows_bars

T = TypeVar("T")
Verbose = Literal["auto", 0, 1, 2]
PATIENCE = 5.0  # seconds without output
INTERVAL = 30.0  # seconds between two lines
_VERBOSE: ContextVar[Verbose] = ContextVar("verbose", default="auto")


@contextlib.contextmanager
def verbosity(verbose: Verbose) -> Iterator[None]:
    """Set how much is shown in a `with` block, as the argument `verbose` of Keras: 0 nothing, 1 bars, 2 a line for each
    step; "auto" is 1, for what takes some seconds."""
    token = _VERBOSE.set(verbose)
    try:
        yield
    finally:
        _VERBOSE.reset(token)


def fit_verbose() -> int:
    """Return the argument `verbose` of Keras's `fit`: bars only where they can be seen, else a line for each epoch."""
    verbose = _VERBOSE.get()
    return verbose if verbose in (0, 2) else 1 if shows_bars() else 2


def track(items: Iterable[T], total: int | None, title: str) -> Iterator[T]:
    """Yield the items; show how many were done, unless `verbosity` says otherwise once they have taken some seconds and
    some more are to come.

    Args:
        items: What is worked through.
        total: Their number, if known.
        title: What is done: printed above the bar, or at the beginning of each line.
    """
    verbose = _VERBOSE.get()
    if verbose == 0:
        yield from items
    elif verbose == 2:
        yield from _lines(items, total, title, 0.0, 0.0)
    elif shows_bars():
        yield from _bar(items, total, title, PATIENCE if verbose == "auto" else 0.0)
    else:
        yield from _lines(items, total, title, PATIENCE, INTERVAL)


def _bar(items: Iterable[T], total: int | None, title: str, patience: float) -> Iterator[T]:
    start = time.monotonic()
    bar, count = None, -1
    for count, item in enumerate(items):
        if bar is None and _takes_long(start, count, total, patience):
            print(title)
            bar = keras.utils.Progbar(total, interval=1.0)
        if bar is not None:
            bar.update(count, finalize=False)
        yield item
    if bar is not None:
        bar.update(count + 1, finalize=True)


def _lines(items: Iterable[T], total: int | None, title: str, patience: float, interval: float) -> Iterator[T]:
    start = time.monotonic()
    last = None
    for count, item in enumerate(items):
        yield item
        now = time.monotonic()
        if now - last >= interval if last is not None else _takes_long(start, count + 1, total, patience):
            print(f"{title}: {count + 1}{'' if total is None else f' of {total}'}, {now - start:.1f} s", flush=True)
            last = now


def _takes_long(start: float, count: int, total: int | None, patience: float) -> bool:
    """Whether both what was done, and what is left, take longer."""
    passed = time.monotonic() - start
    rest = passed if total is None else passed / max(count, 1) * (total - count)
    return not patience or min(passed, rest) > patience
