"""Results as text: tables of a fixed width, the same wherever they are printed."""

import io
from collections.abc import Mapping, Sequence
from typing import Any


def table(title: str, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table; columns of numbers are aligned to the right."""
    from rich import box, console  # here, since most programs never print a table
    from rich.table import Table

    grid: Any = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for index, heading in enumerate(headings):
        number = all(row[index].replace(",", "").isdigit() or row[index] == "-" for row in rows)
        grid.add_column(heading, justify="right" if number else "left", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    text = io.StringIO()
    console.Console(file=text, width=120, markup=False).print(grid)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def unknown_lines(unknown: Mapping[str, str]) -> str:
    """The operations without a rule, a line each."""
    lines = [f"  {reason}" for reason in unknown.values()]
    return "\n".join(["", "Channels that reach these stay:", *lines]) if lines else ""


def number(count: int | None) -> str:
    """A number with commas; a dash if it is not known."""
    return "-" if count is None else f"{count:,}"


def cost_lines(parameters_before: int, parameters_after: int, macs_before: int | None, macs_after: int | None) -> str:
    """What a model cost, and costs now, a line each."""
    text = f"\nParameters: {_change(parameters_before, parameters_after)}"
    if macs_before is None or macs_after is None:
        return text + "\nMACs: not known, since an input has an unknown size"
    return text + f"\nMACs: {_change(macs_before, macs_after)}"


def _change(before: int, after: int) -> str:
    return f"{before:,} -> {after:,} ({after / max(before, 1):.1%} left)"
