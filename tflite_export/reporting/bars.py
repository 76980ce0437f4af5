"""Horizontal bars, named: what every report can draw of itself."""

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from tflite_export.errors import require
from tflite_export.reporting.tables import printable, shortened

# Okabe and Ito's colours (2008), which people with any kind of colour vision tell apart; black comes last.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
_NAME = 36  # characters of a name beside a bar

# Inches of a letter, and of what stands before and after a name in a legend: about, since nothing is drawn yet.
_LETTER, _HANDLE = 0.08, 0.55


@dataclasses.dataclass(frozen=True)
class Bars:
    """Values of several things, side by side.

    Args:
        title: What is shown.
        unit: Below the axis: what the values are, and their unit.
        names: Of the things, the first at the top.
        series: By name, for the legend, a value for each thing; None where it is unknown: no bar. At most eight series.
    """

    title: str
    unit: str
    names: Sequence[str]
    series: Mapping[str, Sequence[float | None]]

    def draw(self, ax: Any = None) -> Any:
        """Draw the bars.

        Args:
            ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

        Returns:
            The axes.

        Raises:
            ImportError: There is no matplotlib.
        """
        ax = axes_or_new(ax, bars_size(len(self.names) * max(1, len(self.series) / 2)))
        height = 0.8 / max(len(self.series), 1)
        for index, (label, values) in enumerate(self.series.items()):
            known = [
                (place - 0.4 + (index + 0.5) * height, value)
                for place, (_, value) in enumerate(zip(self.names, values, strict=True))
                if value is not None and math.isfinite(value)
            ]
            places, widths = [place for place, _ in known], [value for _, value in known]
            ax.barh(places, widths, height, color=COLOURS[index % len(COLOURS)], label=plain_text(label))
        name_bars(ax, self.names)
        if len(self.series) < 2:
            return tidy(ax, self.title, self.unit, legend=False)
        return tidy(ax, self.title, self.unit)


def axes_or_new(ax: Any = None, size: tuple[float, float] | None = None) -> Any:
    """Return the axes that were passed, or those of a new figure, of this size in inches if one is given.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: `ax` is something else.
    """
    if ax is not None:
        if not hasattr(ax, "barh"):
            raise TypeError(f"`ax` must be axes of matplotlib. Received: ax={ax!r}")
        return ax
    check_matplotlib()
    import matplotlib.pyplot as plt  # here, since only plots need it

    return plt.subplots(figsize=size, layout="constrained")[1]


def check_matplotlib() -> None:
    """Raise an `ImportError` that says what to install, if there is no matplotlib."""
    require("matplotlib", user="A plot")


def tidy(ax: Any, title: str, xlabel: str, ylabel: str = "", grid: str = "x", legend: bool = True) -> Any:
    """Say what is drawn, with the legend above where it hides nothing, and remove what says nothing.

    Returns:
        The axes.
    """
    handles, labels = ax.get_legend_handles_labels() if legend else ([], [])
    room, lines = _room(ax), 0
    if handles:
        labels = [short(label) for label in labels]
        wide = _HANDLE + _LETTER * max(map(len, labels))
        columns = max(1, min(len(handles), 4, int(room / wide)))
        lines = math.ceil(len(handles) / columns)
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.3, "borderpad": 0.0}
        style = {"fontsize": "small", "frameon": False, "handlelength": 1.4, "columnspacing": 1.4}
        ax.legend(handles, labels, ncols=columns, **style, **place)
    ax.set_title(_fold(title, room), fontsize="medium", loc="left", pad=6 + 16 * lines)
    ax.set_xlabel(_fold(xlabel, room))
    ax.set_ylabel(_fold(ylabel, 0.7 * ax.figure.get_figheight()))
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(axis=grid, color="#dddddd", linewidth=0.8)
        ax.set_axisbelow(True)
    return ax


def _room(ax: Any) -> float:
    """Inches from the left edge of axes to the right edge of their part of the figure, beside the names of bars."""
    place = ax.get_subplotspec()
    part = ax.get_position().width if place is None else 0.95 / place.get_gridspec().ncols
    names = [label.get_text() for label in ax.get_yticklabels()]
    return max(part * ax.figure.get_figwidth() - _LETTER * max(map(len, names), default=0) - 0.3, 1.0)


def _fold(text: str, room: float) -> str:
    """A sentence in as many lines as it takes."""
    return "\n".join(plain_text(line) for line in textwrap.wrap(text, max(int(room / _LETTER), 10)))


def plain_text(text: str) -> str:
    """Return a name as it is: matplotlib would take what stands between two dollar signs for mathematics."""
    return printable(text).replace("$", r"\$")


def name_bars(ax: Any, names: Sequence[str]) -> None:
    """Name horizontal bars, the first at the top, in letters that find room; long names are cut in the middle."""
    ax.set_yticks(range(len(names)), [plain_text(short(name)) for name in names], fontsize=letters(len(names)))
    ax.set_ylim(max(len(names), 1) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)


def letters(count: int) -> str:
    """Return the size of letters beside so many bars."""
    return "small" if count <= 20 else "x-small"


def bars_size(count: float) -> tuple[float, float]:
    """Return the size of a figure for so many horizontal bars, in inches."""
    return 7.0, 1.2 + max(count, 2) * (0.3 if count <= 20 else 0.2)


def short(name: str) -> str:
    """Return a name that finds room: of a long one, its beginning and end."""
    return shortened(name, _NAME)
