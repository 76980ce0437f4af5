"""Scores in their order: which were the lowest, and which of them were removed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_prune.plots.style import KEPT, REMOVED, axes_or_new, bars_size, name_bars, plain_text, tidy
from keras_prune.validation import check_array, check_text


def plot_ranks(
    scores: np.ndarray,
    pruned: np.ndarray,
    ax: Any = None,
    *,
    names: Sequence[str] | None = None,
    title: str = "Scores by rank",
    unit: str = "channels",
) -> Any:
    """Draw a bar for each score, the lowest first.

    Args:
        scores: Vector of floats.
        pruned: Boolean vector of the same length: what was removed.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.
        names: What has these scores: written beside horizontal bars. Defaults to None: vertical bars, by rank.
        title: Over the plot. Defaults to "Scores by rank".
        unit: What has the scores. Defaults to "channels".

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.
        ValueError: The arrays have different lengths.

    Example:

    ```python
    first = kp.explain(model, kp.prune_channels(model, 0.5)).parts[0]
    plot_ranks(first.scores, first.pruned)
    ```
    """
    scores, pruned = check_array(scores, "scores", "f"), check_array(pruned, "pruned", "b")
    title, unit = check_text(title, "title"), check_text(unit, "unit")
    if scores.ndim != 1 or scores.shape != pruned.shape or (names is not None and len(names) != len(scores)):
        raise ValueError(
            "`scores`, `pruned` and `names` must be of one length. Received: scores of shape "
            f"{scores.shape}, pruned of shape {pruned.shape}, names={names!r}"
        )
    order = np.argsort(scores, kind="stable")
    ax = axes_or_new(ax, (6.0, 3.2) if names is None else bars_size(len(scores)))
    draw = ax.bar if names is None else ax.barh
    places = np.arange(1, len(scores) + 1) if names is None else np.arange(len(scores))
    for chosen, colour, hatch, label in ((~pruned, KEPT, "", "kept"), (pruned, REMOVED, "//", "removed")):
        if not chosen.any():
            continue
        mine = chosen[order]
        hatch = hatch if len(scores) <= 64 else ""  # it would cover thin bars
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
        return tidy(ax, title, f"{plain_text(unit)} by rank, lowest score first", "score", grid="y")
    name_bars(ax, [names[index] for index in order])
    return tidy(ax, title, "score")
