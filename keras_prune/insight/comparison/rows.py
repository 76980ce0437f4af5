"""Rows of a comparison, and how their numbers are shown."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_prune.plots.comparison import plot_models
from tflite_export.reporting import Report, Shown, Table

_NOTHING = 1000  # a number that is so many times smaller than another is none to compare it with
_DENSE = 0.01  # a model of a lower sparsity
NAMES = "parameters non_zeros sparsity macs effective_macs bytes compressed_bytes latency_ms ns_per_parameter"


@dataclasses.dataclass(frozen=True)
class ModelRow(Shown):
    """Measurements of one model. None: unknown, or not asked for.

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
        latency_ms: Median time of a call with one sample, in milliseconds. Defaults to None.
        latency_in: What ran: `"Keras"`, or `"LiteRT"` with one thread, which cannot be compared. Defaults to None.
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
        """Return all numbers by their names in `ModelComparison.records`."""
        names = NAMES.split()
        return {**self.scores, **{name: getattr(self, name) for name in names}}


@dataclasses.dataclass(frozen=True)
class ModelComparison(Report):
    """Models and files side by side: what `compare` returns. Its `str` is a table, in a notebook too.

    Args:
        rows: The models, in the order in which they were given.
    """

    rows: tuple[ModelRow, ...]

    def ratio(self, row: ModelRow, name: str) -> float | None:
        """Return the ratio of a number to that of the first row; of a latency, to the first that was measured alike.

        Args:
            row: One of the rows.
            name: A name in `row.values()`.

        Returns:
            The ratio; None if one of the two is unknown, or the first is 0 or next to nothing: a thousandth of the
            other, or less, and of a sparsity a hundredth of all: nearly all dense models have zeros, in their biases.
        """
        base, value = (each.values().get(name) for each in (self._base(row, name), row))
        if value is None or not base or abs(value) >= _NOTHING * abs(base) or (name == "sparsity" and base < _DENSE):
            return None
        return value / base

    def plot(self, ax: Any = None) -> Any:
        """Draw the ratios to the first row as bars: see `keras_prune.plots.plot_models`."""
        return plot_models(self, ax)

    def _tables(self) -> Sequence[Table]:
        scores = list(dict.fromkeys(name for row in self.rows for name in row.scores))
        lines = [(name, *(self._cell(row, name, decimal) for row in self.rows)) for name in scores]
        for heading, name, write, fits in SHOWN:
            if any(fits(row) for row in self.rows):
                cells = [self._cell(row, name, write) if fits(row) else "-" for row in self.rows]
                lines.append((heading, *cells))
        return [Table(("", *(row.name for row in self.rows)), lines, "Models")]

    def _notes(self) -> Sequence[str]:
        lines = [f"In brackets: the ratio to '{self.rows[0].name}'."]
        if any(row.bytes_of == "weights" for row in self.rows):
            lines.append("Bytes are those of the file; of a Keras model those of its weights, as they are stored.")
        if {"Keras", "LiteRT"} <= {row.latency_in for row in self.rows}:
            lines.append("Latencies in Keras and in LiteRT do not compare: ratios are to the first of the same kind.")
        return lines

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        """All numbers of each model, and the ratio of each as `"macs_ratio"`."""
        found = []
        for row in self.rows:
            record: dict[str, Any] = {"model": row.name, "kind": row.kind}
            for name, value in row.values().items():
                record |= {name: value, f"{name}_ratio": self.ratio(row, name)}
            found.append(record | {"bytes_of": row.bytes_of, "latency_in": row.latency_in})
        return found

    def _facts(self) -> Mapping[str, Any]:
        return {"base": self.rows[0].name}

    def _cell(self, row: ModelRow, name: str, write: Callable[[float], str]) -> str:
        """A number, and in brackets its ratio; a dash if it is unknown."""
        value, ratio = row.values().get(name), self.ratio(row, name)
        if value is None:
            return "-"
        return write(value) if ratio is None or row is self._base(row, name) else f"{write(value)} ({ratio:.2f})"

    def _base(self, row: ModelRow, name: str) -> ModelRow:
        """The row to whose number this one has a ratio."""
        time = name in ("latency_ms", "ns_per_parameter")
        return next(each for each in self.rows if not time or each.latency_in == row.latency_in)


def count(value: float) -> str:
    """Return a whole number with commas."""
    return f"{value:,.0f}"


def percent(value: float) -> str:
    """Return a fraction as a percentage."""
    return f"{value:.2%}"


def decimal(value: float) -> str:
    """Return a number with four significant digits, or four decimals."""
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
    ("latency per parameter in Keras, ns", "ns_per_parameter", decimal, lambda row: row.latency_in == "Keras"),
    ("latency in LiteRT, ms", "latency_ms", decimal, lambda row: row.latency_in == "LiteRT"),
    ("latency per parameter in LiteRT, ns", "ns_per_parameter", decimal, lambda row: row.latency_in == "LiteRT"),
)
