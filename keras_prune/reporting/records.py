"""Lists of records that are reports: a table, JSON, HTML, Markdown and a plot."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from tflite_export.reporting import Bars, Report, Table
from tflite_export.reporting.shown import label

Record = TypeVar("Record")
_FRACTIONS = ("sparsity", "target", "left")


class Records(list[Record], Report):
    """List of frozen dataclass objects of one kind. Its `str` is a table with a column for each field."""

    def __repr__(self) -> str:
        return f"Records({len(self)} {type(self[0]).__name__})" if self else "Records()"

    def _tables(self) -> Sequence[Table]:
        names = self._columns()
        rows = [[_cell(name, getattr(row, name)) for name in names] for row in self]
        headings = [label(name) for name in names]
        return [Table(headings, rows, "" if self else "No records yet")]

    def _rows(self) -> Sequence[Any]:
        return list(self)

    def _facts(self) -> Mapping[str, Any]:
        return {}

    def _bars(self) -> Bars:
        """The fractions of each record, by its first field."""
        names = self._columns()
        series = {name: [getattr(row, name) for row in self] for name in names if name in _FRACTIONS}
        by = names[0] if names else ""
        return Bars("Records", " and ".join(series), [f"{by} {getattr(row, by)}" for row in self], series)

    def _columns(self) -> list[str]:
        """The names of the fields."""
        first: Any = self[0] if self else None
        return [] if first is None else [field.name for field in dataclasses.fields(first)]


def _cell(name: str, value: Any) -> str:
    """A value as text; a fraction as a percentage."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2%}" if name in _FRACTIONS else f"{value:.6g}"
