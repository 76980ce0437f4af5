"""Tables as text, as wide as the terminal; as Markdown; as HTML."""

import dataclasses
import html
import io
import shutil
from collections.abc import Sequence
from typing import Any

WIDTH = 120  # where there is no terminal
_LEAST = 60


@dataclasses.dataclass(frozen=True)
class Table:
    """A table. Columns of numbers are aligned to the right.

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
        """The table as text of at most `width` columns; by default those of the terminal, or 120 without one."""
        from rich import box  # here, since most programs never print a table
        from rich.console import Console
        from rich.table import Table as Grid

        everything = [*self.rows, *self.totals]
        if not everything and self.headings is None:
            return printable(self.title)
        grid: Any = Grid(box=box.SIMPLE_HEAD if self.headings else None, show_header=self.headings is not None)
        for index, heading in enumerate(self.headings or ("", "")):
            numbers = self.headings is not None and _is_number(index, everything)
            # Names and words may be folded; a number that is cut would be another one.
            grid.add_column(
                printable(heading), justify="right" if numbers else "left", overflow="fold", no_wrap=numbers
            )
        for rows in (self.rows, self.totals):
            grid.add_section()
            for row in rows:
                grid.add_row(*map(printable, row))
        text = io.StringIO()
        # Names come from files: they are no markup, and no codes for the terminal. `force_jupyter`: in a notebook rich
        # would write to the cell.
        Console(
            file=text,
            width=terminal_width() if width is None else width,
            color_system=None,
            force_terminal=False,
            force_jupyter=False,
            highlight=False,
            markup=False,
            emoji=False,
        ).print(grid)
        # A title of the grid itself would be folded to its width.
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        return "\n".join([*filter(None, [printable(self.title)]), *lines])

    def markdown(self) -> str:
        """The table in Markdown, without its title."""
        headings, rows = self._flat()

        def line(cells: Sequence[str]) -> str:
            return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells) + " |"

        ruler = line(["--:" if _is_number(index, rows) else "---" for index in range(len(headings))])
        return "\n".join([line(headings), ruler, *map(line, rows)])

    def html(self) -> str:
        """The table as an HTML element, without its title; cells of numbers have the class `number`."""
        headings, rows = self._flat()

        def line(cells: Sequence[str], tag: str) -> str:
            marks = [' class="number"' if _is_number(index, rows) else "" for index in range(len(cells))]
            pairs = zip(cells, marks, strict=True)
            return f"<tr>{''.join(f'<{tag}{mark}>{html.escape(cell)}</{tag}>' for cell, mark in pairs)}</tr>"

        head = "" if self.headings is None else f"<thead>\n{line(headings, 'th')}\n</thead>\n"
        body = "\n".join(line(row, "td") for row in rows)
        return f"<table>\n{head}<tbody>\n{body}\n</tbody>\n</table>"

    def _flat(self) -> tuple[list[str], list[list[str]]]:
        rows = [[printable(cell) for cell in row] for row in (*self.rows, *self.totals)]
        return [printable(heading) for heading in self.headings or ("", "")], rows


def terminal_width() -> int:
    """Columns of the terminal, or of the variable COLUMNS; 120 if the output is no terminal."""
    return max(shutil.get_terminal_size((WIDTH, 24)).columns, _LEAST)


def printable(text: str) -> str:
    """Text without what a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _is_number(column: int, rows: Sequence[Sequence[str]]) -> bool:
    """Whether the cells of a column are numbers: they begin with a digit, or are a dash or empty, and not all empty."""
    cells = [row[column] for row in rows]
    return any(cells) and all(
        cell in ("", "-") or cell[:1].isdigit() or (cell[:1] in "+-" and cell[1:2].isdigit()) for cell in cells
    )
