"""Results as text and as pages: tables of a fixed width, the same wherever they are printed."""

from collections.abc import Sequence
from io import StringIO
from typing import Any

_WIDTH = 100


def facts(title: str, rows: Sequence[tuple[str, str]]) -> Any:
    """A table of two columns, what and how much, under a title; without one if it is empty."""
    from rich.table import Table  # here, since most programs never print a table

    table = Table(box=None, show_header=False, title=_printable(title) or None, title_justify="left", title_style="")
    for row in rows:
        table.add_row(*map(_printable, row))
    return table


def grid(headings: Sequence[str], rows: Sequence[Sequence[str]], last: str = "") -> Any:
    """A table with headings; its first column is text, the others are aligned to the right. None without rows.

    Args:
        headings: Of the columns.
        rows: The cells.
        last: The first cell of one more row.
    """
    from rich import box
    from rich.table import Table

    if not rows:
        return None
    table = Table(box=box.ASCII2)
    table.add_column(headings[0], overflow="fold")  # names are shown whole, over several lines if need be
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(_printable, row))
    if last:
        table.add_row(last)
    return table


def plain_text(*parts: Any) -> str:
    """Tables and lines, one below the other, as text; None among them is left out."""
    # A console of fixed width that is no terminal: plain text, the same wherever it is printed.
    text = StringIO()
    _print(text, parts)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def page(title: str, *parts: Any) -> str:
    """The same as an HTML page that needs no other file."""
    from html import escape

    console = _print(StringIO(), parts, record=True)
    body = console.export_html(code_format="{code}", inline_styles=True)
    head = f'<meta charset="UTF-8">\n<title>{escape(_printable(title))}</title>'
    pre = f'<pre style="font-family:Menlo,Consolas,monospace">{body}</pre>'
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{pre}\n</body>\n</html>\n'


def shape_text(shape: Sequence[int]) -> str:
    """A shape as "1 x 28 x 28"; "?" for an axis without a fixed size."""
    return " x ".join("?" if size < 0 else str(size) for size in shape) or "scalar"


def _print(file: StringIO, parts: Sequence[Any], *, record: bool = False) -> Any:
    from rich.console import Console

    # Names come from files: they are no markup, and no codes for the terminal.
    console = Console(
        file=file,
        width=_WIDTH,
        color_system=None,
        force_terminal=False,
        highlight=False,
        markup=False,
        emoji=False,
        record=record,
    )
    for part in parts:
        if part is not None:
            console.print(_printable(part) if isinstance(part, str) else part)
    return console


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
