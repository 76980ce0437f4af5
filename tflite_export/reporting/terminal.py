"""What the output can show: how many columns, and whether bars that move."""

import os
import shutil
import sys
from typing import TextIO

WIDTH = 120  # where there is no terminal
_LEAST = 40


def terminal_width() -> int:
    """Return the columns of the terminal, or of the variable COLUMNS; 120 if the output is no terminal."""
    return max(shutil.get_terminal_size((WIDTH, 24)).columns, _LEAST)


def shows_bars(stream: TextIO | None = None) -> bool:
    """Return whether a bar that is drawn again and again can be seen: in a terminal that knows escape codes.

    Not in pipes and files, nor where NO_COLOR is set; nor in a notebook, which is saved with its output, and in IDLE,
    which calls itself a terminal and shows the codes.

    Args:
        stream: The output. Defaults to None, standard output.
    """
    stream = sys.stdout if stream is None else stream
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    is_terminal = getattr(stream, "isatty", None)
    return is_terminal is not None and is_terminal() and not type(stream).__module__.startswith("idlelib")
