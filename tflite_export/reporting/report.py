"""`Report`: the base of everything that is returned to be read."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from tflite_export.reporting.bars import Bars
from tflite_export.reporting.page import page
from tflite_export.reporting.shown import Shown
from tflite_export.reporting.tables import Table, escape_markdown, printable


class Report(Shown):
    """Result that is read: `print` shows tables as wide as the terminal, a notebook shows them as HTML. `repr` is one
    line.

    A report is a frozen dataclass: whatever it shows is in its fields too. A subclass says what to show in `_tables`
    and `_bars`, and, where that differs from the fields, in the other methods that begin with `_`.

    Example:

    ```python
    @dataclasses.dataclass(frozen=True)
    class Sizes(Report):
        bytes: Mapping[str, int]

        def _tables(self):
            return [Table(("File", "Bytes"), [(name, f"{size:,}") for name, size in self.bytes.items()])]

        def _rows(self):
            return [{"file": name, "bytes": size} for name, size in self.bytes.items()]

        def _facts(self):
            return {"total": sum(self.bytes.values())}

        def _bars(self):
            return Bars("Files", "bytes", list(self.bytes), {"bytes": list(self.bytes.values())})
    ```
    """

    def _tables(self) -> Sequence[Table]:
        raise NotImplementedError

    def _rows(self) -> Sequence[Any]:
        """What `records` has a record of: dataclass objects or dictionaries. Defaults to the first field that is a
        tuple or list of dataclass objects."""
        for field in self._fields():
            value = getattr(self, field)
            if isinstance(value, tuple | list) and value and all(map(dataclasses.is_dataclass, value)):
                return value
        return ()

    def _facts(self) -> Mapping[str, Any]:
        """What is true of the whole, as data, for `to_json`. Defaults to all fields except those of `records`."""
        rows = self._rows()
        return {name: getattr(self, name) for name in self._fields() if not rows or getattr(self, name) is not rows}

    def _bars(self) -> Bars:
        """What `plot` draws."""
        raise NotImplementedError

    # What users call.

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as data, a dictionary each: for `pandas.DataFrame(report.records())`, say."""
        return [dict(row) if isinstance(row, Mapping) else shallow(row) for row in self._rows()]

    def to_json(self) -> str:
        """Return everything as a JSON object: facts of the whole, and under `"records"` the rows.

        What JSON has no word for is plain there: arrays and sets are lists, paths are strings, and NaN and infinity are
        null.
        """
        return json.dumps(plain({**self._facts(), "records": self.records()}), indent=2, allow_nan=False)

    def to_markdown(self) -> str:
        """Return the tables in Markdown, and the lines above and below them."""
        parts = [escape_markdown(printable(line)) for line in self._unmet()]
        for table in self._tables():
            parts += [f"**{escape_markdown(printable(table.title))}**", table.markdown()]
        notes = (escape_markdown(printable(line)) for line in self._notes())
        return "\n\n".join(part for part in (*parts, *notes) if part not in ("", "****"))

    def to_html(self) -> str:
        """Return a page that needs no other file, no network and no script."""
        title = next((table.title for table in self._tables() if table.title), "Report")
        return page(printable(title), self._html())

    def plot(self, ax: Any = None) -> Any:
        """Draw the main numbers as bars.

        Args:
            ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

        Returns:
            The axes.

        Raises:
            ImportError: There is no matplotlib.
        """
        return self._bars().draw(ax)

    def _fields(self) -> list[str]:
        return [field.name for field in dataclasses.fields(self)]  # type: ignore[arg-type]  # subclasses are dataclasses


def shallow(row: Any) -> dict[str, Any]:
    """Return the fields of a dataclass object, as they are."""
    return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: `to_json` says how."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = shallow(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(each) for each in value), key=str)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        return plain(value.tolist())
    return str(value)
