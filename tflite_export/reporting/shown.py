"""`Shown`: the base of every result: one line as `repr`, tables as `str`, HTML in a notebook."""

import dataclasses
import html
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from tflite_export.reporting.tables import Table, printable, shortened

_LINE = 160  # characters of a `repr`
_VALUE = 40  # characters of a value in it
_ROWS = 50  # of a table in a notebook, which keeps what it shows in its file
_WORDS = 400  # characters of a line below the tables there

# Colours and letters are those of the notebook, in light and in dark; the rules reach these elements only.
STYLE = (
    "table.kp-report{border-collapse:collapse;border:0;display:block;width:fit-content;max-width:100%;overflow-x:auto;"
    "margin:0 0 1em;font-variant-numeric:tabular-nums}"
    "table.kp-report th,table.kp-report td{padding:4px 10px;text-align:left;vertical-align:top;white-space:normal;"
    "border:0;border-bottom:1px solid rgba(128,128,128,.35)}"
    "table.kp-report td:not(.number){min-width:7em}"
    "table.kp-report th.number,table.kp-report td.number{text-align:right;white-space:nowrap}"
    "h2.kp-report{font-size:1.2em;margin:.8em 0 .4em}p.kp-report{margin:0 0 .3em;white-space:pre-wrap}"
)


class Shown:
    """Result that is shown: `repr` is one line, `print` shows tables, a notebook shows them as HTML.

    A subclass is a frozen dataclass. Its tables and the lines below them are those of `_tables` and `_notes`: by
    default one table of its fields.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # The decorator `dataclass` writes another `__repr__`, of all that stands in the fields, unless a class has one.
        if "__repr__" not in vars(cls):
            cls.__repr__ = Shown.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        return one_line(self)

    def __str__(self) -> str:
        above, below = map(printable, self._unmet()), map(printable, self._notes())
        return "\n".join([*above, *(table.text() for table in self._tables()), *below])

    def _repr_html_(self) -> str:
        return self._html(_ROWS)

    def _tables(self) -> Sequence[Table]:
        """What is shown."""
        rows = [(label(name), _text(value)) for name, value in _fields(self)]
        return [Table(None, rows, type(self).__name__)]

    def _unmet(self) -> Sequence[str]:
        """Lines above the tables: what was asked for and not reached. Defaults to those of a field `missed`."""
        return getattr(self, "missed", ())

    def _notes(self) -> Sequence[str]:
        """Lines below the tables. Defaults to none."""
        return ()

    def _html(self, rows: int | None = None) -> str:
        """The tables and the lines below them as a part of a page; of long tables, and of notes, so many rows."""
        unmet = [f"<strong>{html.escape(line)}</strong>" for line in _lines(self._unmet(), rows)]
        notes = [html.escape(line) for line in _lines(self._notes(), rows)]
        parts = [f"<style>{STYLE}</style>", *map(_paragraph, unmet)]
        for table in self._tables():
            title = html.escape(printable(table.title))
            parts += [f'<h2 class="kp-report">{title}</h2>' if title else "", table.html(rows)]
        return "\n".join(filter(None, [*parts, *map(_paragraph, notes)]))


def label(name: str) -> str:
    """Return the name of a field as a heading."""
    return name.replace("_", " ").capitalize()


def _paragraph(line: str) -> str:
    return f'<p class="kp-report">{line}</p>'


def _lines(lines: Sequence[str], most: int | None) -> list[str]:
    """Lines as they may be shown, the empty ones left out; in a notebook so many, and those not long."""
    found = [printable(line) for line in lines if line]
    if most is None:
        return found
    more = len(found) - most
    return [shortened(line, _WORDS) for line in found[:most]] + ([f"and {more:,} more lines"] if more > 0 else [])


def one_line(result: Any) -> str:
    """Return the class and the fields of a dataclass object in a line; what finds no room there is left out."""
    line = f"{type(result).__name__}("
    for place, (name, value) in enumerate(_fields(result)):
        part = f"{', ' if place else ''}{name}={_short(value)}"
        if len(line) + len(part) > _LINE:
            return f"{line}{', ' if place else ''}...)"
        line += part
    return f"{line})"


def _fields(result: Any) -> list[tuple[str, Any]]:
    return [(field.name, getattr(result, field.name)) for field in dataclasses.fields(result) if field.repr]


def _short(value: Any) -> str:
    """A value in a few letters: what is plain as it is, else its kind and its size."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return repr(shortened(value, _VALUE))
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        whole = getattr(value, "ndim", 0)
        return f"<{value.dtype} array of shape {value.shape}>" if whole else _short(value.tolist())
    if isinstance(value, list | tuple | AbstractSet | Mapping):
        return _few(value)
    if hasattr(value, "__fspath__"):
        return repr(shortened(str(value), _VALUE))
    name = getattr(value, "name", None)
    return f"<{type(value).__name__}{f' {shortened(name, _VALUE)!r}' if isinstance(name, str) else ''}>"


def _few(values: Any) -> str:
    """Several values as they are if they are few and plain, else how many there are, and of which kind."""
    inner = [*values, *values.values()] if isinstance(values, Mapping) else list(values)
    if len(inner) <= _VALUE and all(map(_plain, inner)):
        text = repr(values)
        if len(text) <= _VALUE:
            return text
    if isinstance(values, Mapping):
        return f"<{len(values)} by name>"
    kinds = {type(each).__name__ for each in inner}
    return f"<{len(inner)} {kinds.pop() if len(kinds) == 1 else 'values'}>"


def _plain(value: Any) -> bool:
    """Whether its own `repr` is short, or a tuple of a few such values'."""
    if isinstance(value, tuple):
        return len(value) <= _VALUE and all(map(_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _text(value: Any) -> str:
    """A value as the cell of a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if hasattr(value, "tolist") and not getattr(value, "ndim", 0):
        return _text(value.tolist())
    if isinstance(value, Shown):
        return repr(value)
    if isinstance(value, tuple | list) and all(isinstance(each, str | int | float) for each in value):
        return ", ".join(map(_text, value)) or "-"
    if hasattr(value, "__fspath__"):
        return str(value)
    return _short(value)
