"""What all plots share: axes to draw on, and colours, markers and lines that everybody tells apart."""

from typing import Any

from tflite_export.reporting.bars import (
    COLOURS,
    axes_or_new,
    bars_size,
    check_matplotlib,
    letters,
    name_bars,
    plain_text,
    short,
    tidy,
)

__all__ = [
    "COLOURS",
    "COST_LABELS",
    "FIXED",
    "KEPT",
    "LINES",
    "MARKERS",
    "REMOVED",
    "axes_or_new",
    "bars_size",
    "check_drawn",
    "check_matplotlib",
    "letters",
    "look",
    "name_bars",
    "plain_text",
    "short",
    "tidy",
]

KEPT, REMOVED = COLOURS[0], COLOURS[1]
FIXED = "#b5b5b5"  # what could not be pruned
# Different markers and lines too: a print in grey still tells them apart.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")
# By names of costs, of models and of files.
COST_LABELS = {
    "compressed_bytes": "bytes after gzip",
    "gzip_bytes": "bytes of the file after gzip",
    "bytes": "bytes",
    "parameters": "parameters",
    "non_zeros": "weights that are not zero",
    "nonzeros": "weights that are not zero",
    "macs": "multiply-accumulates",
    "effective_macs": "multiply-accumulates with a weight that is not zero",
    "latency_ms": "latency, ms",
}


def check_drawn(value: Any, name: str, maker: str, *parts: str) -> None:
    """Raise a `TypeError` unless a value has the parts of what `maker` returns."""
    if isinstance(value, type) or not all(hasattr(value, part) for part in parts):
        raise TypeError(f"`{name}` must be {maker}. Received: {name}={value!r}")


def look(index: int) -> dict[str, str]:
    """Return how the line with this number looks: its colour, marker and dashes."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index % len(LINES)],
    }
