"""The candidates of a search: the metric over what they cost, and the front."""

from typing import Any

from keras_prune.plots.style import COLOURS, axes_or_new

AXES = {
    "gzip_bytes": "bytes of the file after gzip",
    "bytes": "bytes of the file",
    "parameters": "parameters",
    "nonzeros": "weights that are not zero",
    "macs": "multiply-accumulates",
    "latency_ms": "latency, ms",
}


def plot_pareto(found: Any, ax: Any = None) -> Any:
    """Draws each candidate as a point, and the front as a line with names.

    Args:
        found: The candidates.
        ax: Matplotlib axes to draw on. Default: those of a new figure.

    Returns:
        The axes. Costs are on a logarithmic scale.

    Raises:
        ImportError: There is no matplotlib.
    """
    ax = axes_or_new(ax)
    front = found.front
    others = [each for each in found.candidates if each not in front]
    ax.plot(
        [each.cost(found.cost) for each in others],
        [each.metric for each in others],
        color="#999999",
        marker="x",
        linestyle="",
        label="beaten",
    )
    costs, metrics = [each.cost(found.cost) for each in front], [each.metric for each in front]
    ax.plot(costs, metrics, color=COLOURS[0], marker="o", label="front")
    for each, cost in zip(front, costs, strict=True):
        ax.annotate(each.name, (cost, each.metric), xytext=(4, -9), textcoords="offset points", fontsize="x-small")
    ax.set_xscale("log")
    ax.set_xlabel(AXES[found.cost])
    ax.set_ylabel(found.metric)
    ax.legend(fontsize="small")
    return ax
