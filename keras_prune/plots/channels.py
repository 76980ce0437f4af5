"""Bars of the channels of each group: kept, removed, and always kept."""

from typing import Any

from keras_prune.plots.style import FIXED, KEPT, REMOVED, axes_or_new, bars_size, check_drawn, name_bars, tidy


def plot_channels(report: Any, ax: Any = None) -> Any:
    """Draw how many channels of each group were kept and removed, and how many could not be removed.

    Args:
        report: `prune_channels(...).report`, or what `explain` returns of channels.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.

    Example:

    ```python
    plot_channels(kp.prune_channels(model, 0.5).report)
    ```
    """
    check_drawn(
        report, "report", "`prune_channels(...).report`, or what `explain` returns of channels", "plot", "model"
    )
    groups = report.groups if hasattr(report, "groups") else report.parts
    ax = axes_or_new(ax, bars_size(len(groups)))
    places = range(len(groups))
    after = [each.after for each in groups]
    free = [0 if each.frozen else each.after for each in groups]
    fixed = [each.after if each.frozen else 0 for each in groups]
    removed = [each.before - each.after for each in groups]
    ax.barh(places, free, color=KEPT, label="kept")
    ax.barh(places, removed, left=after, color=REMOVED, hatch="//", edgecolor="white", label="removed")
    ax.barh(places, fixed, color=FIXED, label="cannot be removed")
    name_bars(ax, [each.name for each in groups])
    ax.xaxis.get_major_locator().set_params(integer=True)
    return tidy(ax, f"Channels of '{report.model}'", "channels")
