"""The distribution of scores, of what was kept and of what was removed, and the threshold."""

from typing import Any

import numpy as np

from keras_prune.plots.style import KEPT, REMOVED, axes_or_new, tidy
from keras_prune.validation import check_array, check_number, check_text

_BINS = 60
_WIDE = 50.0  # scores that spread further than this, over their median, are drawn on a logarithmic axis


def plot_scores(
    scores: np.ndarray, pruned: np.ndarray, ax: Any = None, *, threshold: float | None = None, title: str = "Scores"
) -> Any:
    """Draw a histogram of scores: those of what was kept, and on top of them those of what was removed.

    Args:
        scores: Array of floats.
        pruned: Boolean array of the same shape: what was removed.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.
        threshold: The score from which on everything was kept, drawn as a line. Defaults to None: no line.
        title: Over the plot. Defaults to "Scores".

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.
        ValueError: The arrays have different shapes.

    Example:

    ```python
    first = kp.explain(model, kp.prune_weights(model, 0.5)).parts[0]
    plot_scores(first.scores, first.pruned, threshold=first.cut.threshold)
    ```
    """
    scores, pruned, title = (
        check_array(scores, "scores", "f"),
        check_array(pruned, "pruned", "b"),
        check_text(title, "title"),
    )
    threshold = None if threshold is None else check_number(threshold, "threshold")
    if scores.shape != pruned.shape:
        raise ValueError(f"`pruned` must have the shape of `scores`. Received: {pruned.shape} and {scores.shape}")
    ax = axes_or_new(ax, (6.0, 3.2))
    scores, pruned = scores.reshape(-1), pruned.reshape(-1)
    positive = scores[scores > 0]
    wide = positive.size > 0 and scores.min() >= 0 and positive.max() > _WIDE * np.median(positive)
    if wide:  # few scores are far above most
        ax.set_xscale("log")
        low = min(positive.max() * 1e-8, (threshold or np.inf) / 10)
        scores = np.maximum(scores, max(positive.min(), low))
        edges = np.exp(_edges(np.log(scores), np.log(threshold) if threshold else None))
    else:
        edges = _edges(scores, threshold)
    scores = np.clip(scores, edges[0], edges[-1])  # no rounding puts one outside
    ax.hist(
        [scores[~pruned], scores[pruned]],
        bins=edges,
        stacked=True,
        color=[KEPT, REMOVED],
        label=[f"kept ({np.count_nonzero(~pruned):,})", f"removed ({np.count_nonzero(pruned):,})"],
    )
    if threshold is not None:
        ax.axvline(threshold, color="black", linestyle="--", linewidth=1, label=f"threshold {threshold:.3g}")
    ax.yaxis.get_major_locator().set_params(integer=True)
    return tidy(ax, title, "score", "how many", grid="y")


def _edges(scores: np.ndarray, threshold: float | None) -> np.ndarray:
    """The edges of the bins, evenly spaced; the threshold is one of them, so that no bin has both sides."""
    low, high = (float(scores.min()), float(scores.max())) if scores.size else (0.0, 1.0)
    step = (high - low) / int(np.clip(scores.size // 2, 5, _BINS)) or max(abs(high), 1.0) / _BINS
    start = low if threshold is None else threshold
    return start + step * np.arange(np.floor((low - start) / step), np.ceil((high - start) / step + 1e-9) + 1)
