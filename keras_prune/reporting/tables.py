"""Results as tables: text of a fixed width, the same wherever it is printed; Markdown; HTML."""

import html
import io
from collections.abc import Sequence
from typing import Any


def table(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], totals: Sequence[Sequence[str]] = ()
) -> str:
    """A table; columns of numbers are aligned to the right.

    Args:
        title: Above it; "" for none.
        headings: Of the columns.
        rows: The cells.
        totals: Rows that stand apart, at the end.
    """
    from rich import box, console  # here, since most programs never print a table
    from rich.table import Table

    grid: Any = Table(box=box.SIMPLE_HEAD)
    for index, heading in enumerate(headings):
        grid.add_column(heading, justify="right" if _is_number(index, [*rows, *totals]) else "left", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    grid.add_section()
    for row in totals:
        grid.add_row(*row)
    text = io.StringIO()
    console.Console(file=text, width=120, markup=False).print(grid)
    # A title of the grid itself would be folded to its width.
    return "\n".join([*filter(None, [title]), *(line.rstrip() for line in text.getvalue().splitlines())])


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as a table of Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells) + " |"

    ruler = line(["--:" if _is_number(index, rows) else "---" for index in range(len(headings))])
    return "\n".join([line(headings), ruler, *map(line, rows)])


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as an HTML element; cells of numbers have the class `number`."""

    def line(cells: Sequence[str], tag: str) -> str:
        marks = [' class="number"' if _is_number(index, rows) else "" for index in range(len(cells))]
        content = "".join(f"<{tag}{mark}>{html.escape(cell)}</{tag}>" for cell, mark in zip(cells, marks, strict=True))
        return f"<tr>{content}</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    return f"<table>\n<thead>\n{line(headings, 'th')}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _is_number(column: int, rows: Sequence[Sequence[str]]) -> bool:
    """Whether the cells of a column are numbers: they begin with a digit, or are a dash or empty, and not all empty."""
    cells = [row[column] for row in rows]
    return any(cells) and all(
        cell in ("", "-") or cell[:1].isdigit() or (cell[:1] in "+-" and cell[1:2].isdigit()) for cell in cells
    )
