"""Bars of the channels that each group has kept and lost."""

from typing import Any

from keras_prune.channels.report import ChannelReport
from keras_prune.plots.style import FIXED, KEPT, REMOVED, axes_or_new, bars_size, name_bars, tidy


def plot_channels(report: Any, ax: Any = None) -> Any:
    """Draws how many channels of each group stayed, went, or could not go.

    Args:
        report: `prune_channels(...).report`, or what `explain` returns of channels.
        ax: Axes of matplotlib to draw on. Default: those of a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.

    Example:

    ```python
    plot_channels(kp.prune_channels(model, 0.5).report)
    ```
    """
    groups: Any = report.groups if isinstance(report, ChannelReport) else report.parts
    ax = axes_or_new(ax, bars_size(len(groups)))
    places = range(len(groups))
    after = [each.after for each in groups]
    free = [0 if each.frozen else each.after for each in groups]
    fixed = [each.after if each.frozen else 0 for each in groups]
    went = [each.before - each.after for each in groups]
    ax.barh(places, free, color=KEPT, label="stayed")
    ax.barh(places, went, left=after, color=REMOVED, hatch="//", edgecolor="white", label="went")
    ax.barh(places, fixed, color=FIXED, label="must stay")
    name_bars(ax, [each.name for each in groups])
    ax.xaxis.get_major_locator().set_params(integer=True)
    return tidy(ax, f"Channels of '{report.model}'", "channels")
