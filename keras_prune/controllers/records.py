"""Lists of records whose `str` is a table."""

import dataclasses
import io
from typing import Any, TypeVar

Record = TypeVar("Record")


class Records(list[Record]):
    """A list of frozen dataclass objects of one kind. Its `str` is a table with a column for each field."""

    def __str__(self) -> str:
        if not self:
            return "nothing yet"
        from rich import box, console  # here, since most programs never print a table
        from rich.table import Table

        rows: list[Any] = list(self)
        names = [field.name for field in dataclasses.fields(rows[0])]
        grid = Table(box=box.SIMPLE_HEAD)
        for name in names:
            number = all(not isinstance(getattr(row, name), str) for row in rows)
            grid.add_column(name.replace("_", " "), justify="right" if number else "left", overflow="fold")
        for row in rows:
            grid.add_row(*(_cell(name, getattr(row, name)) for name in names))
        text = io.StringIO()
        console.Console(file=text, width=120, markup=False).print(grid)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2%}" if name in ("sparsity", "target") else f"{value:.6g}"
