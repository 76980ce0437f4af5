"""Bars of the sparsity of each weight array."""

import collections
from typing import Any

from keras_prune.plots.bars import share_bars
from keras_prune.plots.style import FIXED, KEPT, axes_or_new, bars_size, check_drawn, tidy


def plot_sparsity(summary: Any, ax: Any = None) -> Any:
    """Draw the sparsity of each prunable weight array of a model, and of all of them together; arrays without a mask
    are grey.

    Args:
        summary: What `keras_prune.summary(model)` returns.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.

    Example:

    ```python
    plot_sparsity(kp.summary(kp.prune_weights(model, 0.5))).figure.savefig("sparsity.png")
    ```
    """
    check_drawn(summary, "summary", "what `keras_prune.summary(model)` returns", "layers", "prunable_sparsity")
    weights = [weight for layer in summary.layers for weight in layer.weights]
    ax = axes_or_new(ax, bars_size(len(weights)))
    count = collections.Counter(weight.layer for weight in weights)
    names = [f"{each.layer}/{each.name}" if count[each.layer] > 1 else each.layer for each in weights]
    colours = [KEPT if each.masked or not any(summary.masked) else FIXED for each in weights]
    share_bars(ax, names, [each.sparsity for each in weights], colours, summary.prunable_sparsity)
    return tidy(ax, f"Sparsity of '{summary.model}'", "weights that are zero, %")
