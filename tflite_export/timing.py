"""How long single calls take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflite_export.reporting import Shown


@dataclass(frozen=True)
class CallTime(Shown):
    """Time of a call, over several runs.

    Attributes:
        threads: How many threads an operator may use.
        runs: How many calls were timed.
        median_ms: Median time of a call, in milliseconds.
        p10_ms: 10th percentile, in milliseconds.
        p90_ms: 90th percentile, in milliseconds.
    """

    threads: int
    runs: int
    median_ms: float
    p10_ms: float
    p90_ms: float

    @classmethod
    def of(cls, threads: int, seconds: Sequence[float] | np.ndarray[Any, np.dtype[Any]]) -> "CallTime":
        """Make one from the times of single calls, in seconds."""
        low, median, high = (1e3 * float(value) for value in np.percentile(seconds, (10, 50, 90)))
        return cls(threads, len(seconds), median, low, high)
