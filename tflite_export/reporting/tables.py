"""Tables as text, as wide as the terminal; as Markdown; as HTML."""

import dataclasses
import html
import io
from collections.abc import Sequence
from typing import Any

from tflite_export.reporting.layout import blocks, is_number
from tflite_export.reporting.terminal import terminal_width

_CELL = 200  # characters of a cell in a notebook


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells in rows and columns. Columns of numbers are aligned to the right.

    Args:
        headings: Of the columns. None: a list of facts, two columns without headings.
        rows: The cells.
        title: Above it. Defaults to "", none.
        totals: Rows that stand apart, at the end. Defaults to none.
    """

    headings: Sequence[str] | None
    rows: Sequence[Sequence[str]]
    title: str = ""
    totals: Sequence[Sequence[str]] = ()

    def text(self, width: int | None = None) -> str:
        """Return the table as text.

        Words are folded, numbers never. Where all columns do not fit side by side, the rest follow in a second table
        below, which has the first column too.

        Args:
            width: Columns of the text. Defaults to those of the terminal, or 120 without one.
        """
        title = [printable(self.title)] if self.title else []
        if self.empty:
            return "\n".join(title)
        headings, rows = self._flat()
        columns = [[heading, *(row[index] for row in rows)] for index, heading in enumerate(headings)]
        space, edges = (2, 2) if self.headings is None else (3, 4)  # as the grids below are drawn
        found = blocks(columns, terminal_width() if width is None else width, space, edges)
        grids = [self._grid(columns, block, index > 0) for index, block in enumerate(found)]
        return "\n".join([*title, grids[0], *(grid.lstrip("\n") for grid in grids[1:])])

    @property
    def empty(self) -> bool:
        """Whether there are no rows."""
        return not self.rows and not self.totals

    def markdown(self) -> str:
        """Return the table in Markdown, without its title."""
        if self.empty:
            return ""
        headings, rows = self._flat()

        def line(cells: Sequence[str]) -> str:
            return "| " + " | ".join(map(escape_markdown, cells)) + " |"

        ruler = "| " + " | ".join("--:" if self._numbers(index, rows) else "---" for index in range(len(headings)))
        return "\n".join([line(headings), f"{ruler} |", *map(line, rows)])

    def html(self, most: int | None = None) -> str:
        """Return the table as an HTML element, without its title; cells of numbers have the class `number`.

        Args:
            most: How many rows it has at most, besides the totals, with cells that are cut if they are very long.
                Defaults to None: everything.
        """
        if self.empty:
            return ""
        headings, rows = self._flat()
        marks = [' class="number"' if self._numbers(index, rows) else "" for index in range(len(headings))]
        if most is not None:
            more = len(self.rows) - most
            totals = rows[len(self.rows) :]
            rows = [[shortened(cell, _CELL) for cell in row] for row in rows[: min(most, len(self.rows))]]
            rows += ([[f"and {more:,} more rows", *[""] * (len(headings) - 1)]] if more > 0 else []) + totals

        def line(cells: Sequence[str], tag: str) -> str:
            pairs = zip(cells, marks, strict=True)
            return f"<tr>{''.join(f'<{tag}{mark}>{html.escape(cell)}</{tag}>' for cell, mark in pairs)}</tr>"

        head = "" if self.headings is None else f"<thead>\n{line(headings, 'th')}\n</thead>\n"
        body = "\n".join(line(row, "td") for row in rows)
        return f'<table class="kp-report">\n{head}<tbody>\n{body}\n</tbody>\n</table>'

    def _flat(self) -> tuple[list[str], list[list[str]]]:
        """Headings and all rows, as they may be shown."""
        rows = [[printable(cell) for cell in row] for row in (*self.rows, *self.totals)]
        return [printable(heading) for heading in self.headings or ("", "")], rows

    def _numbers(self, index: int, rows: Sequence[Sequence[str]]) -> bool:
        return self.headings is not None and is_number([row[index] for row in rows])

    def _grid(self, columns: Sequence[Sequence[str]], block: Sequence[tuple[int, int]], rest: bool) -> str:
        """Some columns as text; of the rest, only rows that have something there."""
        from rich import box  # here, since most programs never print a table
        from rich.console import Console
        from rich.table import Table as Grid

        plain = self.headings is None
        # ASCII: the codec of a Windows console, or of a file that output is sent to, may have no lines.
        rule = box.Box(str(box.SIMPLE_HEAD).replace("─", "-"), ascii=True)
        grid: Any = Grid(box=None if plain else rule, show_header=not plain)
        for index, width in block:
            right = not plain and is_number(columns[index][1:])
            grid.add_column(columns[index][0], justify="right" if right else "left", overflow="fold", width=width)
        cells = [tuple(columns[index][1:]) for index, _ in block]
        for number, row in enumerate(zip(*cells, strict=True)):
            if number == len(self.rows):
                grid.add_section()
            if not rest or any(row[1:]):
                grid.add_row(*row)
        text = io.StringIO()
        # Names come from files: they are no markup, and no codes for the terminal. `force_jupyter`: in a notebook rich
        # would write to the cell. `legacy_windows`: there it would make lines shorter.
        console = Console(
            file=text,
            width=sum(width + 3 for _, width in block) + 1,
            color_system=None,
            force_terminal=False,
            force_jupyter=False,
            legacy_windows=False,
            highlight=False,
            markup=False,
            emoji=False,
        )
        console.print(grid)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def printable(text: str) -> str:
    """Return text without what a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def shortened(text: str, most: int) -> str:
    """Return text of at most so many characters, cut in the middle."""
    return text if len(text) <= most else f"{text[: (most - 1) // 2]}…{text[-(most // 2) :]}"


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is: no column, HTML, emphasis or link begins in it."""
    for letter in "\\|*":
        text = text.replace(letter, f"\\{letter}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("](", "]\\(")
