"""Scores in their order: which were the lowest, and which of them went."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_prune.plots.style import KEPT, REMOVED, axes_or_new, bars_size, name_bars, plain, tidy


def plot_ranks(
    scores: np.ndarray,
    gone: np.ndarray,
    ax: Any = None,
    *,
    names: Sequence[str] | None = None,
    title: str = "Scores by rank",
    unit: str = "channels",
) -> Any:
    """Draws a bar for each score, the lowest first.

    Args:
        scores: Vector of floats.
        gone: Boolean vector: what went.
        ax: Axes of matplotlib to draw on. Default: those of a new figure.
        names: What the scores are of: written beside bars that lie. None: the bars stand, and have a rank.
        title: Over the plot.
        unit: What has the scores.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.

    Example:

    ```python
    first = kp.explain(model, kp.prune_channels(model, 0.5)).parts[0]
    plot_ranks(first.scores, first.gone)
    ```
    """
    scores, gone = np.asarray(scores, np.float64), np.asarray(gone, bool)
    order = np.argsort(scores, kind="stable")
    ax = axes_or_new(ax, (6.0, 3.2) if names is None else bars_size(len(scores)))
    draw = ax.bar if names is None else ax.barh
    places = np.arange(1, len(scores) + 1) if names is None else np.arange(len(scores))
    for chosen, colour, hatch, label in ((~gone, KEPT, "", "stayed"), (gone, REMOVED, "//", "went")):
        if not chosen.any():
            continue
        mine = chosen[order]
        hatch = hatch if len(scores) <= 64 else ""  # of thin bars it would be all that is seen
        draw(
            places[mine],
            scores[order][mine],
            color=colour,
            hatch=hatch,
            edgecolor="white" if hatch else colour,
            label=f"{label} ({np.count_nonzero(chosen):,})",
        )
    if names is None:
        ax.xaxis.get_major_locator().set_params(integer=True)
        return tidy(ax, title, f"{plain(unit)} by rank, lowest score first", "score", grid="y")
    name_bars(ax, [names[index] for index in order])
    return tidy(ax, title, "score")
