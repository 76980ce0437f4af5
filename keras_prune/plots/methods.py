"""Quality against size and against latency, a line for each method of pruning."""

from typing import Any

from keras_prune.plots.style import axes_or_new, look


def plot_methods(comparison: Any, axes: Any = None) -> Any:
    """Draws a `MethodComparison`: its first metric (or the loss) against compressed bytes, and against latency.

    The dense model and the control, which is the same trained on, are single marks.

    Args:
        comparison: What `compare_methods` returned.
        axes: Two axes, or None for a new figure.

    Returns:
        The two axes.

    Raises:
        ImportError: There is no matplotlib.
        ValueError: Not two axes.
    """
    if axes is None:
        figure = axes_or_new().figure
        figure.clear()
        axes = figure.subplots(1, 2, sharey=True)
    if len(axes) != 2:
        raise ValueError(f"`axes` must be two: for size and for latency. Received: {len(axes)}")
    made = [point for point in comparison.points if point.row is not None]
    names = list(made[0].row.scores)
    quality = next((name for name in names if name != "loss"), names[0])
    kinds = ("compressed_bytes", "bytes after gzip"), ("latency_ms", "latency, ms")
    for ax, (value, title) in zip(axes, kinds, strict=True):
        known = [point for point in made if getattr(point.row, value) is not None]
        for index, method in enumerate(dict.fromkeys(point.method for point in made)):
            rows = [point.row for point in known if point.method == method]
            own = sorted((getattr(row, value), row.scores[quality]) for row in rows)
            if own:
                ax.plot(*zip(*own, strict=True), label=method, **look(index))
        ax.set_xlabel(title)
        if known:
            ax.legend()
        else:
            ax.text(0.5, 0.5, "not measured: see `export`", ha="center", va="center", transform=ax.transAxes)
    axes[0].set_ylabel(quality)
    return axes
