"""Quality against cost, a line for each method of pruning."""

from typing import Any

from keras_prune.plots.style import COST_LABELS, axes_or_new, check_drawn, look, tidy
from keras_prune.validation import check_choice

COSTS = ("compressed_bytes", "bytes", "parameters", "non_zeros", "macs", "effective_macs", "latency_ms")


def plot_methods(comparison: Any, ax: Any = None, cost: str = "compressed_bytes") -> Any:
    """Draw a `MethodComparison`: its first metric (or the loss) against a cost.

    The dense model and the control, which is the dense model fine-tuned, are single marks.

    Args:
        comparison: What `compare_methods` returned.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.
        cost: `"compressed_bytes"` (the default), `"bytes"`, `"parameters"`, `"non_zeros"`, `"macs"`,
            `"effective_macs"`, or `"latency_ms"`, which `compare_methods(..., export=True)` measures.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.
        ValueError: Another cost, or one that is unknown of every model.

    Example:

    ```python
    model.compile("adam", "mse")
    plot_methods(kp.compare_methods(model, (x, y), (x, y), methods=["weights"], points=[0.5]), cost="non_zeros")
    ```
    """
    check_drawn(comparison, "comparison", "what `compare_methods` returned", "points", "models")
    check_choice(cost, "cost", COSTS)
    shown = [point for point in comparison.points if point.row is not None and getattr(point.row, cost) is not None]
    if not shown:
        raise ValueError(
            f"This cost is unknown of every model; latency is measured with `export=True`. Received: cost={cost!r}"
        )
    names = list(shown[0].row.scores)
    quality = next((name for name in names if name != "loss"), names[0])
    ax = axes_or_new(ax)
    for index, method in enumerate(dict.fromkeys(point.method for point in shown)):
        rows = [point.row for point in shown if point.method == method]
        line = sorted((getattr(row, cost), row.scores[quality]) for row in rows)
        ax.plot(*zip(*line, strict=True), label=method, **look(index))
    return tidy(ax, f"Methods of pruning '{comparison.model}'", COST_LABELS[cost], quality, grid="both")
