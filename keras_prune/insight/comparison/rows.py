"""One row of a comparison, and how its numbers are shown."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

NAMES = "parameters non_zeros sparsity macs effective_macs bytes compressed_bytes latency_ms ns_per_parameter"


@dataclasses.dataclass(frozen=True)
class ModelRow:
    """What is known of one model. None: not known, or not asked for.

    Args:
        name: The name that it was given.
        kind: `"Keras"`, or `".tflite"` for a file.
        scores: The loss, if there is one, and the metrics on the data, by name.
        parameters: Number of weights. Of a file: the real numbers that stand in it; BatchNormalization is mostly
            merged into kernels there.
        non_zeros: How many of them are not zero.
        macs: Multiply-accumulates of one sample.
        effective_macs: Those with a weight that is not zero.
        bytes: Size of the file; of a Keras model that is not exported, of its weights.
        compressed_bytes: The same after gzip.
        bytes_of: `"weights"` or `"file"`.
        latency_ms: Median time of a call with one sample, in milliseconds.
        latency_in: What ran: `"Keras"`, or `"LiteRT"` with one thread. The two do not compare.
    """

    name: str
    kind: str
    scores: Mapping[str, float]
    parameters: int
    non_zeros: int
    macs: int | None
    effective_macs: int | None
    bytes: int
    compressed_bytes: int
    bytes_of: str
    latency_ms: float | None = None
    latency_in: str | None = None

    @property
    def sparsity(self) -> float:
        """The fraction of the parameters that is zero."""
        return 1 - self.non_zeros / max(self.parameters, 1)

    @property
    def ns_per_parameter(self) -> float | None:
        """Latency in nanoseconds over the number of parameters."""
        return None if self.latency_ms is None else self.latency_ms * 1e6 / max(self.parameters, 1)

    def values(self) -> dict[str, float | None]:
        """All numbers by their names in `ModelComparison.records`."""
        names = NAMES.split()
        return {**self.scores, **{name: getattr(self, name) for name in names}}


def count(value: float) -> str:
    return f"{value:,.0f}"


def percent(value: float) -> str:
    return f"{value:.2%}"


def decimal(value: float) -> str:
    """Four digits that mean something."""
    return f"{value:.4f}" if 0.1 <= abs(value) < 1000 else f"{value:.4g}"


# What the table shows below the scores: heading, name of the value, how it is written, what the row must be.
SHOWN: tuple[tuple[str, str, Callable[[float], str], Callable[[Any], bool]], ...] = (
    ("parameters", "parameters", count, lambda row: True),
    ("non-zeros", "non_zeros", count, lambda row: True),
    ("sparsity", "sparsity", percent, lambda row: True),
    ("MACs", "macs", count, lambda row: True),
    ("effective MACs", "effective_macs", count, lambda row: True),
    ("bytes", "bytes", count, lambda row: True),
    ("bytes after gzip", "compressed_bytes", count, lambda row: True),
    ("latency in Keras, ms", "latency_ms", decimal, lambda row: row.latency_in == "Keras"),
    ("... per parameter, ns", "ns_per_parameter", decimal, lambda row: row.latency_in == "Keras"),
    ("latency in LiteRT, ms", "latency_ms", decimal, lambda row: row.latency_in == "LiteRT"),
    ("... per parameter, ns", "ns_per_parameter", decimal, lambda row: row.latency_in == "LiteRT"),
)
