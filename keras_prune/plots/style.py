"""What all plots share: axes to draw on, and colours, markers and lines that everybody tells apart."""

from tflite_export.reporting.bars import (
    COLOURS,
    axes_or_new,
    bars_size,
    check_matplotlib,
    letters,
    name_bars,
    plain_text,
    tidy,
)

__all__ = [
    "COLOURS",
    "FIXED",
    "KEPT",
    "LINES",
    "MARKERS",
    "REMOVED",
    "axes_or_new",
    "bars_size",
    "check_matplotlib",
    "letters",
    "look",
    "name_bars",
    "plain_text",
    "tidy",
]

KEPT, REMOVED = COLOURS[0], COLOURS[1]
FIXED = "#b5b5b5"  # what could not be pruned
# Different markers and lines too: a print in grey still tells them apart.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")


def look(index: int) -> dict[str, str]:
    """Return how the line with this number looks: its colour, marker and dashes."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index % len(LINES)],
    }
