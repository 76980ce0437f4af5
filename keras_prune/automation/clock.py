"""`Clock`: the time limit of a search."""

import time


class OutOfTime(Exception):
    """Error: the next step does not fit into the remaining time."""


class Clock:
    """Stopwatch with a limit, started when it is made.

    Args:
        limit: In seconds; None: no limit.
    """

    def __init__(self, limit: float | None):
        self._limit, self._start = limit, time.monotonic()

    @property
    def passed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def need(self, seconds: float, what: str) -> None:
        """Raise `OutOfTime` if fewer than `seconds`, which `what` takes, remain."""
        if self._limit is not None and self.passed + seconds > self._limit:
            raise OutOfTime(
                f"{what} takes about {seconds:.3g} s, and {max(0.0, self._limit - self.passed):.3g} s of the time "
                f"limit of {self._limit:g} s remain"
            )
