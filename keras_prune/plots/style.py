"""What all plots share: axes to draw on, and colours that everybody tells apart."""

from collections.abc import Sequence
from typing import Any

# Okabe and Ito's colours (2008), which people with any kind of colour vision tell apart; black comes last.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
KEPT, REMOVED = COLOURS[0], COLOURS[1]
FIXED = "#b5b5b5"  # what could not go
# Different markers and lines too: a print in grey still tells them apart.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")


def axes_or_new(ax: Any = None, size: tuple[float, float] | None = None) -> Any:
    """The axes that were passed, or those of a new figure, of this size in inches if one is given.

    Raises:
        ImportError: There is no matplotlib.
    """
    if ax is not None:
        return ax
    check_matplotlib()
    import matplotlib.pyplot as plt  # here, since only plots need it

    return plt.subplots(figsize=size, layout="constrained")[1]


def check_matplotlib() -> None:
    """Raises an `ImportError` that says what to install, if there is no matplotlib."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib: pip install 'keras-prune[plots]'. Received: no such package"
        ) from error


def tidy(ax: Any, title: str, xlabel: str, ylabel: str = "", grid: str = "x") -> Any:
    """Says what is drawn, with the legend above where it hides nothing, and takes away what says nothing.

    Returns:
        The axes.
    """
    handles, _ = ax.get_legend_handles_labels()
    if handles:
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.3, "borderpad": 0.0}
        ax.legend(ncols=len(handles), fontsize="small", frameon=False, handlelength=1.4, columnspacing=1.4, **place)
    ax.set_title(plain(title), fontsize="medium", loc="left", pad=22 if handles else 6)
    ax.set_xlabel(plain(xlabel))
    ax.set_ylabel(plain(ylabel))
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(axis=grid, color="#dddddd", linewidth=0.8)
        ax.set_axisbelow(True)
    return ax


def plain(text: str) -> str:
    """A name as it is: matplotlib would take what stands between two dollar signs for mathematics."""
    return text.replace("$", r"\$")


def name_bars(ax: Any, names: Sequence[str]) -> None:
    """Names horizontal bars, the first at the top, in letters that find room; long ones are cut in the middle."""
    ax.set_yticks(range(len(names)), [plain(_short(name)) for name in names], fontsize=letters(len(names)))
    ax.set_ylim(max(len(names), 1) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)


def letters(count: int) -> str:
    """The size of letters beside so many bars."""
    return "small" if count <= 20 else "x-small"


def bars_size(count: int) -> tuple[float, float]:
    """The size of a figure for so many horizontal bars, in inches."""
    return 7.0, 1.2 + max(count, 2) * (0.3 if count <= 20 else 0.2)


def _short(name: str, limit: int = 36) -> str:
    return name if len(name) <= limit else f"{name[: limit // 2 - 1]}…{name[-limit // 2 :]}"


def look(index: int) -> dict[str, str]:
    """How the line with this number looks: its colour, marker and dashes."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index % len(LINES)],
    }
