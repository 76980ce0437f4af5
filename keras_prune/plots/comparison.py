"""The quality, size, work and time of each model as ratios to the first: bars side by side."""

from typing import Any

from keras_prune.plots.style import check_drawn
from tflite_export.reporting import Bars

_SIZES = "parameters non_zeros macs effective_macs compressed_bytes latency_ms"


def plot_models(comparison: Any, ax: Any = None) -> Any:
    """Draw the ratios of a `ModelComparison` to its first row. What is unknown of a model has no bar.

    Args:
        comparison: What `compare` returned.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.

    Example:

    ```python
    plot_models(kp.compare({"dense": model, "pruned": kp.prune_weights(model, 0.5)}))
    ```
    """
    check_drawn(comparison, "comparison", "what `compare` returned", "rows", "ratio")
    rows = comparison.rows
    scores = dict.fromkeys(name for row in rows for name in row.scores)
    names = [name for name in (*scores, *_SIZES.split()) if any(comparison.ratio(row, name) for row in rows)]
    ratios = {row.name: [comparison.ratio(row, name) for name in names] for row in rows}
    shown = [name.replace("_", " ") for name in names]
    ax = Bars("Models", f"ratio to '{rows[0].name}'", shown, ratios).draw(ax)
    ax.axvline(1, color="black", linewidth=0.8)
    return ax
