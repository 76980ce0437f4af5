"""The time that a search may take."""

import time


class OutOfTime(Exception):
    """What comes next does not fit into the time that is left."""


class Clock:
    """Runs from when it is made.

    Args:
        limit: Seconds; None: there is no limit.
    """

    def __init__(self, limit: float | None):
        self._limit, self._start = limit, time.monotonic()

    @property
    def passed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def need(self, seconds: float, what: str) -> None:
        """Raises `OutOfTime` if less than this is left."""
        if self._limit is not None and self.passed + seconds > self._limit:
            raise OutOfTime(
                f"{what} takes about {seconds:.3g} s, and {max(0.0, self._limit - self.passed):.3g} s of the time "
                f"limit of {self._limit:g} s are left"
            )
