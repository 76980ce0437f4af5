"""Lists of records whose `str` is a table."""

import dataclasses
from typing import Any, TypeVar

from keras_prune.reporting.tables import table

Record = TypeVar("Record")


class Records(list[Record]):
    """A list of frozen dataclass objects of one kind. Its `str` is a table with a column for each field."""

    def __str__(self) -> str:
        if not self:
            return "nothing yet"
        rows: list[Any] = list(self)
        names = [field.name for field in dataclasses.fields(rows[0])]
        cells = [[_cell(name, getattr(row, name)) for name in names] for row in rows]
        return table("", [name.replace("_", " ") for name in names], cells)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2%}" if name in ("sparsity", "target") else f"{value:.6g}"
