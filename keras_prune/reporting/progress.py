"""A progress bar, but only for what takes long."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import keras

T = TypeVar("T")
PATIENCE = 5.0  # seconds without output


def track(items: Iterable[T], total: int | None, title: str) -> Iterator[T]:
    """Yield the items; show how many were done, once they have taken some seconds and some more are to come.

    Args:
        items: What is worked through.
        total: Their number, if known.
        title: What is done, printed above the bar.
    """
    start = time.monotonic()
    bar = None
    for count, item in enumerate(items):
        passed = time.monotonic() - start
        rest = passed if total is None else passed / max(count, 1) * (total - count)
        if bar is None and min(passed, rest) > PATIENCE:
            print(title)
            bar = keras.utils.Progbar(total, interval=1.0)
        if bar is not None:
            bar.update(count, finalize=False)
        yield item
    if bar is not None:
        bar.update(count + 1, finalize=True)
