"""What was removed of a whole model, by weight array, channel group or layer."""

from typing import Any

import numpy as np

from keras_prune.plots.bars import share_bars
from keras_prune.plots.channels import plot_channels
from keras_prune.plots.ranks import plot_ranks
from keras_prune.plots.style import REMOVED, axes_or_new, bars_size, check_drawn, tidy


def plot_explanation(explanation: Any, ax: Any = None) -> Any:
    """Draw an `Explanation`: the fraction removed of each weight array, the channels of each group, or the scores of
    layers.

    Args:
        explanation: What `explain` returned.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.

    Example:

    ```python
    plot_explanation(kp.explain(model, kp.prune_weights(model, 0.5)))
    ```
    """
    check_drawn(explanation, "explanation", "what `explain` returned", "kind", "parts")
    if explanation.kind == "channels":
        return plot_channels(explanation, ax)
    return (_plot_weights if explanation.kind == "weights" else _plot_layers)(explanation, ax)


def _plot_weights(explanation: Any, ax: Any) -> Any:
    """Bars of the fraction removed of each weight array."""
    parts = explanation.parts
    ax = axes_or_new(ax, bars_size(len(parts)))
    total = sum(part.cut.removed for part in parts) / max(sum(part.pruned.size for part in parts), 1)
    share_bars(ax, [part.name for part in parts], [part.share for part in parts], [REMOVED] * len(parts), total)
    return tidy(ax, f"Fraction removed of each weight of '{explanation.model}'", "weights removed, %")


def _plot_layers(explanation: Any, ax: Any) -> Any:
    """Bars of the scores of the layers that were ranked."""
    parts = [part for part in explanation.parts if part.score is not None]
    scores, removed = np.array([part.score for part in parts]), np.array([part.removed for part in parts], bool)
    return plot_ranks(
        scores, removed, ax, names=[part.name for part in parts], title=f"Scores ({explanation.importance or 'none'})"
    )
