"""The candidates of a search: the metric over their cost, and the Pareto front."""

from typing import Any

from keras_prune.plots.point_names import few_numbers, name_points
from keras_prune.plots.style import COLOURS, COST_LABELS, axes_or_new, check_drawn, tidy


def plot_pareto(found: Any, ax: Any = None) -> Any:
    """Draw each candidate of a search as a point, and the Pareto front as a line with names.

    Args:
        found: A `ParetoFront`: `autoprune(...).front`.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

    Returns:
        The axes. Costs are on a logarithmic scale.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.
    """
    check_drawn(found, "found", "a `ParetoFront`: `autoprune(...).front`", "front", "candidates")
    ax = axes_or_new(ax)
    front = found.front
    others = [each for each in found.candidates if each not in front]
    ax.plot(
        [each.cost(found.cost) for each in others],
        [each.metric for each in others],
        color="#999999",
        marker="x",
        linestyle="",
        label="dominated",
    )
    costs, metrics = [each.cost(found.cost) for each in front], [each.metric for each in front]
    ax.plot(costs, metrics, color=COLOURS[0], marker="o", label="front")
    ax.set_xscale("log")
    ax.xaxis.set_tick_params(which="minor", labelbottom=False)  # within a decade they would lie on each other
    few_numbers(ax.xaxis, [each.cost(found.cost) for each in found.candidates])
    tidy(ax, "Candidates", COST_LABELS[found.cost], found.metric, grid="both")
    name_points(ax, [each.name for each in front], list(zip(costs, metrics, strict=True)))
    return ax
