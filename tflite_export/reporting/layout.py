"""Widths of the columns of a table in text: words are folded, numbers never; what finds no room goes into another
block below."""

import re
from collections.abc import Sequence

from tflite_export.errors import missing

# Characters of a column of words, and of the first, which has the names; in narrow terminals, parts of the width.
_LEAST, _LEAST_FIRST = (16, 0.27), (24, 0.4)
_NUMBER = re.compile(r"[+-]?\d[\d,.]*(e[+-]?\d+)?[a-z%x]{0,2}", re.I)
_NO_VALUE = ("", "-", "nan", "inf", "-inf")


def is_number(cells: Sequence[str]) -> bool:
    """Return whether cells of a column are numbers: they begin with a digit, or there is no value, but not in all."""
    return any(cells) and all(
        cell.lower() in _NO_VALUE or cell[:1].isdigit() or (cell[:1] in "+-" and cell[1:2].isdigit()) for cell in cells
    )


def blocks(columns: Sequence[Sequence[str]], width: int, space: int, edges: int) -> list[list[tuple[int, int]]]:
    """Return the columns that stand side by side: for each block, the index and the width of each of its columns.

    All stand in one block where that has room without splitting a number; else the first is repeated in each.

    Args:
        columns: The cells of each column, its heading first.
        width: Of the text, in characters.
        space: Between two columns.
        edges: Left and right of the block, together.
    """
    words, first = (min(most, int(part * width)) for most, part in (_LEAST, _LEAST_FIRST))
    least = [_least(column, words if index else first, words) for index, column in enumerate(columns)]

    def room(chosen: Sequence[int]) -> int:
        """What the cells of these columns may take."""
        return width - edges - space * (len(chosen) - 1)

    found, chosen = [], list(range(min(1, len(columns))))
    for index in range(1, len(columns)):
        more = [*chosen, index]
        if len(chosen) > 1 and sum(least[each] for each in more) > room(more):
            found.append(chosen)
            more = [0, index]
        chosen = more
    return [_fitted(columns, least, each, room(each)) for each in [*found, chosen]]


def _fitted(
    columns: Sequence[Sequence[str]], least: Sequence[int], chosen: Sequence[int], room: int
) -> list[tuple[int, int]]:
    """The widths of the columns of a block: headings above numbers give way first, then sentences, names last."""
    widths = {index: max(map(_width, columns[index]), default=0) for index in chosen}
    words = {
        index: max(least[index], *(_width(word) for cell in columns[index] for word in cell.split()))
        for index in chosen
    }
    numbers = [index for index in chosen if is_number(columns[index][1:])]
    texts = [index for index in chosen if index not in numbers]
    for shrunk, floor in ((numbers, least), (texts, words), (texts, least)):
        while sum(widths.values()) > room:
            wide = [index for index in shrunk if widths[index] > floor[index]]
            if not wide:  # a number that is wider than the line is still not cut
                break
            widths[max(wide, key=widths.__getitem__)] -= 1
    return list(widths.items())


def _least(column: Sequence[str], words_least: int, heading_least: int) -> int:
    """The width below which a column cannot be read, or would split a number."""
    cells = column[1:]
    words = [word for cell in column for word in cell.split()]
    if is_number(cells):
        longest = max(map(_width, cells))
        return max(longest, min(heading_least, max(map(_width, column[0].split()), default=0)))
    numbers = [_width(word) for word in words if _NUMBER.fullmatch(word.strip("()[];:"))]
    return max(min(words_least, max(map(_width, column), default=0)), *numbers, 1)


def _width(text: str) -> int:
    """The width in a terminal, where letters of some scripts count twice."""
    try:
        from rich.cells import cell_len  # here, since most programs never print a table
    except ImportError as error:
        raise missing("A table", "rich") from error
    return cell_len(text)
