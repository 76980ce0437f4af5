"""Curves of sensitivity: the metric over the fraction removed of one layer, or of one channel group."""

from typing import Any

from keras_prune.plots.style import COLOURS, axes_or_new, check_drawn, look, plain_text, short, tidy
from keras_prune.validation import check_choice

GREY = "#BBBBBB"


def plot_sensitivity(found: Any, ax: Any = None, highlight: int = 6) -> Any:
    """Draw a `Sensitivity`: the most sensitive curves in colour and by name, all others grey.

    Args:
        found: What `sensitivity` returned.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.
        highlight: How many are in colour, at most 8. Defaults to 6; where there are no more than 8, all are.

    Returns:
        The axes.

    Raises:
        ValueError: `highlight` is no integer in [0, 8].
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.

    Example:

    ```python
    model.compile("adam", "mse")
    plot_sensitivity(kp.sensitivity(model, (x, y)))
    ```
    """
    check_drawn(found, "found", "what `sensitivity` returned", "curves", "levels")
    check_choice(highlight, "highlight", range(len(COLOURS) + 1))
    ax = axes_or_new(ax)
    count = len(found.curves) if len(found.curves) <= len(COLOURS) else highlight
    ranked = sorted(found.curves, key=lambda curve: _lost(found, curve), reverse=True)
    levels = (0.0, *found.levels)

    def draw(curve: Any, **style: Any) -> None:
        ax.plot(levels, (found.baseline, *curve.values), **style)

    for index, curve in enumerate(ranked[count:]):
        label = f"{len(ranked) - count} less sensitive" if index == 0 else None
        draw(curve, color=GREY, linewidth=1, zorder=1, label=label)
    for index, curve in enumerate(ranked[:count]):
        draw(curve, **look(index), markersize=4, zorder=2, label=plain_text(short(curve.name)))
    ax.axhline(found.baseline, color="black", linewidth=0.8, linestyle=":", zorder=0)
    xlabel = f"fraction of the {found.kind} removed, of one {_unit(found)} alone"
    tidy(ax, "", xlabel, found.metric, grid="both", legend=False)
    ax.set_xlim(0, 1)
    ax.legend(title="most sensitive first", fontsize="small")
    return ax


def _unit(found: Any) -> str:
    return "layer" if found.kind == "weights" else "group"


def _lost(found: Any, curve: Any) -> float:
    """The sum of the drops: the area between the curve and the baseline."""
    return sum(found.drop(value) for value in curve.values)
