"""What all plots share: axes to draw on, and colours that everybody tells apart."""

from typing import Any

# Okabe and Ito's colours (2008), which people with any kind of colour vision tell apart; black comes last.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
# Different markers and lines too: a print in grey still tells them apart.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")


def axes_or_new(ax: Any = None) -> Any:
    """The axes that were passed, or those of a new figure.

    Raises:
        ImportError: There is no matplotlib.
    """
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt  # here, since only plots need it
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib: pip install 'keras-prune[plots]'. Received: no such package"
        ) from error
    return plt.subplots(layout="constrained")[1]


def look(index: int) -> dict[str, str]:
    """How the line with this number looks: its colour, marker and dashes."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index % len(LINES)],
    }
